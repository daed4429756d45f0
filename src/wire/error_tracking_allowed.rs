//! `error_tracking_allowed` on the wire. (server.md 2.12)

use serde_json::json;

use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// Reads the project as it was named and the public key; `None` if one of them is blank.
pub fn parse_request(params: &Params) -> Result<Option<(String, String)>, ParamsError> {
    let filled = |name| Ok(params.text(name)?.filter(|text| !text.trim().is_empty()));
    Ok(filled("project_id")?.zip(filled("public_key")?))
}

/// Returns the body.
#[must_use]
pub fn encode_response(enabled: bool) -> String {
    json!({"enabled": enabled}).to_string()
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
    fn a_request_without_project_or_key_is_none() {
        assert_eq!(parse_request(&to_params(json!({"project_id": 111, "public_key": "k"}))), Ok(Some(("111".to_owned(), "k".to_owned()))));
        for blank in [json!({"project_id": 111}), json!({"project_id": "", "public_key": "k"}), json!({"project_id": 1, "public_key": " "})]
        {
            assert_eq!(parse_request(&to_params(blank.clone())), Ok(None), "{blank}");
        }
        assert!(parse_request(&to_params(json!({"project_id": [1], "public_key": "k"}))).is_err());
        assert_eq!(encode_response(true), r#"{"enabled":true}"#);
    }
}
