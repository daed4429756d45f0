//! The public API: users, keys and deploy keys, to an administrator, to somebody else and to nobody. (server.md 5b)

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Answer;
use super::paging::{Cursor, ListUrl, MOST_BY_NUMBER, Query, keyset_page, numbered_page};
use super::records::{ApiKey, ApiUser, Instance, written_moment};

/// Which GitLab it is, as far as lists differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// 15.2: pages by number only, and no `usage_type`.
    V15,
    /// 17: users by cursor too, and by number only the first 50,000.
    V17,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Administrator,
    /// A token of somebody else, or an administrator's without admin mode.
    SomebodyElse,
    Nobody,
}

/// A request of the public API.
pub struct RestRequest<'a> {
    pub version: ApiVersion,
    pub caller: Caller,
    /// What links begin with, before `/api/v4`: the external URL with its relative root.
    pub external_url: &'a str,
    /// The path below `/api/v4/`.
    pub path: &'a str,
    pub query: &'a str,
}

/// Returns the answer.
pub fn answer(instance: &Instance, request: &RestRequest<'_>) -> Answer {
    let segments: Vec<&str> = request.path.split('/').collect();
    let id = |text: &str| text.parse::<u64>().unwrap_or(0);
    let admin = request.caller == Caller::Administrator;
    match (request.caller, segments.as_slice()) {
        (Caller::Nobody, _) => Answer::message(401, "401 Unauthorized"),
        (_, ["users"]) => users(instance, request),
        (_, ["users", user]) => match instance.users.get(&id(user)) {
            Some(user) => Answer::json(200, show_user(user, admin)),
            None => Answer::message(404, "404 User Not Found"),
        },
        (_, ["users", user, "keys"]) => user_keys(instance, id(user), request),
        (_, ["users", user, "keys", key]) => user_key(instance, id(user), id(key), request.version),
        (Caller::SomebodyElse, ["keys", ..] | ["deploy_keys"]) => Answer::message(403, "403 Forbidden"),
        (_, ["keys", key]) => match instance.keys.get(&id(key)) {
            // Also a deploy key is shown as if whoever created it owned it.
            Some(key) => Answer::json(200, show_key_with_user(instance, key, request.version)),
            None => Answer::message(404, "404 Not found"),
        },
        (_, ["keys"]) => key_by_fingerprint(instance, request),
        (_, ["deploy_keys"]) => deploy_keys(instance, request),
        _ => Answer::no_route(),
    }
}

fn users(instance: &Instance, request: &RestRequest<'_>) -> Answer {
    let query = Query::parse(request.query);
    let admin = request.caller == Caller::Administrator;
    // To somebody else the order is always the default one, and nothing says so.
    let order = if admin { query.value("order_by").unwrap_or("id") } else { "id" };
    let descending = !admin || query.value("sort").unwrap_or("desc") == "desc";
    let is_keyset = admin && request.version == ApiVersion::V17 && query.value("pagination") == Some("keyset");
    if is_keyset && (query.value("order_by").is_none() || query.value("sort").is_none()) {
        return Answer::json(405, json!({"error": "Keyset pagination is not yet available for this type of request"}));
    }
    let wanted = |user: &ApiUser| matches(user, &query);
    let show = |user: &ApiUser| show_user(user, admin);
    let url = format!("{}/api/v4/users", request.external_url);
    if is_keyset {
        return users_by_cursor(instance, &query, order, descending, &ListUrl(&url));
    }
    let skipped = (query.page() - 1) * query.per_page();
    if request.version == ApiVersion::V17 && skipped >= MOST_BY_NUMBER {
        let error =
            format!("Offset pagination has a maximum allowed offset of {MOST_BY_NUMBER} for requests that return objects of type User");
        return Answer::json(405, json!({ "error": error }));
    }
    let all = in_order(instance, order, descending, None);
    let matching: Vec<&ApiUser> = all.filter(|user| wanted(user)).collect();
    let page: Vec<Value> = matching.iter().skip(skipped).take(query.per_page()).map(|user| show(user)).collect();
    numbered_page(&page, matching.len(), &query, &ListUrl(&url))
}

fn users_by_cursor(instance: &Instance, query: &Query, order: &str, descending: bool, url: &ListUrl<'_>) -> Answer {
    let after = match query.value("cursor").map(Cursor::decode) {
        Some(None) => return Answer::json(400, json!({"error": "cursor is invalid"})),
        after => after.flatten(),
    };
    let mut users = in_order(instance, order, descending, after.as_ref()).filter(|user| matches(user, query));
    let page: Vec<&ApiUser> = users.by_ref().take(query.per_page()).collect();
    let goes_on = users.next().is_some();
    let last = page.last().filter(|_| goes_on).map(|user| Cursor { value: sorted_by(user, order), id: user.id });
    let shown: Vec<Value> = page.iter().map(|user| show_user(user, true)).collect();
    keyset_page(&shown, last.as_ref(), query, url)
}

fn sorted_by(user: &ApiUser, order: &str) -> i64 {
    if order == "updated_at" { user.updated_at } else { i64::try_from(user.id).unwrap() }
}

/// All users in an order, or those behind a cursor.
fn in_order<'a>(
    instance: &'a Instance,
    order: &str,
    descending: bool,
    after: Option<&Cursor>,
) -> Box<dyn Iterator<Item = &'a ApiUser> + 'a> {
    use std::ops::Bound::{Excluded, Unbounded};
    if order == "updated_at" {
        let place = after.map(|cursor| (cursor.value, cursor.id));
        let found = |(_, id): &(i64, u64)| &instance.users[id];
        return match (descending, place) {
            (true, None) => Box::new(instance.by_update.iter().rev().map(found)),
            (true, Some(place)) => Box::new(instance.by_update.range(..place).rev().map(found)),
            (false, None) => Box::new(instance.by_update.iter().map(found)),
            (false, Some(place)) => Box::new(instance.by_update.range((Excluded(place), Unbounded)).map(found)),
        };
    }
    match (descending, after.map(|cursor| cursor.id)) {
        (true, None) => Box::new(instance.users.values().rev()),
        (true, Some(id)) => Box::new(instance.users.range(..id).rev().map(|(_, user)| user)),
        (false, None) => Box::new(instance.users.values()),
        (false, Some(id)) => Box::new(instance.users.range((Excluded(id), Unbounded)).map(|(_, user)| user)),
    }
}

fn matches(user: &ApiUser, query: &Query) -> bool {
    let asks = |name: &str| query.value(name) == Some("true");
    query.value("username").is_none_or(|name| user.username.eq_ignore_ascii_case(name))
        && (!asks("active") || user.state == "active")
        && (!asks("blocked") || user.state.ends_with("blocked"))
}

fn user_keys(instance: &Instance, user: u64, request: &RestRequest<'_>) -> Answer {
    if !instance.users.contains_key(&user) {
        return Answer::message(404, "404 User Not Found");
    }
    let ids = instance.keys_of.get(&user).into_iter().flatten();
    let keys: Vec<&ApiKey> = ids.map(|id| &instance.keys[id]).collect();
    let url = format!("{}/api/v4/users/{user}/keys", request.external_url);
    key_page(&keys, request, &url, |key| show_key(key, request.version))
}

fn user_key(instance: &Instance, user: u64, key: u64, version: ApiVersion) -> Answer {
    if !instance.users.contains_key(&user) {
        return Answer::message(404, "404 User Not Found");
    }
    match instance.keys.get(&key).filter(|key| key.user == Some(user) && key.deploy.is_none()) {
        Some(key) => Answer::json(200, show_key(key, version)),
        None => Answer::message(404, "404 Key Not Found"),
    }
}

fn key_by_fingerprint(instance: &Instance, request: &RestRequest<'_>) -> Answer {
    let query = Query::parse(request.query);
    let Some(digest) = query.value("fingerprint").and_then(|text| text.strip_prefix("SHA256:")) else {
        return Answer::message(400, "Failed to return the key");
    };
    let found = instance.keys_by_fingerprint.get(digest.trim_end_matches('='));
    let Some(key) = found.map(|id| &instance.keys[id]) else {
        return Answer::message(404, "404 Key Not Found");
    };
    let mut shown = show_key_with_user(instance, key, request.version);
    if let Some(projects) = &key.deploy {
        shown["deploy_keys_projects"] = projects.iter().map(|(project, can_push)| show_grant(key, *project, *can_push)).collect();
    }
    Answer::json(200, shown)
}

fn show_grant(key: &ApiKey, project: u64, can_push: bool) -> Value {
    let moment = written_moment(key.created_at);
    json!({
        "id": project, "deploy_key_id": key.id, "project_id": project, "created_at": moment, "updated_at": moment, "can_push": can_push
    })
}

fn deploy_keys(instance: &Instance, request: &RestRequest<'_>) -> Answer {
    let keys: Vec<&ApiKey> = instance.keys.values().filter(|key| key.deploy.is_some()).collect();
    let url = format!("{}/api/v4/deploy_keys", request.external_url);
    key_page(&keys, request, &url, |key| {
        let mut shown = show_key(key, request.version);
        let writable = |(project, can_push): (&u64, &bool)| can_push.then(|| json!({"id": project}));
        shown["projects_with_write_access"] = key.deploy.iter().flatten().filter_map(writable).collect();
        shown.as_object_mut().unwrap().remove("usage_type");
        shown
    })
}

fn key_page(keys: &[&ApiKey], request: &RestRequest<'_>, url: &str, show: impl Fn(&ApiKey) -> Value) -> Answer {
    let query = Query::parse(request.query);
    let skipped = (query.page() - 1) * query.per_page();
    let page: Vec<Value> = keys.iter().skip(skipped).take(query.per_page()).map(|key| show(key)).collect();
    numbered_page(&page, keys.len(), &query, &ListUrl(url))
}

/// A user, to an administrator or to somebody else; `updated_at` is shown to nobody.
fn show_user(user: &ApiUser, admin: bool) -> Value {
    let mut shown = json!({
        "id": user.id, "username": user.username, "name": user.name, "state": user.state, "locked": false, "avatar_url": null,
        "web_url": format!("https://gitlab.example.com/{}", user.username),
    });
    if admin {
        let more = json!({
            "created_at": written_moment(user.created_at), "bio": "", "location": null, "public_email": null, "bot": user.bot,
            "last_sign_in_at": null, "confirmed_at": written_moment(user.created_at), "last_activity_on": null,
            "email": format!("{}@example.com", user.username), "theme_id": 3, "color_scheme_id": 1, "projects_limit": 100_000,
            "current_sign_in_at": null, "identities": [], "can_create_group": true, "can_create_project": true,
            "two_factor_enabled": user.two_factor, "external": user.external, "private_profile": false, "is_admin": user.admin,
            "note": null, "namespace_id": user.id, "created_by": null,
        });
        shown.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    shown
}

fn show_key(key: &ApiKey, version: ApiVersion) -> Value {
    let mut shown = BTreeMap::from([
        ("id", json!(key.id)),
        ("title", json!(key.title)),
        ("created_at", json!(written_moment(key.created_at))),
        ("expires_at", json!(key.expires_at)),
        ("key", json!(format!("{} key-{}@example.com", key.line, key.id))),
    ]);
    if version == ApiVersion::V17 {
        shown.insert("usage_type", json!(key.usage));
    }
    json!(shown)
}

fn show_key_with_user(instance: &Instance, key: &ApiKey, version: ApiVersion) -> Value {
    let mut shown = show_key(key, version);
    shown["user"] = key.user.and_then(|user| instance.users.get(&user)).map_or(Value::Null, |user| show_user(user, false));
    shown
}
