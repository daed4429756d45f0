//! `lfs_authenticate` and `lfs_verify` on the wire. (server.md 2.2, 4, 8.1)

use serde_json::json;

use crate::model::question::{LfsOperation, LfsProof, LfsQuestion};
use crate::wire::claimant;
use crate::wire::params::{BadParams, Params};

/// The body of a 404 where there is no container with large files.
pub const NO_CONTAINER: &str = r#"{"message":"404 Not Found"}"#;
/// The body of a 404 where there is no actor; the contract spells it otherwise.
pub const NO_ACTOR: &str = r#"{"message":"404 Not found"}"#;

const READ: [&str; 8] = ["key_id", "user_id", "username", "identifier", "gl_repository", "project", "operation", "secret_token"];

/// Reads a question of `lfs_authenticate`.
pub fn read(params: &Params) -> Result<LfsQuestion, BadParams> {
    Ok(LfsQuestion {
        claimant: claimant::read(params)?,
        gl_repository: params.text("gl_repository")?.filter(|word| !word.is_empty()),
        project: params.text("project")?,
        operation: operation(params)?,
        unread: params.unknown(&READ).map(str::to_owned),
    })
}

/// Reads what is shown to `lfs_verify`; without a login or a token there is nothing to judge.
pub fn read_proof(params: &Params) -> Result<LfsProof, BadParams> {
    let needed = |name: &str| {
        let missing = || BadParams::Wrong { name: name.to_owned(), wanted: "needed, as text" };
        params.text(name)?.filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    Ok(LfsProof {
        login: needed("login")?,
        token: needed("token")?,
        gl_repository: params.text("gl_repository")?.filter(|word| !word.is_empty()),
        project: params.text("project")?,
        operation: operation(params)?,
    })
}

/// The body of a token. `expires_in` in seconds; who keeps a token takes its age off.
#[must_use]
pub fn authenticated(username: &str, token: &str, http_path: &str, expires_in: u64) -> String {
    json!({"username": username, "lfs_token": token, "repository_http_path": http_path, "expires_in": expires_in}).to_string()
}

/// The body of a token that is believed; `write` whether it is good for uploads too.
#[must_use]
pub fn verified(username: &str, write: bool) -> String {
    json!({"username": username, "access": if write { "write" } else { "read" }}).to_string()
}

fn operation(params: &Params) -> Result<Option<LfsOperation>, BadParams> {
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

    use super::{authenticated, read, read_proof, verified};
    use crate::model::question::{Action, Claimant, LfsOperation};
    use crate::wire::params::Params;

    fn of(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn a_question_is_read_as_gitlab_shell_sends_it() {
        let question = read(&of(json!({"operation": "upload", "project": "g/p", "user_id": "5"}))).unwrap();
        assert_eq!((question.claimant.clone(), question.operation), (Claimant::User("5".parse().ok()), Some(LfsOperation::Upload)));
        assert_eq!(question.as_allowed().action, Action::ReceivePack);
        assert_eq!(read(&of(json!({"user_id": "deploy-token-52"}))).unwrap().claimant, Claimant::User(None));
        assert_eq!(read(&of(json!({"operation": "list"}))).unwrap().operation, None);
    }

    #[test]
    fn a_proof_needs_login_and_token_and_never_shows_the_token() {
        let proof = read_proof(&of(json!({"login": "zoe", "token": "sesame", "project": "g/p"}))).unwrap();
        assert!(!format!("{proof:?}").contains("sesame"));
        for missing in ["login", "token"] {
            let mut params = of(json!({"login": "zoe", "token": "sesame"}));
            params.values.remove(missing);
            assert!(read_proof(&params).unwrap_err().to_string().contains(missing));
        }
    }

    #[test]
    fn bodies_have_the_types_that_go_reads() {
        let body: Value = serde_json::from_str(&authenticated("zoe", "t", "http://h/g/p.git", 7200)).unwrap();
        assert_eq!(body, json!({"username": "zoe", "lfs_token": "t", "repository_http_path": "http://h/g/p.git", "expires_in": 7200}));
        let body: Value = serde_json::from_str(&verified("zoe", true)).unwrap();
        assert_eq!(body, json!({"username": "zoe", "access": "write"}));
    }
}
