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
    /// Nothing: there is no local directory, or it is too old to let anybody in.
    Nothing,
}

impl Availability {
    /// Returns what is possible with what the replica holds, as old as it is at `now`.
    pub fn assess(reading: &ReplicaReading, policy: FreshnessPolicy, now: BootTime) -> Self {
        let is_usable = |class| reading.freshness(policy.limits_for(class), now) != Freshness::Expired;
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

    /// Returns it as a sentence for the person.
    pub const fn message(self) -> &'static str {
        match self {
            Self::LoginsAndReads => "Logins with known keys and reads still work; please try again later.",
            Self::Logins => "Logins with known keys still work, but neither reads nor writes do; please try again later.",
            Self::Nothing => "Without it neither logins nor reads work on this host; please try again later.",
        }
    }
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
            let reading = ReplicaReading { view: None, proven_at, caught_up: true, ..ReplicaReading::default() };
            assert_eq!(Availability::assess(&reading, policy, now), Availability::Nothing);
        }
    }

    #[test]
    fn the_message_matches_what_is_available() {
        let messages = [(true, true), (true, false), (false, true), (false, false)]
            .map(|(logins, reads)| Availability::from_flags(logins, reads).message());
        let [all, logins, reads, none] = messages;
        assert!(all.starts_with("Logins with known keys and reads still work"), "{all}");
        assert!(logins.starts_with("Logins with known keys still work, but neither reads"), "{logins}");
        assert_eq!(reads, none, "nobody reads who cannot log in");
        assert!(none.contains("neither logins nor reads work"), "{none}");
    }
}
