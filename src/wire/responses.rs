//! The bodies of answers, byte for byte as the contract has them. (server.md 1.2, 2.3-2.5)

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::enums::KeyUsage;
use crate::model::id::Id;
use crate::model::record::{Key, User};
use crate::model::text::Text;
use crate::model::time::Time;

/// `{"message": …}`.
#[must_use]
pub fn encode_message(text: &str) -> String {
    to_json(&MessageBody { message: text })
}

/// A hit of `authorized_keys`: the comment of the key is the owner's name and the instance's host.
///
/// A key whose owner is gone has only the host in its comment. A key that only signs is a miss; that is the caller's to say.
#[must_use]
pub fn encode_authorized_key(key: &Key, owner: Option<&User>, host: &str) -> String {
    let line = match owner {
        Some(owner) => format!("{} {} ({host})", key.key, owner.name),
        None => format!("{} ({host})", key.key),
    };
    to_json(&AuthorizedKeyBody {
        id: key.id,
        title: &key.title,
        created_at: key.created_at,
        expires_at: key.expires_at,
        key: &line,
        usage_type: key.usage,
    })
}

/// `discover`: the user, or `null`.
#[must_use]
pub fn encode_discover(user: Option<&User>) -> String {
    to_json(&user.map(|user| DiscoverBody { id: user.id, username: &user.username, name: &user.name }))
}

/// `check`.
#[must_use]
pub fn check_body(gitlab_version: &str, gitlab_rev: &str, redis: bool) -> Value {
    json!({"api_version": "v4", "gitlab_version": gitlab_version, "gitlab_rev": gitlab_rev, "redis": redis})
}

#[derive(Serialize)]
struct MessageBody<'a> {
    message: &'a str,
}

#[derive(Serialize)]
struct AuthorizedKeyBody<'a> {
    id: Id,
    title: &'a Text,
    created_at: Time,
    expires_at: Option<Time>,
    key: &'a str,
    usage_type: KeyUsage,
}

#[derive(Serialize)]
struct DiscoverBody<'a> {
    id: Id,
    username: &'a Text,
    name: &'a Text,
}

/// Text, numbers and words always print; nothing here has a map whose keys could not.
fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{check_body, encode_authorized_key, encode_discover, encode_message};
    use crate::model::record::{Key, Record, User};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn key(more: &str) -> Key {
        let line = format!(r#"{{"kind":"key","id":11,"title":"a \"b\"","key":"{KEY}","created_at":"2019-06-27T15:29:02.219Z"{more}}}"#);
        match Record::parse(&line).unwrap() {
            Record::Key(key) => key,
            other => panic!("{other:?}"),
        }
    }

    fn sample_user() -> User {
        match Record::parse(r#"{"kind":"user","id":7,"username":"zoe","name":"Zoë <x>"}"#).unwrap() {
            Record::User(user) => user,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hit_names_the_owner_and_the_host_and_leaves_no_address() {
        let expected = format!(
            r#"{{"id":11,"title":"a \"b\"","created_at":"2019-06-27T15:29:02.219Z","expires_at":null,"key":"{KEY} Zoë <x> (git.example.com)","usage_type":"auth_and_signing"}}"#
        );
        assert_eq!(encode_authorized_key(&key(""), Some(&sample_user()), "git.example.com"), expected);
    }

    #[test]
    fn a_hit_says_when_the_key_ends_and_what_it_is_for() {
        let body = encode_authorized_key(&key(r#","usage":"auth","expires_at":"2030-01-01T00:00:00Z""#), None, "h");
        assert!(body.contains(r#""expires_at":"2030-01-01T00:00:00.000Z","#), "{body}");
        assert!(body.ends_with(&format!(r#""key":"{KEY} (h)","usage_type":"auth"}}"#)), "{body}");
    }

    #[test]
    fn the_small_bodies_are_as_the_contract_has_them() {
        assert_eq!(encode_discover(Some(&sample_user())), r#"{"id":7,"username":"zoe","name":"Zoë <x>"}"#);
        assert_eq!(encode_discover(None), "null");
        assert_eq!(encode_message("404 Key Not Found"), r#"{"message":"404 Key Not Found"}"#);
        assert_eq!(
            check_body("15.2.0", "abc", true).to_string(),
            r#"{"api_version":"v4","gitlab_version":"15.2.0","gitlab_rev":"abc","redis":true}"#
        );
    }
}
