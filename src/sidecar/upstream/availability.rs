//! What still works on this host while the primary does not answer.

use crate::model::freshness::{Freshness, FreshnessClass, ReplicaReading};
use crate::model::time::BootTime;
use crate::sidecar::config::FreshnessPolicy;

/// What a person can still do while the primary does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Log in with a known key, and read.
    LoginsAndReads,
    /// Log in with a known key.
    Logins,
    /// Maybe what the primary allowed here lately: its answers are kept, for as long as there is room and they may be given.
    KeptAnswers,
    /// Nothing: there is no local directory, or it is too old to let anybody in.
    Nothing,
}

/// What a request was about, as the sentence about an outage has to fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestSubject {
    /// Who somebody is: a key, a certificate, a name.
    Login,
    /// A pull, or a token for large files.
    Read,
    /// A push, before its changes are known.
    Push,
    /// Anything else.
    Other,
}

impl Availability {
    /// Returns what is possible with what the replica holds, as old as it is at `now`.
    pub fn assess(reading: &ReplicaReading, policy: FreshnessPolicy, now: BootTime) -> Self {
        let is_usable = |class| reading.freshness(policy.limits_for(class), now) != Freshness::Expired;
        let reads = reading.view.as_ref().is_some_and(|view| view.coverage.is_whole() && !view.has_unknown_records)
            && is_usable(FreshnessClass::Reads);
        let has_logins = reading.view.as_ref().is_some_and(|view| view.coverage.has_logins());
        Self::from_flags(has_logins && is_usable(FreshnessClass::Keys), reads)
    }

    /// Who cannot log in cannot read either.
    const fn from_flags(logins: bool, reads: bool) -> Self {
        match (logins, reads) {
            (true, true) => Self::LoginsAndReads,
            (true, false) => Self::Logins,
            (false, _) => Self::Nothing,
        }
    }

    /// Returns it as a sentence for the person whose request of this kind was not answered. Nobody is told that what they were just refused
    /// still works.
    pub const fn message(self, refused: RequestSubject) -> &'static str {
        match (self, refused) {
            (Self::LoginsAndReads, RequestSubject::Login) => {
                "This key or user is not known on this host. Logins with known keys and reads still work; please try again later."
            }
            (Self::LoginsAndReads, RequestSubject::Read) => {
                "This host cannot decide your request alone. Logins with known keys still work, and so does what it can decide; please try again later."
            }
            (Self::LoginsAndReads, RequestSubject::Push) => {
                "Writes need it. Logins with known keys and reads still work; please try again later."
            }
            (Self::LoginsAndReads, RequestSubject::Other) => "Logins with known keys and reads still work; please try again later.",
            (Self::Logins, RequestSubject::Login) => {
                "This key or user is not known on this host. Logins with known keys still work, but neither reads nor writes do; please try again later."
            }
            (Self::Logins, _) => "Logins with known keys still work, but neither reads nor writes do; please try again later.",
            (Self::KeptAnswers, RequestSubject::Login) => {
                "This host has no answer about this key or user that may still be given. Logins and reads that the Git server allowed here lately may still work; please try again later."
            }
            (Self::KeptAnswers, RequestSubject::Push) => {
                "Writes need it. Logins and reads that it allowed here lately may still work; please try again later."
            }
            (Self::KeptAnswers, RequestSubject::Read | RequestSubject::Other) => {
                "Logins and reads that it allowed here lately may still work; please try again later."
            }
            (Self::Nothing, _) => "Without it neither logins nor reads work on this host; please try again later.",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Availability, RequestSubject};
    use crate::model::freshness::{FreshnessLimits, ProofTime, ReplicaReading};
    use crate::model::time::BootTime;
    use crate::sidecar::config::FreshnessPolicy;

    #[test]
    fn without_a_directory_nothing_is_available_whatever_its_age() {
        let limits = FreshnessLimits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(3600) };
        let policy = FreshnessPolicy { keys: limits, reads: limits, push_precheck: limits, hedge: Duration::ZERO };
        let now = BootTime(Duration::ZERO);
        for proven_at in [None, Some(ProofTime::at(now))] {
            // As in front of a GitLab, where nothing is followed.
            let reading = ReplicaReading { view: None, proven_at, caught_up: true, ..ReplicaReading::default() };
            assert_eq!(Availability::assess(&reading, policy, now), Availability::Nothing);
        }
    }

    #[test]
    fn the_message_matches_what_is_available() {
        let messages = [(true, true), (true, false), (false, true), (false, false)]
            .map(|(logins, reads)| Availability::from_flags(logins, reads).message(RequestSubject::Other));
        let [all, logins, reads, none] = messages;
        assert!(all.starts_with("Logins with known keys and reads still work"), "{all}");
        assert!(logins.starts_with("Logins with known keys still work, but neither reads"), "{logins}");
        assert_eq!(reads, none, "nobody reads who cannot log in");
        assert!(none.contains("neither logins nor reads work"), "{none}");
    }

    #[test]
    fn in_front_of_a_gitlab_no_message_promises_what_may_not_be_kept_any_more() {
        for refused in [RequestSubject::Login, RequestSubject::Read, RequestSubject::Push, RequestSubject::Other] {
            let message = Availability::KeptAnswers.message(refused);
            assert!(message.contains("allowed here lately may still work"), "{message}");
            assert!(!message.contains("not known") && !message.contains("was not asked"), "it may have been, and be too old: {message}");
        }
        assert!(Availability::KeptAnswers.message(RequestSubject::Push).starts_with("Writes need it. "));
    }

    #[test]
    fn nobody_is_told_that_what_they_were_refused_still_works() {
        let read = Availability::LoginsAndReads.message(RequestSubject::Read);
        assert!(!read.contains("reads") && read.contains("Logins with known keys still work"), "{read}");
        let login = Availability::LoginsAndReads.message(RequestSubject::Login);
        assert!(login.starts_with("This key or user is not known"), "{login}");
        let push = Availability::LoginsAndReads.message(RequestSubject::Push);
        assert!(push.starts_with("Writes need it") && push.contains("reads still work"), "{push}");
    }
}
