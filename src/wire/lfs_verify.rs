//! `lfs_verify` on the wire: the login and token that are presented, and what they may be used for. (server.md 4)

use serde_json::json;

use crate::model::access_request::LfsVerifyRequest;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;
use crate::wire::lfs_authenticate::parse_operation;

/// Reads the parameters of `lfs_verify`; a request without a login or a token is refused.
pub fn parse_request(params: &Params) -> Result<LfsVerifyRequest, ParamsError> {
    let required = |name: &str| {
        let missing = || ParamsError::InvalidValue { name: name.to_owned(), expected: "needed, as text" };
        params.text(name)?.filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    Ok(LfsVerifyRequest {
        login: required("login")?,
        token: required("token")?,
        gl_repository: params.text("gl_repository")?.filter(|word| !word.is_empty()),
        project: params.text("project")?,
        operation: parse_operation(params)?,
    })
}

/// Returns the body for a valid token; `write` tells whether it is good for uploads too.
#[must_use]
pub fn encode_response(username: &str, write: bool) -> String {
    json!({"username": username, "access": if write { "write" } else { "read" }}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{encode_response, parse_request};
    use crate::wire::http::params::Params;

    fn to_params(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn a_request_needs_login_and_token_and_its_debug_form_hides_the_token() {
        let request = parse_request(&to_params(json!({"login": "zoe", "token": "sesame", "project": "g/p"}))).unwrap();
        assert!(!format!("{request:?}").contains("sesame"));
        for missing in ["login", "token"] {
            let mut params = to_params(json!({"login": "zoe", "token": "sesame"}));
            params.values.remove(missing);
            assert!(parse_request(&params).unwrap_err().to_string().contains(missing));
        }
    }

    #[test]
    fn the_body_has_the_types_that_go_reads() {
        let body: Value = serde_json::from_str(&encode_response("zoe", true)).unwrap();
        assert_eq!(body, json!({"username": "zoe", "access": "write"}));
    }
}
