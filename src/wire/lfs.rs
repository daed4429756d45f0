//! `lfs_authenticate` and `lfs_verify` on the wire. (server.md 2.2, 4, 8.1)

use serde_json::json;

use crate::model::access_request::{LfsAuthenticateRequest, LfsOperation, LfsVerifyRequest};
use crate::wire::claimant;
use crate::wire::http::params::{Params, ParamsError};

/// The body of a 404 where there is no container with large files.
pub const CONTAINER_NOT_FOUND_BODY: &str = r#"{"message":"404 Not Found"}"#;
/// The body of a 404 where there is no actor; the contract spells it otherwise.
pub const ACTOR_NOT_FOUND_BODY: &str = r#"{"message":"404 Not found"}"#;

const KNOWN_PARAMS: [&str; 8] = ["key_id", "user_id", "username", "identifier", "gl_repository", "project", "operation", "secret_token"];

/// Reads a question of `lfs_authenticate`.
pub fn parse_authenticate_request(params: &Params) -> Result<LfsAuthenticateRequest, ParamsError> {
    Ok(LfsAuthenticateRequest {
        claimed_actor: claimant::parse_claimant(params)?,
        gl_repository: params.text("gl_repository")?.filter(|word| !word.is_empty()),
        project: params.text("project")?,
        operation: parse_operation(params)?,
        unsupported_param: params.first_unknown(&KNOWN_PARAMS).map(str::to_owned),
    })
}

/// Reads what is shown to `lfs_verify`; without a login or a token there is nothing to judge.
pub fn parse_verify_request(params: &Params) -> Result<LfsVerifyRequest, ParamsError> {
    let needed = |name: &str| {
        let missing = || ParamsError::InvalidValue { name: name.to_owned(), expected: "needed, as text" };
        params.text(name)?.filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    Ok(LfsVerifyRequest {
        login: needed("login")?,
        token: needed("token")?,
        gl_repository: params.text("gl_repository")?.filter(|word| !word.is_empty()),
        project: params.text("project")?,
        operation: parse_operation(params)?,
    })
}

/// The body of a token. `expires_in` in seconds; who keeps a token takes its age off.
#[must_use]
pub fn encode_authenticate_response(username: &str, token: &str, http_path: &str, expires_in: u64) -> String {
    json!({"username": username, "lfs_token": token, "repository_http_path": http_path, "expires_in": expires_in}).to_string()
}

/// The body of a token that is believed; `write` whether it is good for uploads too.
#[must_use]
pub fn encode_verify_response(username: &str, write: bool) -> String {
    json!({"username": username, "access": if write { "write" } else { "read" }}).to_string()
}

fn parse_operation(params: &Params) -> Result<Option<LfsOperation>, ParamsError> {
    match params.text("operation")?.as_deref() {
        None | Some("") => Ok(None),
        Some("download") => Ok(Some(LfsOperation::Download)),
        Some("upload") => Ok(Some(LfsOperation::Upload)),
        // The contract knows no refusal of a word; one that is not understood asks for no more than none does.
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{encode_authenticate_response, encode_verify_response, parse_authenticate_request, parse_verify_request};
    use crate::model::access_request::{Action, ClaimedActor, LfsOperation};
    use crate::wire::http::params::Params;

    fn to_params(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn a_question_is_read_as_gitlab_shell_sends_it() {
        let question = parse_authenticate_request(&to_params(json!({"operation": "upload", "project": "g/p", "user_id": "5"}))).unwrap();
        assert_eq!(
            (question.claimed_actor.clone(), question.operation),
            (ClaimedActor::User("5".parse().ok()), Some(LfsOperation::Upload))
        );
        assert_eq!(question.to_allowed_request().action, Action::ReceivePack);
        assert_eq!(
            parse_authenticate_request(&to_params(json!({"user_id": "deploy-token-52"}))).unwrap().claimed_actor,
            ClaimedActor::User(None)
        );
        assert_eq!(parse_authenticate_request(&to_params(json!({"operation": "list"}))).unwrap().operation, None);
    }

    #[test]
    fn a_proof_needs_login_and_token_and_never_shows_the_token() {
        let proof = parse_verify_request(&to_params(json!({"login": "zoe", "token": "sesame", "project": "g/p"}))).unwrap();
        assert!(!format!("{proof:?}").contains("sesame"));
        for missing in ["login", "token"] {
            let mut params = to_params(json!({"login": "zoe", "token": "sesame"}));
            params.values.remove(missing);
            assert!(parse_verify_request(&params).unwrap_err().to_string().contains(missing));
        }
    }

    #[test]
    fn bodies_have_the_types_that_go_reads() {
        let body: Value = serde_json::from_str(&encode_authenticate_response("zoe", "t", "http://h/g/p.git", 7200)).unwrap();
        assert_eq!(body, json!({"username": "zoe", "lfs_token": "t", "repository_http_path": "http://h/g/p.git", "expires_in": 7200}));
        let body: Value = serde_json::from_str(&encode_verify_response("zoe", true)).unwrap();
        assert_eq!(body, json!({"username": "zoe", "access": "write"}));
    }
}
