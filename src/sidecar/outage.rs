//! What a person reads when the primary cannot be asked: since when, and what still works. (client.md 0.3: 424 and 501 reach the user)

use http::StatusCode;

use crate::model::freshness::{Class, Following, Freshness};
use crate::model::time::{BootTime, Time};
use crate::net::message::Reply;
use crate::sidecar::body::bad_request;
use crate::sidecar::headers;
use crate::sidecar::setup::Bound;
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
    /// What this host can still answer by itself.
    pub works: Works,
}

/// What a person can still do while the primary is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Works {
    /// Log in with a key that is known, and read.
    LoginsAndReads,
    /// Log in with a key that is known.
    Logins,
    /// Nothing: no directory is held, or it is too old to let anybody in.
    Nothing,
}

impl Works {
    /// By what is held, and how old it is at this moment.
    pub fn now(following: &dyn Following, bound: Bound, now: BootTime) -> Self {
        let age = following.age(now);
        let lives = |class| bound.of(class).judge(age) != Freshness::Expired;
        let view = following.view();
        let reads = view.as_ref().is_some_and(|view| !view.foreign) && lives(Class::Reads);
        Self::of(view.is_some() && lives(Class::Keys), reads)
    }

    /// Who cannot log in cannot read either.
    const fn of(logins: bool, reads: bool) -> Self {
        match (logins, reads) {
            (true, true) => Self::LoginsAndReads,
            (true, false) => Self::Logins,
            (false, _) => Self::Nothing,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::LoginsAndReads => "Logins with known keys and reads still work; please try again later.",
            Self::Logins => "Logins with known keys still work, but neither reads nor writes do; please try again later.",
            Self::Nothing => "Without it neither logins nor reads work on this host; please try again later.",
        }
    }
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Because {
    /// The primary failed.
    Primary,
    /// This host had no room, or no time left, to ask it.
    Host,
    /// The question: the primary does not take what is so large, or so formed.
    Question,
}

impl Outage {
    /// A question that nothing changes by: 424; 400 if it cannot be asked at all.
    pub fn of_a_question(&self) -> Reply {
        if self.because == Because::Question {
            return bad_request(&self.why);
        }
        self.reply(StatusCode::FAILED_DEPENDENCY, self.works.text())
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
            (Because::Question, _) => "The Git server does not take this request.".to_owned(),
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::time::Duration;

    use super::Works;
    use crate::model::change::Head;
    use crate::model::freshness::{Following, Limits, View};
    use crate::model::time::BootTime;
    use crate::sidecar::setup::Bound;

    /// Follows nothing, as in front of a GitLab, but is of this age.
    struct Empty(Option<Duration>);

    impl Following for Empty {
        fn view(&self) -> Option<View> {
            None
        }
        fn opened(&self, _: Duration) -> Pin<Box<dyn Future<Output = Option<View>> + Send + '_>> {
            Box::pin(std::future::ready(None))
        }
        fn age(&self, _: BootTime) -> Option<Duration> {
            self.0
        }
        fn caught_up(&self) -> bool {
            true
        }
        fn head(&self) -> Option<Head> {
            None
        }
    }

    #[test]
    fn without_a_directory_nothing_works_however_young_it_would_be() {
        let limits = Limits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(3600) };
        let bound = Bound { keys: limits, reads: limits, push_precheck: limits };
        for age in [None, Some(Duration::ZERO)] {
            assert_eq!(Works::now(&Empty(age), bound, BootTime(Duration::ZERO)), Works::Nothing);
        }
    }

    #[test]
    fn what_is_said_to_work_is_what_works() {
        let said = [(true, true), (true, false), (false, true), (false, false)].map(|(logins, reads)| Works::of(logins, reads).text());
        let [all, logins, reads, none] = said;
        assert!(all.starts_with("Logins with known keys and reads still work"), "{all}");
        assert!(logins.starts_with("Logins with known keys still work, but neither reads"), "{logins}");
        assert_eq!(reads, none, "nobody reads who cannot log in");
        assert!(none.contains("neither logins nor reads work"), "{none}");
    }
}
