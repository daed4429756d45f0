//! What counts as a decision of the primary. Everything else is a failure of the primary, never an answer. (client.md 0.1-0.3)

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::model::key::{PublicKey, decode_blob};

/// What was asked, with what its answer is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sidecar) enum Kind {
    /// Whose key: the blob that was asked.
    AuthorizedKeys(Vec<u8>),
    /// Which group's certificate.
    AuthorizedCerts,
    /// Which user.
    Discover,
    /// Which versions.
    Check,
    /// May they.
    Allowed,
    /// A token for LFS.
    LfsAuthenticate,
}

/// What the primary decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Sense {
    /// It said yes.
    Yes,
    /// It said no.
    No,
    /// It said that the question was wrong, or asked too often: relayed, never kept.
    Neither,
}

/// A decision with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sidecar) struct Decided {
    pub sense: Sense,
    pub status: StatusCode,
    pub body: Bytes,
}

/// Judges an answer; the error says in a few words why it is none.
pub(in crate::sidecar) fn judge(kind: &Kind, status: StatusCode, body: Bytes) -> Result<Decided, String> {
    let value: Value = serde_json::from_slice(&body).map_err(|_| format!("status {} without a JSON body", status.as_u16()))?;
    let sense = sense(kind, status.as_u16(), &value).ok_or_else(|| unheard(status, &value))?;
    Ok(Decided { sense, status, body })
}

fn sense(kind: &Kind, status: u16, value: &Value) -> Option<Sense> {
    match (kind, status) {
        (Kind::AuthorizedKeys(blob), 200) => names_the_key(value, blob).then_some(Sense::Yes),
        (Kind::AuthorizedKeys(_), 404) => (value["message"] == "404 Key Not Found").then_some(Sense::No),
        (Kind::AuthorizedCerts, 200) => (filled(&value["username"]) && filled(&value["namespace"])).then_some(Sense::Yes),
        (Kind::AuthorizedCerts, 403 | 404) => value.is_object().then_some(Sense::No),
        (Kind::Discover, 200) if value.is_null() => Some(Sense::No),
        (Kind::Discover, 200) => value["id"].as_u64().is_some_and(|id| id > 0).then_some(Sense::Yes),
        (Kind::Check, 200) => value["api_version"].is_string().then_some(Sense::Yes),
        (Kind::Allowed, 200 | 300) => (value["status"] == true).then_some(Sense::Yes),
        (Kind::Allowed, 401 | 403 | 404 | 422) => (value["status"] == false).then_some(Sense::No),
        (Kind::LfsAuthenticate, 200) => (filled(&value["username"]) && filled(&value["lfs_token"])).then_some(Sense::Yes),
        (Kind::LfsAuthenticate, 404) => value["message"].is_string().then_some(Sense::No),
        (Kind::Allowed | Kind::LfsAuthenticate | Kind::Discover, 400 | 429) => value.is_object().then_some(Sense::Neither),
        (Kind::AuthorizedKeys(_) | Kind::AuthorizedCerts, 400) => value.is_object().then_some(Sense::Neither),
        _ => None,
    }
}

/// An id above zero, and a key on one line whose blob is the one that was asked.
fn names_the_key(value: &Value, asked: &[u8]) -> bool {
    let id = value["id"].as_i64().is_some_and(|id| id > 0);
    let key = value["key"].as_str().and_then(|line| line.parse::<PublicKey>().ok());
    id && key.is_some_and(|key| key.blob() == asked)
}

fn filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn unheard(status: StatusCode, value: &Value) -> String {
    match status.as_u16() {
        401 if value.get("status").is_none() => "it refused our token: are the shell secrets the same?".to_owned(),
        number => format!("status {number} is no answer to this question"),
    }
}

/// The blob that a caller asked of, if it is Base64.
pub(in crate::sidecar) fn asked_blob(key: &str) -> Option<Vec<u8>> {
    decode_blob(key)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::{Kind, Sense, asked_blob, judge};

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn judged(kind: &Kind, status: u16, body: &str) -> Option<Sense> {
        judge(kind, StatusCode::from_u16(status).unwrap(), Bytes::copy_from_slice(body.as_bytes())).ok().map(|decided| decided.sense)
    }

    #[test]
    fn a_key_is_only_found_by_a_positive_id_and_the_blob_that_was_asked() {
        let kind = Kind::AuthorizedKeys(asked_blob(BLOB).unwrap());
        let with = |id: &str, key: &str| format!(r#"{{"id":{id},"key":"{key}"}}"#);
        let key = format!("ssh-ed25519 {BLOB} Zoë (host)");
        assert_eq!(judged(&kind, 200, &with("7", &key)), Some(Sense::Yes));
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for body in [with("0", &key), with("-1", &key), with("\"7\"", &key), with("7", other), with("7", ""), "{}".into(), "null".into()] {
            assert_eq!(judged(&kind, 200, &body), None, "{body}");
        }
        assert_eq!(asked_blob(&format!("{BLOB}!")), None, "what is asked leniently could not be checked");
    }

    #[test]
    fn a_key_is_only_missing_by_the_words_of_a_miss() {
        let kind = Kind::AuthorizedKeys(asked_blob(BLOB).unwrap());
        assert_eq!(judged(&kind, 404, r#"{"message":"404 Key Not Found"}"#), Some(Sense::No));
        for (status, body) in
            [(404, r#"{"error":"404 Not Found"}"#), (404, "<html>"), (401, r#"{"message":"401 Unauthorized"}"#), (500, "{}")]
        {
            assert_eq!(judged(&kind, status, body), None, "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_of_our_token_is_no_denial_of_access() {
        assert_eq!(judged(&Kind::Allowed, 401, r#"{"message":"401 Unauthorized"}"#), None);
        assert_eq!(judged(&Kind::Allowed, 401, r#"{"status":false,"message":"Your account has been blocked."}"#), Some(Sense::No));
        assert_eq!(judged(&Kind::Allowed, 200, r#"{"status":false}"#), None);
        assert_eq!(judged(&Kind::Allowed, 300, r#"{"status":true,"payload":{}}"#), Some(Sense::Yes));
        assert_eq!(judged(&Kind::Allowed, 301, r#"{"status":true}"#), None);
        assert_eq!(judged(&Kind::Allowed, 429, r#"{"message":{"error":"x"}}"#), Some(Sense::Neither));
    }

    #[test]
    fn a_certificate_needs_both_names() {
        assert_eq!(judged(&Kind::AuthorizedCerts, 200, r#"{"username":"zoe","namespace":"g"}"#), Some(Sense::Yes));
        assert_eq!(judged(&Kind::AuthorizedCerts, 200, r#"{"username":"zoe","namespace":""}"#), None);
        assert_eq!(judged(&Kind::AuthorizedCerts, 200, r#"{"username":"zoe"}"#), None);
    }

    #[test]
    fn nobody_is_null_and_not_an_empty_object() {
        assert_eq!(judged(&Kind::Discover, 200, "null"), Some(Sense::No));
        assert_eq!(judged(&Kind::Discover, 200, "{}"), None);
        assert_eq!(judged(&Kind::Discover, 200, r#"{"id":7}"#), Some(Sense::Yes));
    }
}
