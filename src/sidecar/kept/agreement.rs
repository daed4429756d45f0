//! Whether two yeses of the primary to one question say the same: compared are the fields that decide what a caller does, not names, titles
//! or messages to the console. Pure.

use serde_json::Value;

use crate::model::kept_answer::KeptKind;

/// Returns the first field in which two bodies differ that matters, as a JSON pointer without its first `/`; `None` if they agree.
#[must_use]
pub fn differing_field(kind: KeptKind, kept: &[u8], given: &[u8]) -> Option<&'static str> {
    let [kept, given] = [kept, given].map(|body| serde_json::from_slice::<Value>(body).unwrap_or_default());
    let differs = |field: &&&str| kept.pointer(field) != given.pointer(field);
    compared_fields(kind).iter().find(differs).map(|field| field.trim_start_matches('/'))
}

const fn compared_fields(kind: KeptKind) -> &'static [&'static str] {
    match kind {
        KeptKind::AuthorizedKeys => &["/id", "/expires_at"],
        KeptKind::AuthorizedCerts => &["/username", "/namespace"],
        KeptKind::Discover => &["/id", "/username"],
        KeptKind::Pull | KeptKind::Push => &["/gl_id", "/gl_repository", "/gl_project_path", "/gitaly/address"],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::differing_field;
    use crate::model::kept_answer::KeptKind;

    fn difference(kind: KeptKind, kept: &Value, given: &Value) -> Option<&'static str> {
        differing_field(kind, kept.to_string().as_bytes(), given.to_string().as_bytes())
    }

    #[test]
    fn what_decides_what_a_caller_does_is_compared_and_what_is_for_people_is_not() {
        let key = json!({"id": 7, "title": "a", "key": "ssh-ed25519 A Zoe", "expires_at": null});
        let user = json!({"id": 7, "username": "zoe", "name": "Zoe"});
        let certificate = json!({"username": "zoe", "namespace": "g", "success": true});
        let access = json!({"status": true, "gl_id": "user-7", "gl_repository": "project-9", "gl_project_path": "g/p",
            "gl_console_messages": [], "gitaly": {"address": "unix:/x", "token": "t"}});
        for (kind, body, field, pointer) in [
            (KeptKind::AuthorizedKeys, &key, Some("id"), "/id"),
            (KeptKind::AuthorizedKeys, &key, Some("expires_at"), "/expires_at"),
            (KeptKind::AuthorizedKeys, &key, None, "/title"),
            (KeptKind::Discover, &user, Some("username"), "/username"),
            (KeptKind::Discover, &user, None, "/name"),
            (KeptKind::AuthorizedCerts, &certificate, Some("namespace"), "/namespace"),
            (KeptKind::Pull, &access, Some("gl_id"), "/gl_id"),
            (KeptKind::Pull, &access, Some("gl_repository"), "/gl_repository"),
            (KeptKind::Push, &access, Some("gl_project_path"), "/gl_project_path"),
            (KeptKind::Push, &access, Some("gitaly/address"), "/gitaly/address"),
            (KeptKind::Push, &access, None, "/gl_console_messages"),
            (KeptKind::Push, &access, None, "/gitaly/token"),
        ] {
            assert_eq!(difference(kind, body, body), None);
            let mut changed = body.clone();
            *changed.pointer_mut(pointer).unwrap() = json!("another");
            assert_eq!(difference(kind, body, &changed), field, "{pointer}");
        }
    }
}
