//! Errors and what they are answered with: a status and a sentence for a person, as `{"message": …}`; or a body of another shape, where the
//! contract has one, always with `message` in it.
//! (server.md 1.2; client.md 0: the message of a 4xx and of 501 reaches the person, that of another 5xx is lost)

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::model::directory::DirectoryError;
use crate::net::body::BodyError;
use crate::net::message::Response;
use crate::net::peer::Peer;
use crate::store::error::{StoreError, WriteRefusal};
use crate::wire::http::message::encode_message;
use crate::wire::http::params_error::ParamsError;
use crate::wire::http::request_target::RequestTargetError;
use crate::wire::http::validation::ValidationError;

/// What a person reads who asked too often: GitLab's own sentence. (server.md 1.2)
pub const TOO_MANY_REQUESTS_MESSAGE: &str = "This endpoint has been requested too many times. Try again later.";

/// The most of a reason that is answered: it may repeat what a caller sent, which may be megabytes.
const MAX_REASON_BYTES: usize = 2048;

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Its status.
    pub status: StatusCode,
    /// Its sentence.
    pub message: String,
    /// Its body, where that is more than the sentence.
    pub body: Option<Box<Value>>,
}

/// What a handler returns.
pub type HandlerResult = Result<Response, ApiError>;

/// Why a request is refused before its handler, and what is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which of the checks it did not pass.
    pub kind: RejectionKind,
    /// Why, in a few words for logs and metrics.
    pub reason: &'static str,
    /// The answer.
    pub error: ApiError,
}

/// A check that a request passes before its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// Its path.
    Path,
    /// The peer that sends it.
    Peer,
    /// What it shows.
    Token,
    /// The memory that its body would take.
    NoMemory,
}

impl RejectionKind {
    /// Returns its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Peer => "peer",
            Self::Token => "token",
            Self::NoMemory => "no_room",
        }
    }
}

impl Rejection {
    /// Refuses a path: 400.
    #[must_use]
    pub fn path(error: &RequestTargetError) -> Self {
        Self { kind: RejectionKind::Path, reason: "bad path", error: ApiError::bad_request(error) }
    }

    /// Refuses a peer by the rules of the socket: 403.
    #[must_use]
    pub fn peer(peer: &Peer) -> Self {
        let error = match peer {
            Peer::Unix { uid, .. } => {
                ApiError::forbidden(format_args!("user {uid} may not ask this here; see default_scopes and [[peer]] in the configuration"))
            }
            Peer::Tcp(_) => ApiError::forbidden("this is not answered over TCP"),
        };
        Self { kind: RejectionKind::Peer, reason: "peer", error }
    }

    /// Refuses a peer for a reason of its own: 403.
    #[must_use]
    pub fn forbidden(reason: &'static str, text: &str) -> Self {
        Self { kind: RejectionKind::Peer, reason, error: ApiError::forbidden(text) }
    }

    /// Refuses what a request shows: 401, without saying why.
    #[must_use]
    pub fn token(reason: &'static str) -> Self {
        Self { kind: RejectionKind::Token, reason, error: ApiError::unauthorized() }
    }

    /// Refuses a body for which there is no memory: 503 to a caller who is not authenticated yet, else 413. A 5xx would tell a host that the
    /// primary fails, which is not one caller's to say.
    #[must_use]
    pub fn no_memory(error: BodyError) -> Self {
        let reason = if matches!(error, BodyError::DecodedTooLarge(_)) { "too large decoded" } else { "no room" };
        Self { kind: RejectionKind::NoMemory, reason, error: error.into() }
    }
}

impl ApiError {
    /// Returns an error with any status and sentence.
    #[must_use]
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, message: text.into(), body: None }
    }

    /// Returns an error with any status, and a body of another shape than `{"message": …}`.
    #[must_use]
    pub fn with_body(status: StatusCode, text: impl Into<String>, body: Value) -> Self {
        Self { status, message: text.into(), body: Some(Box::new(body)) }
    }

    /// 400 for parameters that are missing or of the wrong form: `{"error": …}`.
    #[must_use]
    pub fn invalid_parameters(text: impl Into<String>) -> Self {
        let text = text.into();
        let body = json!({"error": text, "message": text});
        Self::with_body(StatusCode::BAD_REQUEST, text, body)
    }

    /// 400 for what a record may not be: `{"message": {field: [text, …], …}}`.
    #[must_use]
    pub fn invalid_fields(fields: Map<String, Value>) -> Self {
        let body = json!({"message": fields});
        Self::with_body(StatusCode::BAD_REQUEST, "400 Bad request", body)
    }

    /// 400 with its reason, cut where it repeats more of the request than a person reads.
    #[must_use]
    pub fn bad_request(reason: impl std::fmt::Display) -> Self {
        let mut message = format!("400 Bad request - {reason}");
        if message.len() > MAX_REASON_BYTES {
            message.truncate(message.floor_char_boundary(MAX_REASON_BYTES));
            message.push('…');
        }
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 for a parameter that is missing.
    #[must_use]
    pub fn missing_parameter(name: &str) -> Self {
        Self::bad_request(format_args!("{name} is missing"))
    }

    /// 400 for a parameter that is not read here.
    #[must_use]
    pub fn unknown_parameter(name: &str) -> Self {
        Self::bad_request(format_args!("the parameter `{name}` is not understood here"))
    }

    /// 401, without saying why.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "401 Unauthorized")
    }

    /// 403 with its reason.
    #[must_use]
    pub fn forbidden(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, format!("403 Forbidden - {reason}"))
    }

    /// 404 of a thing by its name, as `Key`; of nothing in particular if it is empty.
    #[must_use]
    pub fn not_found(thing: &str) -> Self {
        let gap = if thing.is_empty() { "" } else { " " };
        Self::new(StatusCode::NOT_FOUND, format!("404 {thing}{gap}Not Found"))
    }

    /// 429: this was asked too often. Without `Retry-After`, which clients obey without a bound. (client.md 0)
    #[must_use]
    pub fn too_many_requests() -> Self {
        let body = json!({"message": {"error": TOO_MANY_REQUESTS_MESSAGE}});
        Self::with_body(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_REQUESTS_MESSAGE, body)
    }

    /// 409 with its reason.
    #[must_use]
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason)
    }

    /// 500: an internal error; `detail` is logged, not answered.
    #[must_use]
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "a request failed with an internal error: {detail}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error")
    }

    /// Returns the same error of a daemon that is not a primary and has a primary's store: a `mirror`. What is said of the primary's store is
    /// said of its own.
    #[must_use]
    pub fn with_store_of(self, daemon: &str) -> Self {
        match self.status {
            StatusCode::FAILED_DEPENDENCY => Self { message: self.message.replace("primary's", &format!("{daemon}'s")), ..self },
            _ => self,
        }
    }

    /// Returns the response.
    #[must_use]
    pub fn into_response(self) -> Response {
        match self.body {
            Some(body) => Response::json(self.status, body.to_string()),
            None => Response::json(self.status, encode_message(&self.message)),
        }
    }
}

/// What is said of a write for which the primary's disk has no room. It changed nothing, so that it is not a 5xx, of which gitlab-shell
/// would send it again and the sidecar would say that its fate is unknown.
const DISK_FULL_MESSAGE: &str = "The primary's disk is full, so nothing can be changed now, and this was not; what is known is still \
    answered. Once there is room on the disk of its store, try again.";

/// The same of a write to a file system that takes none since then.
fn read_only_message(error: &StoreError) -> String {
    let since = error.read_only_folder_and_since().map(|(_, since)| format!(" since {since}")).unwrap_or_default();
    format!(
        "The file system of the primary's store is read-only{since}, so nothing can be changed now, and this was not; what is known \
         is still answered. Once it is mounted writable again, try again: the kernel's log says why it is read-only."
    )
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = match error.write_refusal() {
            Some(WriteRefusal::DiskFull) => DISK_FULL_MESSAGE.to_owned(),
            Some(WriteRefusal::ReadOnly) => read_only_message(&error),
            None => return Self::internal(error),
        };
        tracing::debug!(%error, "refused a write: {error}");
        Self::new(StatusCode::FAILED_DEPENDENCY, message)
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        Self::internal(error)
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<ValidationError> for ApiError {
    fn from(error: ValidationError) -> Self {
        Self::invalid_parameters(error.0)
    }
}

impl From<ParamsError> for ApiError {
    fn from(error: ParamsError) -> Self {
        Self::bad_request(error)
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge(_) | BodyError::DecodedTooLarge(_) | BodyError::MemoryInUse => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
            BodyError::Truncated => StatusCode::BAD_REQUEST,
            BodyError::BudgetExhausted => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::StatusCode;

    use super::ApiError;
    use crate::model::time::Time;
    use crate::store::error::StoreError;

    #[test]
    fn a_write_that_was_not_begun_is_424_with_a_sentence_that_says_what_since_when_and_what_to_do() {
        let folder = Path::new("/store");
        for (error, words) in [
            (StoreError::disk_full(folder, 1), ["disk is full", "this was not", "room"]),
            (StoreError::read_only(folder, Time::EPOCH), ["read-only since 1970-01-01T00:00:00.000Z,", "this was not", "mounted writable"]),
        ] {
            let ApiError { status, message, .. } = error.into();
            assert_eq!(status, StatusCode::FAILED_DEPENDENCY);
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
            assert!(!message.contains("  ") && !message.contains("/store"), "one line, without a path: {message:?}");
        }
    }

    #[test]
    fn a_mirror_says_of_its_own_store_what_a_primary_says_of_its() {
        let folder = Path::new("/store");
        for (error, words) in [
            (StoreError::disk_full(folder, 1), "The mirror's disk is full"),
            (StoreError::read_only(folder, Time::EPOCH), "The file system of the mirror's store is read-only"),
        ] {
            let message = ApiError::from(error).with_store_of("mirror").message;
            assert!(message.starts_with(words) && !message.contains("primary"), "{message}");
        }
        let other = ApiError::not_found("The primary's key");
        assert_eq!(other.clone().with_store_of("mirror"), other);
    }
}
