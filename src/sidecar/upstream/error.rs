//! What a person reads when the primary cannot be asked: since when, and what still works. (client.md 0.3: 424 and 501 reach the user)

use http::StatusCode;

use crate::api::error::ApiError;
use crate::api::response_headers::mark_degraded;
use crate::model::freshness::{Freshness, FreshnessClass, ReplicaReading};
use crate::model::time::{BootTime, Time};
use crate::net::message::Response;
use crate::sidecar::config::FreshnessPolicy;
use crate::wire::http::message::encode_message;

/// Why a question has no answer from the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// Since when the primary has not answered, if it was seen to fail before.
    pub failing_since: Option<Time>,
    /// A few words for the log; no secret, no address of a person.
    pub reason: String,
    /// Whether the request may have reached the primary.
    pub may_have_reached: bool,
    pub cause: FailureCause,
    /// What this host can still answer by itself.
    pub availability: Availability,
}

/// What a person can still do while the primary is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Log in with a key that is known, and read.
    LoginsAndReads,
    /// Log in with a key that is known.
    Logins,
    /// Nothing: no directory is held, or it is too old to let anybody in.
    Nothing,
}

impl Availability {
    /// By what is held, and how old it is at this moment.
    pub fn assess(reading: &ReplicaReading, policy: FreshnessPolicy, now: BootTime) -> Self {
        let age = reading.age(now);
        let is_usable = |class| policy.limits_for(class).evaluate(age) != Freshness::Expired;
        let reads = reading.view.as_ref().is_some_and(|view| !view.has_unknown_records) && is_usable(FreshnessClass::Reads);
        Self::from_flags(reading.view.is_some() && is_usable(FreshnessClass::Keys), reads)
    }

    /// Who cannot log in cannot read either.
    const fn from_flags(logins: bool, reads: bool) -> Self {
        match (logins, reads) {
            (true, true) => Self::LoginsAndReads,
            (true, false) => Self::Logins,
            (false, _) => Self::Nothing,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::LoginsAndReads => "Logins with known keys and reads still work; please try again later.",
            Self::Logins => "Logins with known keys still work, but neither reads nor writes do; please try again later.",
            Self::Nothing => "Without it neither logins nor reads work on this host; please try again later.",
        }
    }
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// The primary failed.
    Primary,
    /// This host had no room, or no time left, to ask it.
    Host,
    /// The question: the primary does not take what is so large, or so formed.
    Request,
}

impl UpstreamError {
    /// A question that nothing changes by: 424; 400 if it cannot be asked at all.
    pub fn query_response(&self) -> Response {
        if self.cause == FailureCause::Request {
            return ApiError::bad_request(&self.reason).into_response();
        }
        self.build_response(StatusCode::FAILED_DEPENDENCY, self.availability.message())
    }

    /// A write: 501 if its fate is unknown, else 424.
    pub fn write_response(&self) -> Response {
        if self.may_have_reached {
            self.build_response(
                StatusCode::NOT_IMPLEMENTED,
                "Whether this request took effect is unknown: it may have reached the server. Please check before you repeat it.",
            )
        } else {
            self.build_response(StatusCode::FAILED_DEPENDENCY, "This request did not take effect; please try again later.")
        }
    }

    fn build_response(&self, status: StatusCode, rest: &str) -> Response {
        let what = match (self.cause, self.failing_since) {
            (FailureCause::Host, _) => "This SSH host has too many requests for the Git server under way.".to_owned(),
            (FailureCause::Request, _) => "The Git server does not take this request.".to_owned(),
            (FailureCause::Primary, Some(since)) => {
                format!("The Git server's application has not answered since {}.", format_seconds(since))
            }
            (FailureCause::Primary, None) => "The Git server's application did not answer.".to_owned(),
        };
        mark_degraded(Response::json(status, encode_message(&format!("{what} {rest}"))))
    }
}

fn format_seconds(time: Time) -> String {
    let text = time.to_string();
    format!("{} {} UTC", &text[..10.min(text.len())], text.get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Availability;
    use crate::model::freshness::{FreshnessLimits, ProofTime, ReplicaReading};
    use crate::model::time::BootTime;
    use crate::sidecar::config::FreshnessPolicy;

    #[test]
    fn without_a_directory_nothing_is_available_whatever_its_age() {
        let limits = FreshnessLimits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(3600) };
        let policy = FreshnessPolicy { keys: limits, reads: limits, push_precheck: limits };
        let now = BootTime(Duration::ZERO);
        for proven_at in [None, Some(ProofTime::at(now))] {
            // As in front of a GitLab, where nothing is followed.
            let reading = ReplicaReading { view: None, proven_at, caught_up: true };
            assert_eq!(Availability::assess(&reading, policy, now), Availability::Nothing);
        }
    }

    #[test]
    fn the_message_matches_what_is_available() {
        let said = [(true, true), (true, false), (false, true), (false, false)]
            .map(|(logins, reads)| Availability::from_flags(logins, reads).message());
        let [all, logins, reads, none] = said;
        assert!(all.starts_with("Logins with known keys and reads still work"), "{all}");
        assert!(logins.starts_with("Logins with known keys still work, but neither reads"), "{logins}");
        assert_eq!(reads, none, "nobody reads who cannot log in");
        assert!(none.contains("neither logins nor reads work"), "{none}");
    }
}
