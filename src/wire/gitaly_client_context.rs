//! `gitaly_client_context_bin`: what a newer server passes to Gitaly with a push, and gets back in the request of its hook. (server.md 2.1)

use base64::Engine as _;

use crate::model::id::Id;
use crate::wire::http::base64::BASE64_ANY_PADDING;
use crate::wire::http::json_body;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

const PARAM_NAME: &str = "gitaly_client_context_bin";
const SCOPED_USER_FIELD: &str = "scoped-user-id";

/// The user that a service account acts for; `None` inside if the value is no valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopedUser(pub Option<Id>);

/// Reads the user that the context names, if it names one. What is not the Base64 of a JSON object is refused.
pub fn parse_scoped_user(params: &Params) -> Result<Option<ScopedUser>, ParamsError> {
    let Some(text) = params.text(PARAM_NAME)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let decoded = BASE64_ANY_PADDING.decode(text).ok().and_then(|bytes| json_body::parse_json_object(&bytes).ok());
    let context = Params {
        values: decoded.ok_or_else(|| ParamsError::invalid_value(PARAM_NAME, "the Base64 of a JSON object, no name in it twice"))?,
    };
    Ok(context.contains(SCOPED_USER_FIELD).then(|| ScopedUser(context.id(SCOPED_USER_FIELD).ok().flatten())))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::{ScopedUser, parse_scoped_user};
    use crate::wire::http::params::Params;
    use crate::wire::http::params_error::ParamsError;

    fn read(text: &str) -> Result<Option<ScopedUser>, ParamsError> {
        parse_scoped_user(&Params { values: json!({"gitaly_client_context_bin": text}).as_object().cloned().unwrap() })
    }

    #[test]
    fn a_context_names_no_user_a_user_or_an_invalid_id() {
        let of = |json: &str| read(&STANDARD.encode(json)).unwrap();
        assert_eq!((read("").unwrap(), of("{}"), of(r#"{"other":1}"#)), (None, None, None));
        let seven = Some(ScopedUser("7".parse().ok()));
        assert_eq!((of(r#"{"scoped-user-id":7}"#), of(r#"{"scoped-user-id":"7"}"#)), (seven, seven));
        assert_eq!((of(r#"{"scoped-user-id":"x"}"#), of(r#"{"scoped-user-id":null}"#)), (Some(ScopedUser(None)), Some(ScopedUser(None))));
    }

    #[test]
    fn what_is_no_object_is_refused_by_its_name() {
        let twice = STANDARD.encode(r#"{"scoped-user-id":null,"scoped-user-id":7}"#);
        assert!(read(&twice).is_err(), "which of the two?");
        for text in ["W10=", "AA==", "e30", "e", "?", "bnVsbA=="] {
            match read(text) {
                Ok(found) => assert_eq!((text, found), ("e30", None)),
                Err(bad) => assert!(bad.to_string().contains("gitaly_client_context_bin"), "{bad}"),
            }
        }
    }
}
