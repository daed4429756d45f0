//! What counts as a decision of the primary. Everything else is a failure of the primary, never an answer. (client.md 0.1-0.3)

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::model::change::CommitPosition;
use crate::model::key::PublicKey;

/// The kinds of question, with what the response is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// Who has the key with this blob?
    AuthorizedKeys(Vec<u8>),
    /// Which group and user does a certificate belong to?
    AuthorizedCerts,
    /// Which user is it?
    Discover,
    /// Which versions does the primary run?
    Check,
    /// Is this access allowed?
    Allowed,
    /// Which token may be used for LFS?
    LfsAuthenticate,
}

impl QueryKind {
    /// Returns the name of the endpoint, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AuthorizedKeys(_) => "authorized_keys",
            Self::AuthorizedCerts => "authorized_certs",
            Self::Discover => "discover",
            Self::Check => "check",
            Self::Allowed => "allowed",
            Self::LfsAuthenticate => "lfs_authenticate",
        }
    }
}

/// What the primary decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionKind {
    /// A yes.
    Yes,
    /// A no.
    No,
    /// The question was wrong, or asked too often: relayed, never cached.
    Rejected,
}

/// A decision with the response that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub kind: DecisionKind,
    pub status: StatusCode,
    pub body: Bytes,
    /// The last commit that the primary knew of when it began to answer; `None` if it does not say.
    pub decided_at: Option<CommitPosition>,
}

/// Returns the decision in a response; the error says in a few words why there is none.
pub fn parse_decision(kind: &QueryKind, status: StatusCode, body: Bytes) -> Result<Decision, String> {
    let value: Value = serde_json::from_slice(&body).map_err(|_| format!("status {} without a JSON body", status.as_u16()))?;
    let decision = classify(kind, status.as_u16(), &value).ok_or_else(|| describe_unexpected(status, &value))?;
    Ok(Decision { kind: decision, status, body, decided_at: None })
}

fn classify(kind: &QueryKind, status: u16, value: &Value) -> Option<DecisionKind> {
    match (kind, status) {
        (QueryKind::AuthorizedKeys(blob), 200) => matches_requested_key(value, blob).then_some(DecisionKind::Yes),
        (QueryKind::AuthorizedKeys(_), 404) => (value["message"] == "404 Key Not Found").then_some(DecisionKind::No),
        (QueryKind::AuthorizedCerts, 200) => {
            (is_nonempty_string(&value["username"]) && is_nonempty_string(&value["namespace"])).then_some(DecisionKind::Yes)
        }
        (QueryKind::AuthorizedCerts, 403 | 404) => value.is_object().then_some(DecisionKind::No),
        (QueryKind::Discover, 200) if value.is_null() => Some(DecisionKind::No),
        (QueryKind::Discover, 200) => value["id"].as_u64().is_some_and(|id| id > 0).then_some(DecisionKind::Yes),
        (QueryKind::Check, 200) => value["api_version"].is_string().then_some(DecisionKind::Yes),
        (QueryKind::Allowed, 200 | 300) => (value["status"] == true).then_some(DecisionKind::Yes),
        (QueryKind::Allowed, 401 | 403 | 404 | 422) => (value["status"] == false).then_some(DecisionKind::No),
        (QueryKind::LfsAuthenticate, 200) => {
            (is_nonempty_string(&value["username"]) && is_nonempty_string(&value["lfs_token"])).then_some(DecisionKind::Yes)
        }
        (QueryKind::LfsAuthenticate, 404) => value["message"].is_string().then_some(DecisionKind::No),
        // A limit is about one person's operations; on the way to who that is it is a failure, of which a held yes is no part.
        (QueryKind::Allowed | QueryKind::LfsAuthenticate, 400 | 429)
        | (QueryKind::AuthorizedKeys(_) | QueryKind::AuthorizedCerts | QueryKind::Discover, 400) => {
            value.is_object().then_some(DecisionKind::Rejected)
        }
        _ => None,
    }
}

/// Returns whether the response has an id above zero, and a key on one line whose blob is the requested one.
fn matches_requested_key(value: &Value, requested: &[u8]) -> bool {
    let id = value["id"].as_i64().is_some_and(|id| id > 0);
    let key = value["key"].as_str().and_then(|line| line.parse::<PublicKey>().ok());
    id && key.is_some_and(|key| key.blob() == requested)
}

fn is_nonempty_string(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn describe_unexpected(status: StatusCode, value: &Value) -> String {
    match status.as_u16() {
        401 if value.get("status").is_none() => "it refused our token: are the shell secrets the same?".to_owned(),
        number => format!("status {number} is no answer to this question"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::{DecisionKind, QueryKind, parse_decision};
    use crate::model::key::decode_blob;

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn classified(kind: &QueryKind, status: u16, body: &str) -> Option<DecisionKind> {
        parse_decision(kind, StatusCode::from_u16(status).unwrap(), Bytes::copy_from_slice(body.as_bytes()))
            .ok()
            .map(|decided| decided.kind)
    }

    #[test]
    fn a_key_is_only_found_by_a_positive_id_and_the_requested_blob() {
        let kind = QueryKind::AuthorizedKeys(decode_blob(BLOB).unwrap());
        let with = |id: &str, key: &str| format!(r#"{{"id":{id},"key":"{key}"}}"#);
        let key = format!("ssh-ed25519 {BLOB} Zoë (host)");
        assert_eq!(classified(&kind, 200, &with("7", &key)), Some(DecisionKind::Yes));
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for body in [with("0", &key), with("-1", &key), with("\"7\"", &key), with("7", other), with("7", ""), "{}".into(), "null".into()] {
            assert_eq!(classified(&kind, 200, &body), None, "{body}");
        }
        assert_eq!(decode_blob(&format!("{BLOB}!")), None, "what is decoded leniently could not be compared");
    }

    #[test]
    fn a_key_is_missing_only_with_the_exact_404_message() {
        let kind = QueryKind::AuthorizedKeys(decode_blob(BLOB).unwrap());
        assert_eq!(classified(&kind, 404, r#"{"message":"404 Key Not Found"}"#), Some(DecisionKind::No));
        for (status, body) in
            [(404, r#"{"error":"404 Not Found"}"#), (404, "<html>"), (401, r#"{"message":"401 Unauthorized"}"#), (500, "{}")]
        {
            assert_eq!(classified(&kind, status, body), None, "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_of_our_token_is_no_denial_of_access() {
        assert_eq!(classified(&QueryKind::Allowed, 401, r#"{"message":"401 Unauthorized"}"#), None);
        assert_eq!(
            classified(&QueryKind::Allowed, 401, r#"{"status":false,"message":"Your account has been blocked."}"#),
            Some(DecisionKind::No)
        );
        assert_eq!(classified(&QueryKind::Allowed, 200, r#"{"status":false}"#), None);
        assert_eq!(classified(&QueryKind::Allowed, 300, r#"{"status":true,"payload":{}}"#), Some(DecisionKind::Yes));
        assert_eq!(classified(&QueryKind::Allowed, 301, r#"{"status":true}"#), None);
        assert_eq!(classified(&QueryKind::Allowed, 429, r#"{"message":{"error":"x"}}"#), Some(DecisionKind::Rejected));
    }

    #[test]
    fn a_certificate_needs_both_names() {
        assert_eq!(classified(&QueryKind::AuthorizedCerts, 200, r#"{"username":"zoe","namespace":"g"}"#), Some(DecisionKind::Yes));
        assert_eq!(classified(&QueryKind::AuthorizedCerts, 200, r#"{"username":"zoe","namespace":""}"#), None);
        assert_eq!(classified(&QueryKind::AuthorizedCerts, 200, r#"{"username":"zoe"}"#), None);
    }

    #[test]
    fn an_unknown_user_is_null_and_not_an_empty_object() {
        assert_eq!(classified(&QueryKind::Discover, 200, "null"), Some(DecisionKind::No));
        assert_eq!(classified(&QueryKind::Discover, 200, "{}"), None);
        assert_eq!(classified(&QueryKind::Discover, 429, r#"{"message":{"error":"x"}}"#), None, "a limit says nothing of who it is");
        assert_eq!(classified(&QueryKind::Discover, 200, r#"{"id":7}"#), Some(DecisionKind::Yes));
    }
}
