//! System hooks: what GitLab says has changed, each time without a promise of order or of being sent once. (server.md 5)
//!
//! A hook is a hint to ask. So of each event only what it names is read: ids, and as far as they are there a username and a key.

use serde_json::{Map, Value};

use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::model::text::Text;

/// The header that names the kind of hook; a system hook says [`SYSTEM_HOOK`].
pub const EVENT_HEADER: &str = "x-gitlab-event";
/// What the header of a system hook says.
pub const SYSTEM_HOOK: &str = "System Hook";
/// The header with the token that the operator gave the hook.
pub const TOKEN_HEADER: &str = "x-gitlab-token";

/// The name under which events are counted whose name is not known.
const OTHER_EVENT: &str = "other";

/// Events that say nothing of users or keys, by the names under which they are counted.
const IGNORED_EVENTS: [&str; 26] = [
    "user_add_to_team",
    "user_update_for_team",
    "user_remove_from_team",
    "user_add_to_group",
    "user_update_for_group",
    "user_remove_from_group",
    "user_access_request_to_group",
    "user_access_request_denied_for_group",
    "user_access_request_to_project",
    "user_access_request_denied_for_project",
    "project_create",
    "project_destroy",
    "project_update",
    "project_rename",
    "project_transfer",
    "group_create",
    "group_destroy",
    "group_rename",
    "group_update",
    "repository_update",
    "push",
    "tag_push",
    "merge_request",
    "gitlab_subscription_member_approval",
    "gitlab_subscription_member_approvals",
    OTHER_EVENT,
];

/// What a hook names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A key was added, a deploy key included.
    KeyCreated(NamedKey),
    /// A key was removed, a deploy key included.
    KeyDestroyed(NamedKey),
    /// An account was made.
    UserCreated(NamedUser),
    /// An account was removed, and with it its keys.
    UserDestroyed(NamedUser),
    /// An account has another username.
    UserRenamed(NamedUser),
    /// Somebody who is blocked tried to sign in: the only hook that tells of a block.
    UserFailedLogin(NamedUser),
    /// Something else, by the name under which it is counted: one of a fixed list.
    Ignored(&'static str),
}

/// The key of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey {
    /// Its id.
    pub id: Id,
    /// The key itself, if it is there and can be read.
    pub key: Option<PublicKey>,
    /// The username of its owner, of a deploy key that of its creator: no proof of either.
    pub username: Option<Text>,
}

/// The account of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUser {
    /// Its id.
    pub id: Id,
    /// Its username, after a change.
    pub username: Option<Text>,
}

/// Why a body is not understood. No text repeats a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedHook {
    /// The body is not one JSON object.
    #[error("the body of the hook is not a JSON object")]
    NotAnObject,
    /// A field is not there.
    #[error("the hook has no `{0}`")]
    MissingField(&'static str),
    /// A field has a value of another form.
    #[error("`{field}` of the hook is not {expected}")]
    InvalidField {
        /// The name of the field.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

impl HookEvent {
    /// Reads the body of a hook.
    pub fn parse(body: &[u8]) -> Result<Self, MalformedHook> {
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|_| MalformedHook::NotAnObject)?;
        Ok(match event_name(&fields)? {
            "key_create" | "deploykey_create" | "deploy_key_create" => Self::KeyCreated(read_key(&fields)?),
            "key_destroy" | "deploykey_destroy" | "deploy_key_destroy" => Self::KeyDestroyed(read_key(&fields)?),
            "user_create" => Self::UserCreated(read_user(&fields)?),
            "user_destroy" => Self::UserDestroyed(read_user(&fields)?),
            "user_rename" => Self::UserRenamed(read_user(&fields)?),
            "user_failed_login" => Self::UserFailedLogin(read_user(&fields)?),
            other => Self::Ignored(IGNORED_EVENTS.into_iter().find(|name| *name == other).unwrap_or(OTHER_EVENT)),
        })
    }

    /// Returns the name of the event, for counts and logs: one of a fixed list.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::KeyCreated(_) => "key_create",
            Self::KeyDestroyed(_) => "key_destroy",
            Self::UserCreated(_) => "user_create",
            Self::UserDestroyed(_) => "user_destroy",
            Self::UserRenamed(_) => "user_rename",
            Self::UserFailedLogin(_) => "user_failed_login",
            Self::Ignored(name) => name,
        }
    }
}

/// Returns the name of the event: `event_name`, or the `object_kind` of hooks that projects have as well.
fn event_name(fields: &Map<String, Value>) -> Result<&str, MalformedHook> {
    let text = |field: &'static str| {
        let invalid = MalformedHook::InvalidField { field, expected: "text" };
        fields.get(field).map(|value| value.as_str().ok_or(invalid)).transpose()
    };
    match text("event_name")? {
        Some(name) => Ok(name),
        None => text("object_kind")?.ok_or(MalformedHook::MissingField("event_name")),
    }
}

fn read_key(fields: &Map<String, Value>) -> Result<NamedKey, MalformedHook> {
    let key = fields.get("key").and_then(Value::as_str).and_then(|line| line.trim().parse().ok());
    Ok(NamedKey { id: read_id(fields, "id")?, key, username: read_username(fields) })
}

fn read_user(fields: &Map<String, Value>) -> Result<NamedUser, MalformedHook> {
    Ok(NamedUser { id: read_id(fields, "user_id")?, username: read_username(fields) })
}

fn read_id(fields: &Map<String, Value>, field: &'static str) -> Result<Id, MalformedHook> {
    let value = fields.get(field).ok_or(MalformedHook::MissingField(field))?;
    let id = value.as_u64().and_then(|number| Id::try_from(number).ok());
    id.ok_or(MalformedHook::InvalidField { field, expected: "a positive whole number" })
}

fn read_username(fields: &Map<String, Value>) -> Option<Text> {
    fields.get("username").and_then(Value::as_str).and_then(|name| Text::try_from(name).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{HookEvent, IGNORED_EVENTS, MalformedHook};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn parse(body: &Value) -> Result<HookEvent, MalformedHook> {
        HookEvent::parse(body.to_string().as_bytes())
    }

    fn key_event(name: &str) -> Value {
        json!({
            "event_name": name, "created_at": "2014-08-18T18:45:16Z", "updated_at": "2014-08-18T18:45:16Z", "username": "root",
            "key": format!("{KEY} root@example.com"), "id": 4
        })
    }

    fn user_event(name: &str) -> Value {
        json!({
            "event_name": name, "created_at": "2012-07-21T07:44:07Z", "updated_at": "2012-07-21T07:38:22Z", "name": "John Smith",
            "email": "js@gitlabhq.com", "user_id": 41, "username": "js", "old_username": "john", "state": "blocked"
        })
    }

    #[test]
    fn each_event_names_its_key_or_its_account() {
        for name in ["key_create", "key_destroy"] {
            let event = parse(&key_event(name)).unwrap();
            assert_eq!(event.name(), name);
            let (HookEvent::KeyCreated(named) | HookEvent::KeyDestroyed(named)) = event else { panic!("{event:?}") };
            assert_eq!((named.id.number(), named.username.as_deref()), (4, Some("root")));
            assert_eq!(named.key.map(|key| key.to_string()).as_deref(), Some(KEY));
        }
        for name in ["user_create", "user_destroy", "user_rename", "user_failed_login"] {
            let event = parse(&user_event(name)).unwrap();
            assert_eq!(event.name(), name);
            let (HookEvent::UserCreated(named)
            | HookEvent::UserDestroyed(named)
            | HookEvent::UserRenamed(named)
            | HookEvent::UserFailedLogin(named)) = event
            else {
                panic!("{event:?}")
            };
            assert_eq!((named.id.number(), named.username.as_deref()), (41, Some("js")));
        }
    }

    #[test]
    fn a_removed_key_needs_no_more_than_its_id() {
        for (field, value) in [("key", json!("no key")), ("key", json!(null)), ("username", json!(null)), ("username", json!("a\nb"))] {
            let mut body = key_event("key_destroy");
            body[field] = value;
            assert!(matches!(parse(&body), Ok(HookEvent::KeyDestroyed(named)) if named.id.number() == 4));
        }
        assert!(matches!(parse(&json!({"event_name": "deploykey_destroy", "id": 9})), Ok(HookEvent::KeyDestroyed(_))));
    }

    #[test]
    fn other_events_are_ignored_under_a_name_of_a_fixed_list() {
        for name in IGNORED_EVENTS {
            assert_eq!(parse(&json!({"event_name": name})), Ok(HookEvent::Ignored(name)));
        }
        assert_eq!(parse(&json!({"event_name": "user_promoted\n"})), Ok(HookEvent::Ignored("other")));
        assert_eq!(parse(&json!({"object_kind": "merge_request"})), Ok(HookEvent::Ignored("merge_request")));
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_the_field() {
        for (body, error) in [
            (json!({}), "the hook has no `event_name`"),
            (json!([]), "the body of the hook is not a JSON object"),
            (json!({"event_name": 7}), "`event_name` of the hook is not text"),
            (json!({"event_name": "key_destroy"}), "the hook has no `id`"),
            (json!({"event_name": "key_destroy", "id": "4"}), "`id` of the hook is not a positive whole number"),
            (json!({"event_name": "key_create", "id": 0}), "`id` of the hook is not a positive whole number"),
            (json!({"event_name": "user_rename", "id": 4}), "the hook has no `user_id`"),
            (json!({"event_name": "user_create", "user_id": -1}), "`user_id` of the hook is not a positive whole number"),
        ] {
            assert_eq!(parse(&body).unwrap_err().to_string(), error, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = HookEvent::parse(&body);
        }

        #[test]
        fn no_changed_hook_panics(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            for body in [key_event("key_destroy"), user_event("user_rename")] {
                let mut body = body.to_string().into_bytes();
                let at = at.index(body.len());
                body[at] = byte;
                let _ = HookEvent::parse(&body);
            }
        }
    }
}
