//! Why the primary has given no answer, and what the person who asked reads then: since when, and what still works. (client.md 0.3:
//! 424 and 501 reach the user)

use http::StatusCode;

use crate::api::error::ApiError;
use crate::api::response_headers::mark_degraded;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::sidecar::upstream::availability::{Availability, RequestSubject};
use crate::wire::http::message::encode_message;

/// Why a request has no answer from the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// Since when the primary has not answered, if it was seen to fail before.
    pub failing_since: Option<Time>,
    /// The reason in a few words, for the log; without secrets and addresses.
    pub reason: String,
    /// Whether the request may have reached the primary.
    pub may_have_reached: bool,
    /// Who is to blame.
    pub cause: FailureCause,
    /// What this host can still answer by itself.
    pub availability: Availability,
}

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// The primary failed.
    Primary,
    /// This host was too busy to ask it, or had no time left.
    Host,
    /// The primary took long for what may take long. That says nothing about other requests.
    LongRequest,
    /// This host asks about no more unknown keys in this second.
    TooManyMisses,
    /// The request: the primary does not accept its size or form.
    Request,
    /// Nobody: access was taken away while the primary was asked, and its answer may be from before that.
    AccessChanged,
}

/// What a write is, as the sentence about its failure has to fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// `post_receive`: what follows a push that is stored already. It does not undo the push.
    AfterPush,
    /// Any other.
    Other,
}

impl UpstreamError {
    /// Returns the response to a question about `subject`, which changes nothing: 424; or 400 if the primary does not accept it at all.
    pub fn query_response(&self, subject: RequestSubject) -> Response {
        match self.cause {
            FailureCause::Request => return ApiError::bad_request(&self.reason).into_response(),
            FailureCause::AccessChanged => return access_changed_response(),
            FailureCause::Primary | FailureCause::LongRequest | FailureCause::Host | FailureCause::TooManyMisses => {}
        }
        self.build_response(StatusCode::FAILED_DEPENDENCY, self.availability.message(subject))
    }

    /// Returns the response to a write: 501 if it is unknown whether it took effect, else 424.
    pub fn write_response(&self, write: WriteKind) -> Response {
        let status = if self.may_have_reached { StatusCode::NOT_IMPLEMENTED } else { StatusCode::FAILED_DEPENDENCY };
        let consequence = match (write, self.may_have_reached) {
            (WriteKind::AfterPush, _) => {
                "Your push itself is done and stored. What follows a push may be missing: links, pipelines, notifications."
            }
            (WriteKind::Other, true) => {
                "Whether this request took effect is unknown: it may have reached the server. Please check before you repeat it."
            }
            (WriteKind::Other, false) => "This request did not take effect; please try again later.",
        };
        self.build_response(status, consequence)
    }

    fn build_response(&self, status: StatusCode, consequence: &str) -> Response {
        let what = match (self.cause, self.failing_since) {
            (FailureCause::TooManyMisses, _) => "This SSH host asks the Git server about too many unknown keys at the moment.".to_owned(),
            (FailureCause::Host, _) => "This SSH host has too many requests for the Git server under way.".to_owned(),
            (FailureCause::Request | FailureCause::AccessChanged, _) => "The Git server does not take this request.".to_owned(),
            (FailureCause::Primary | FailureCause::LongRequest, Some(since)) => {
                format!("The Git server's application has not answered since {}.", format_seconds(since))
            }
            (FailureCause::Primary | FailureCause::LongRequest, None) => {
                "The Git server's application did not answer this request.".to_owned()
            }
        };
        mark_degraded(Response::json(status, encode_message(&format!("{what} {consequence}"))))
    }
}

/// Refuses to give an answer of the primary's that may be from before access was taken away: 424.
pub fn access_changed_response() -> Response {
    let text = "Somebody's access was taken away while the Git server was asked, and its answer may be from before that; please try again.";
    ApiError::new(StatusCode::FAILED_DEPENDENCY, text).into_response()
}

fn format_seconds(time: Time) -> String {
    let text = time.to_string();
    format!("{} {} UTC", &text[..10.min(text.len())], text.get(11..19).unwrap_or_default())
}
