//! `lfs_authenticate` on the wire: its parameters, and the body of a token. (server.md 2.2, 8.1)

use serde_json::json;

use crate::model::access_request::{LfsAuthenticateRequest, LfsOperation};
use crate::wire::claimant;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// The body of a 404 where there is no container with large files.
pub const CONTAINER_NOT_FOUND_BODY: &str = r#"{"message":"404 Not Found"}"#;
/// The body of a 404 where there is no actor; the contract writes it with a small `f`.
pub const ACTOR_NOT_FOUND_BODY: &str = r#"{"message":"404 Not found"}"#;

const KNOWN_PARAMS: [&str; 8] = ["key_id", "user_id", "username", "identifier", "gl_repository", "project", "operation", "secret_token"];

/// Reads the parameters of `lfs_authenticate`.
pub fn parse_request(params: &Params) -> Result<LfsAuthenticateRequest, ParamsError> {
    Ok(LfsAuthenticateRequest {
        claimed_actor: claimant::parse_claimant(params)?,
        gl_repository: params.text("gl_repository")?.filter(|word| !word.is_empty()),
        project: params.text("project")?,
        operation: parse_operation(params)?,
        unsupported_param: params.first_unknown(&KNOWN_PARAMS).map(str::to_owned),
    })
}

/// Reads the parameter `operation`. The contract has no refusal for an unknown one; it asks for no more than none does.
pub fn parse_operation(params: &Params) -> Result<Option<LfsOperation>, ParamsError> {
    match params.text("operation")?.as_deref() {
        Some("download") => Ok(Some(LfsOperation::Download)),
        Some("upload") => Ok(Some(LfsOperation::Upload)),
        _ => Ok(None),
    }
}

/// Returns the body of a token. `expires_in` is in seconds, counted from now also where the token is answered again.
#[must_use]
pub fn encode_response(username: &str, token: &str, http_path: &str, expires_in: u64) -> String {
    json!({"username": username, "lfs_token": token, "repository_http_path": http_path, "expires_in": expires_in}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{encode_response, parse_request};
    use crate::model::access_request::{Action, ClaimedActor, LfsOperation};
    use crate::wire::http::params::Params;

    fn to_params(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn a_request_is_read_as_gitlab_shell_sends_it() {
        let request = parse_request(&to_params(json!({"operation": "upload", "project": "g/p", "user_id": "5"}))).unwrap();
        assert_eq!((request.claimed_actor.clone(), request.operation), (ClaimedActor::User("5".parse().ok()), Some(LfsOperation::Upload)));
        assert_eq!(request.to_allowed_request().action, Action::ReceivePack);
        let deploy_token = parse_request(&to_params(json!({"user_id": "deploy-token-52"}))).unwrap();
        assert_eq!(deploy_token.claimed_actor, ClaimedActor::User(None));
        assert_eq!(parse_request(&to_params(json!({"operation": "list"}))).unwrap().operation, None);
    }

    #[test]
    fn the_body_has_the_types_that_go_reads() {
        let body: Value = serde_json::from_str(&encode_response("zoe", "t", "http://h/g/p.git", 7200)).unwrap();
        assert_eq!(body, json!({"username": "zoe", "lfs_token": "t", "repository_http_path": "http://h/g/p.git", "expires_in": 7200}));
    }
}
