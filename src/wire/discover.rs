//! The answer of `discover`. (server.md 2.4)

use serde::Serialize;

use crate::model::id::Id;
use crate::model::record::User;
use crate::model::text::Text;

/// Returns the body of `discover`: the user, or `null`.
#[must_use]
pub fn encode_response(user: Option<&User>) -> String {
    let body = user.map(|user| DiscoverBody { id: user.id, username: &user.username, name: &user.name });
    // Text and numbers always print.
    serde_json::to_string(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct DiscoverBody<'a> {
    id: Id,
    username: &'a Text,
    name: &'a Text,
}

#[cfg(test)]
mod tests {
    use super::encode_response;
    use crate::model::record::{Record, User};

    fn sample_user() -> User {
        match Record::parse(r#"{"kind":"user","id":7,"username":"zoe","name":"Zoë <x>"}"#).unwrap() {
            Record::User(user) => user,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_body_is_the_user_or_null() {
        assert_eq!(encode_response(Some(&sample_user())), r#"{"id":7,"username":"zoe","name":"Zoë <x>"}"#);
        assert_eq!(encode_response(None), "null");
    }
}
