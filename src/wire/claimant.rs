//! The actor that a request claims to be from, read from its parameters. (server.md 1.3)

use crate::model::access_request::ClaimedActor;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// The parameters that name the actor, in the order in which they count.
pub const CLAIMANT_PARAMS: [&str; 4] = ["key_id", "user_id", "username", "identifier"];

/// Reads the claimed actor: the first parameter that is given counts, whatever its value. A number that no record can have, or text
/// that is no number, is an unknown actor; only a value of another form is an error.
pub fn parse_claimant(params: &Params) -> Result<ClaimedActor, ParamsError> {
    if let Some(key) = params.text("key_id")? {
        return Ok(ClaimedActor::Key(key.parse().ok()));
    }
    if let Some(user) = params.text("user_id")? {
        return Ok(ClaimedActor::User(user.parse().ok()));
    }
    if let Some(username) = params.text("username")? {
        return Ok(ClaimedActor::Username(username));
    }
    Ok(parse_identifier(&params.text("identifier")?.unwrap_or_default()))
}

/// Reads an `identifier`: `user-<id>`, or `key-<id>` for the key's user; anything else names nobody.
#[must_use]
pub fn parse_identifier(identifier: &str) -> ClaimedActor {
    match identifier.split_once('-') {
        Some(("user", id)) => ClaimedActor::User(id.parse().ok()),
        Some(("key", id)) => ClaimedActor::KeyOwner(id.parse().ok()),
        _ => ClaimedActor::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse_claimant;
    use crate::model::access_request::ClaimedActor;
    use crate::wire::http::params::Params;

    fn to_params(values: serde_json::Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn the_first_parameter_that_is_given_counts() {
        let (eleven, seven) = ("11".parse().ok(), "7".parse().ok());
        for (values, expected) in [
            (json!({"key_id": "11", "user_id": 7}), ClaimedActor::Key(eleven)),
            (json!({"key_id": 11}), ClaimedActor::Key(eleven)),
            (json!({"key_id": "0", "user_id": "7"}), ClaimedActor::Key(None)),
            (json!({"key_id": "", "user_id": "7"}), ClaimedActor::Key(None)),
            (json!({"key_id": null, "user_id": "7"}), ClaimedActor::User(seven)),
            (json!({"username": "Zoë", "identifier": "user-7"}), ClaimedActor::Username("Zoë".to_owned())),
            (json!({"identifier": "user-7"}), ClaimedActor::User(seven)),
            (json!({"identifier": "key-11"}), ClaimedActor::KeyOwner(eleven)),
            (json!({"identifier": "key-x"}), ClaimedActor::KeyOwner(None)),
            (json!({"identifier": "deploy-token-5"}), ClaimedActor::Unspecified),
            (json!({}), ClaimedActor::Unspecified),
        ] {
            assert_eq!(parse_claimant(&to_params(values.clone())), Ok(expected), "{values}");
        }
        assert!(parse_claimant(&to_params(json!({"key_id": {"a": 1}}))).is_err());
    }
}
