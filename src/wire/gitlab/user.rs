//! `GET /users` and `GET /users/:id`, as an administrator sees them. (server.md 5b)

use crate::model::enums::UserState;
use crate::model::id::Id;
use crate::model::record::{Record, User};
use crate::model::record_defaults::default_projects_limit;
use crate::model::record_grammar;
use crate::wire::gitlab::object::{MalformedAnswer, Object, Skipped, read_boolean, read_id, read_text};

/// The name of a field that only an administrator is shown, as it stands in JSON.
const ADMIN_FIELD: &[u8] = b"\"is_admin\"";

/// Reads a page of `GET /users`. An error if a user has no `id`, `username`, `name` or `state`. `is_admin` is missing where
/// the token is not an administrator's.
pub fn parse_users(body: &[u8]) -> Result<Vec<Result<User, Skipped>>, MalformedAnswer> {
    Object::parse_list(body, "user")?.iter().map(read_user).collect()
}

/// Returns whether a page of users shows what only an administrator is shown.
#[must_use]
pub fn shows_admin_fields(body: &[u8]) -> bool {
    body.windows(ADMIN_FIELD.len()).any(|window| window == ADMIN_FIELD)
}

/// Reads the body of `GET /users/:id`. The errors are those of [`parse_users`].
pub fn parse_user(body: &[u8]) -> Result<Result<User, Skipped>, MalformedAnswer> {
    read_user(&Object::parse(body, "user")?)
}

fn read_user(object: &Object) -> Result<Result<User, Skipped>, MalformedAnswer> {
    for field in ["id", "username", "name", "state"] {
        object.required(field)?;
    }
    let id = match read_id(object.required("id")?, "id") {
        Ok(id) => id,
        Err(reason) => return Ok(Err(object.skipped("user", None, reason))),
    };
    Ok(read_fields(object, id)?.and_then(check_grammar).map_err(|reason| object.skipped("user", Some(id), reason)))
}

fn read_fields(object: &Object, id: Id) -> Result<Result<User, String>, MalformedAnswer> {
    let (username, name) = (object.required("username")?, object.required("name")?);
    let state = object.required("state")?;
    let read = || {
        Ok(User {
            id,
            username: read_text(username, "username")?,
            name: read_text(name, "name")?,
            state: user_state(state.as_str().ok_or("`state` is not text")?),
            admin: read_boolean(object.optional("is_admin"), "is_admin")?,
            external: read_boolean(object.optional("external"), "external")?,
            bot: read_boolean(object.optional("bot"), "bot")?,
            two_factor: read_boolean(object.optional("two_factor_enabled"), "two_factor_enabled")?,
            terms_accepted: true,
            password_expires_at: None,
            ldap: false,
            projects_limit: default_projects_limit(),
        })
    };
    Ok(read())
}

/// Returns the state of an account. A state that is not known becomes `blocked`: it is another one than `active`, and whoever is blocked
/// gets nothing without GitLab being asked. To skip the user would hide the keys of somebody whom GitLab may well let in.
fn user_state(name: &str) -> UserState {
    match name {
        "active" => UserState::Active,
        "blocked_pending_approval" => UserState::PendingApproval,
        "deactivated" => UserState::Deactivated,
        "banned" => UserState::Banned,
        // `blocked`, `ldap_blocked`, and what a newer GitLab may invent.
        _ => UserState::Blocked,
    }
}

/// Refuses a user whose name the directory would hold but never answer.
fn check_grammar(user: User) -> Result<User, String> {
    let record = Record::User(user);
    record_grammar::check(&record).map_err(|error| error.to_string())?;
    match record {
        Record::User(user) => Ok(user),
        _ => Err("it is no user".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{parse_user, parse_users};
    use crate::model::enums::UserState;
    use crate::model::record::User;
    use crate::wire::gitlab::object::Skipped;

    /// A user as GitLab 17 shows it to an administrator, shortened.
    fn sample() -> Value {
        json!({
            "id": 7, "username": "zoe", "name": "Zoë", "state": "active", "locked": false, "avatar_url": null,
            "web_url": "https://gitlab.example.com/zoe", "bot": false, "email": "zoe@example.com",
            "confirmed_at": "2012-05-23T09:05:22.000Z", "last_activity_on": "2026-05-23", "identities": [], "projects_limit": 100_000,
            "two_factor_enabled": true, "external": false, "is_admin": false, "note": null, "namespace_id": 1
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut user = sample();
        user[field] = value;
        user
    }

    fn read(user: &Value) -> Result<User, Skipped> {
        parse_user(user.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_user_becomes_a_record() {
        let user = read(&sample()).unwrap();
        assert_eq!((user.id.number(), user.username.as_str(), user.name.as_str()), (7, "zoe", "Zoë"));
        assert!(user.two_factor && !user.admin && !user.external && !user.bot);
        assert!(read(&with("is_admin", json!(true))).unwrap().admin);
        assert!(read(&with("external", json!(true))).unwrap().external);
        assert!(read(&with("bot", json!(true))).unwrap().bot);
    }

    #[test]
    fn only_the_state_active_is_active() {
        for (name, state) in [
            ("active", UserState::Active),
            ("blocked", UserState::Blocked),
            ("ldap_blocked", UserState::Blocked),
            ("blocked_pending_approval", UserState::PendingApproval),
            ("deactivated", UserState::Deactivated),
            ("banned", UserState::Banned),
            ("suspended", UserState::Blocked),
            ("Active", UserState::Blocked),
            ("", UserState::Blocked),
        ] {
            assert_eq!(read(&with("state", json!(name))).map(|user| user.state), Ok(state), "{name}");
        }
    }

    #[test]
    fn a_missing_field_is_an_error_that_names_it() {
        for field in ["id", "username", "name", "state"] {
            let mut user = sample();
            user.as_object_mut().unwrap().remove(field);
            let list = Value::from(vec![sample(), user]).to_string();
            assert_eq!(parse_users(list.as_bytes()).unwrap_err().to_string(), format!("user 2 of the list has no `{field}`"));
        }
    }

    #[test]
    fn what_no_record_can_say_is_skipped_with_its_reason() {
        for (field, value, reason) in [
            ("username", json!("a\nb"), "`username` is text with the control byte 0x0a at offset 1"),
            ("username", json!("-zoe"), "`username`"),
            ("username", json!(null), "`username` is not text"),
            ("name", json!("Zoë\u{7f}"), "`name` is text with the control byte 0x7f"),
            ("name", json!("x".repeat(1025)), "`name` is longer than 1024 bytes"),
            ("state", json!(null), "`state` is not text"),
            ("is_admin", json!("yes"), "`is_admin` is neither true nor false"),
            ("external", json!(1), "`external` is neither true nor false"),
        ] {
            let skipped = read(&with(field, value)).unwrap_err();
            assert_eq!((skipped.id.map(u64::from), skipped.what.as_str()), (Some(7), "user 7"), "{field}");
            assert!(skipped.reason.starts_with(reason), "{}", skipped.reason);
        }
        for id in [json!(0), json!(-1), json!("7"), json!(7.5), json!(u64::MAX), json!(null)] {
            assert_eq!(read(&with("id", id.clone())).unwrap_err().id, None, "{id}");
        }
    }

    #[test]
    fn one_odd_user_does_not_stop_the_page() {
        let list = Value::from(vec![with("id", json!(0)), with("username", json!("..")), sample()]).to_string();
        let read = parse_users(list.as_bytes()).unwrap();
        assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, true]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_users(&body), parse_user(&body));
        }

        #[test]
        fn no_cut_or_changed_answer_panics(cut in 0_usize..400, at in 0_usize..400, byte in any::<u8>()) {
            let mut body = Value::from(vec![sample()]).to_string().into_bytes();
            let at = at % body.len();
            body[at] = byte;
            let _ = parse_users(&body);
            body.truncate(cut);
            let _ = parse_users(&body);
        }
    }
}
