//! What a person reads when the primary cannot be asked: since when, and what still works. (client.md 0.3: 424 and 501 reach the user)

use http::StatusCode;

use crate::model::time::Time;
use crate::net::message::Reply;
use crate::sidecar::headers;
use crate::wire::answer;

/// Why a question has no answer from the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sidecar) struct Outage {
    /// Since when the primary has not answered, if it was seen to fail before.
    pub since: Option<Time>,
    /// A few words for the log; no secret, no address of a person.
    pub why: String,
    /// Whether the request may have reached the primary.
    pub reached: bool,
    pub because: Because,
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Because {
    /// The primary failed.
    Primary,
    /// This host had no room, or no time left, to ask it.
    Host,
}

impl Outage {
    /// A question that nothing changes by: 424.
    pub fn of_a_question(&self) -> Reply {
        self.reply(StatusCode::FAILED_DEPENDENCY, "Logins with known keys and reads still work; please try again later.")
    }

    /// A write: 501 if its fate is unknown, else 424.
    pub fn of_a_write(&self) -> Reply {
        if self.reached {
            self.reply(
                StatusCode::NOT_IMPLEMENTED,
                "Whether this request took effect is unknown: it may have reached the server. Please check before you repeat it.",
            )
        } else {
            self.reply(StatusCode::FAILED_DEPENDENCY, "This request did not take effect; please try again later.")
        }
    }

    fn reply(&self, status: StatusCode, rest: &str) -> Reply {
        let what = match (self.because, self.since) {
            (Because::Host, _) => "This SSH host has too many requests for the Git server under way.".to_owned(),
            (Because::Primary, Some(since)) => format!("The Git server's application has not answered since {}.", to_the_second(since)),
            (Because::Primary, None) => "The Git server's application did not answer.".to_owned(),
        };
        headers::degraded(Reply::json(status, answer::message(&format!("{what} {rest}"))))
    }
}

fn to_the_second(time: Time) -> String {
    let text = time.to_string();
    format!("{} {} UTC", &text[..10.min(text.len())], text.get(11..19).unwrap_or_default())
}
