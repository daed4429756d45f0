//! Who a request says it is from, out of its parameters. (server.md 1.3)

use crate::model::question::Claimant;
use crate::wire::params::{BadParams, Params};

/// The parameters that say who asks, in the order in which they count.
pub const NAMES: [&str; 4] = ["key_id", "user_id", "username", "identifier"];

/// Reads who asks: the first parameter that is there counts, whatever it says. A number that no record can have, or text that is no
/// number, is nobody; only a value of another form is an error.
pub fn read(params: &Params) -> Result<Claimant, BadParams> {
    if let Some(key) = params.text("key_id")? {
        return Ok(Claimant::Key(key.parse().ok()));
    }
    if let Some(user) = params.text("user_id")? {
        return Ok(Claimant::User(user.parse().ok()));
    }
    if let Some(username) = params.text("username")? {
        return Ok(Claimant::Username(username));
    }
    Ok(identified(&params.text("identifier")?.unwrap_or_default()))
}

/// Who an `identifier` says it is: `user-<id>` or `key-<id>`, which is the key's user; anything else is nobody.
#[must_use]
pub fn identified(identifier: &str) -> Claimant {
    match identifier.split_once('-') {
        Some(("user", id)) => Claimant::User(id.parse().ok()),
        Some(("key", id)) => Claimant::KeysUser(id.parse().ok()),
        _ => Claimant::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;
    use crate::model::question::Claimant;
    use crate::wire::params::Params;

    fn of(values: serde_json::Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn the_first_that_is_there_counts() {
        let (eleven, seven) = ("11".parse().ok(), "7".parse().ok());
        for (values, expected) in [
            (json!({"key_id": "11", "user_id": 7}), Claimant::Key(eleven)),
            (json!({"key_id": 11}), Claimant::Key(eleven)),
            (json!({"key_id": "0", "user_id": "7"}), Claimant::Key(None)),
            (json!({"key_id": "", "user_id": "7"}), Claimant::Key(None)),
            (json!({"key_id": null, "user_id": "7"}), Claimant::User(seven)),
            (json!({"username": "Zoë", "identifier": "user-7"}), Claimant::Username("Zoë".to_owned())),
            (json!({"identifier": "user-7"}), Claimant::User(seven)),
            (json!({"identifier": "key-11"}), Claimant::KeysUser(eleven)),
            (json!({"identifier": "key-x"}), Claimant::KeysUser(None)),
            (json!({"identifier": "deploy-token-5"}), Claimant::Nobody),
            (json!({}), Claimant::Nobody),
        ] {
            assert_eq!(read(&of(values.clone())), Ok(expected), "{values}");
        }
        assert!(read(&of(json!({"key_id": {"a": 1}}))).is_err());
    }
}
