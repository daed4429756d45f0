//! Why a request is not answered with what it asked for: a status and a sentence for a person, as `{"message": …}`; where the
//! contract spells a body of another shape, that one, always with `message` in it.
//! (server.md 1.2; client.md 0: the message of a 4xx and of 501 reaches the person, that of another 5xx is lost)

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::model::directory::Fault;
use crate::net::message::{BodyRefused, Reply};
use crate::store::generation::Damage;
use crate::wire::answer;
use crate::wire::params::BadParams;
use crate::wire::validation::Invalid;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its status.
    pub status: StatusCode,
    /// Its sentence.
    pub text: String,
    /// Its body, where that is more than the sentence.
    pub body: Option<Box<Value>>,
}

/// What a handler gives.
pub type Answered = Result<Reply, Refusal>;

impl Refusal {
    /// Any status with any sentence.
    #[must_use]
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), body: None }
    }

    /// Any status, with a body of another shape than `{"message": …}`.
    #[must_use]
    pub fn shaped(status: StatusCode, text: impl Into<String>, body: Value) -> Self {
        Self { status, text: text.into(), body: Some(Box::new(body)) }
    }

    /// 400 for parameters that are missing or of the wrong form: `{"error": …}`.
    #[must_use]
    pub fn invalid(text: impl Into<String>) -> Self {
        let text = text.into();
        let body = json!({"error": text, "message": text});
        Self::shaped(StatusCode::BAD_REQUEST, text, body)
    }

    /// 400 for what a record may not be: `{"message": {field: [text, …], …}}`.
    #[must_use]
    pub fn of_fields(fields: Map<String, Value>) -> Self {
        let body = json!({"message": fields});
        Self::shaped(StatusCode::BAD_REQUEST, "400 Bad request", body)
    }

    /// 400 with its reason.
    #[must_use]
    pub fn bad(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("400 Bad request - {reason}"))
    }

    /// 400 for a parameter that is missing.
    #[must_use]
    pub fn missing(name: &str) -> Self {
        Self::bad(format_args!("{name} is missing"))
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

    /// 409 with its reason.
    #[must_use]
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason)
    }

    /// 500: a fault of ours; `detail` goes to the log only.
    #[must_use]
    pub fn fault(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "a request failed by our own fault");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error")
    }

    /// As an answer.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self.body {
            Some(body) => Reply::json(self.status, body.to_string()),
            None => Reply::json(self.status, answer::message(&self.text)),
        }
    }
}

impl From<Damage> for Refusal {
    fn from(damage: Damage) -> Self {
        Self::fault(damage)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::fault(fault)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::fault(error)
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.0)
    }
}

impl From<BadParams> for Refusal {
    fn from(bad: BadParams) -> Self {
        Self::bad(bad)
    }
}

impl From<BodyRefused> for Refusal {
    fn from(refused: BodyRefused) -> Self {
        let status = match refused {
            BodyRefused::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyRefused::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyRefused::CutOff => StatusCode::BAD_REQUEST,
            BodyRefused::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.to_string())
    }
}
