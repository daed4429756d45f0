//! How current each class of answers is, and since when: for the status. Pure; time is an argument.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::freshness::{Freshness, FreshnessLimits};
use crate::model::time::Time;

/// What the age of a class is judged by.
#[derive(Clone, Copy, Debug)]
pub enum ProofAge {
    /// By the last proof that the directory was current.
    Directory {
        /// Since the last proof by an exchange, which alone makes fresh.
        exchange: Option<Duration>,
        /// Since the last proof by whatever clock.
        any: Option<Duration>,
        /// Since when there is no younger one, where neither age says it.
        otherwise_since: Option<Time>,
    },
    /// By how long the primary has not answered: each answer that is kept has its own age, and none becomes younger meanwhile.
    Outage(Option<Duration>),
    /// By nothing: the primary does not answer, and of what is kept nothing is given, since this moment.
    NothingGiven(Time),
}

/// How current a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassVerdict {
    /// Whether what is held is fresh, stale or expired.
    pub freshness: Freshness,
    /// Since when it is stale, or expired; `None` while it is fresh, and where nothing was ever proven current.
    pub since: Option<Time>,
}

impl ClassVerdict {
    /// Judges an age by the limits of its class at `now`.
    pub fn new(age: ProofAge, limits: FreshnessLimits, now: Time) -> Self {
        match age {
            ProofAge::Outage(outage) => {
                let age = outage.unwrap_or_default();
                let freshness = limits.evaluate(Some(age));
                Self { freshness, since: limit_passed(freshness, limits, age, now) }
            }
            ProofAge::NothingGiven(since) => Self { freshness: Freshness::Expired, since: Some(since.min(now)) },
            ProofAge::Directory { exchange, any, otherwise_since } => {
                let freshness = match (limits.evaluate(exchange), limits.evaluate(any)) {
                    (Freshness::Fresh, _) => Freshness::Fresh,
                    (_, Freshness::Expired) => Freshness::Expired,
                    _ => Freshness::Stale,
                };
                let passed = |age: Option<Duration>| age.and_then(|age| limit_passed(freshness, limits, age, now));
                let since = match freshness {
                    Freshness::Fresh => None,
                    Freshness::Stale => passed(exchange).or_else(|| passed(any)).or(otherwise_since),
                    Freshness::Expired => passed(any).or(otherwise_since),
                };
                Self { freshness, since }
            }
        }
    }

    /// Returns `{verdict, verdict_since}`.
    pub fn to_json(self) -> [(&'static str, Value); 2] {
        let verdict = match self.freshness {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Expired => "expired",
        };
        [("verdict", json!(verdict)), ("verdict_since", json!(self.since))]
    }
}

/// Returns when an age passed the limit that makes it stale or expired; `None` if it has not.
fn limit_passed(freshness: Freshness, limits: FreshnessLimits, age: Duration, now: Time) -> Option<Time> {
    let limit = match freshness {
        Freshness::Fresh => return None,
        Freshness::Stale => limits.ttl,
        Freshness::Expired => limits.max_stale,
    };
    age.checked_sub(limit).map(|passed| now.minus(passed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{ClassVerdict, ProofAge};
    use crate::model::freshness::{Freshness, FreshnessLimits};
    use crate::model::time::Time;

    const LIMITS: FreshnessLimits = FreshnessLimits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(3600) };

    fn at(second: u64) -> Time {
        Time::EPOCH.plus(Duration::from_secs(second))
    }

    fn directory(exchange: Option<u64>, any: Option<u64>, otherwise_since: Option<Time>) -> (Freshness, Option<Time>) {
        let [exchange, any] = [exchange, any].map(|age| age.map(Duration::from_secs));
        let verdict = ClassVerdict::new(ProofAge::Directory { exchange, any, otherwise_since }, LIMITS, at(10_000));
        (verdict.freshness, verdict.since)
    }

    #[test]
    fn a_class_is_stale_and_expired_since_its_age_passed_the_limit() {
        assert_eq!(directory(Some(60), Some(5), None), (Freshness::Fresh, None));
        assert_eq!(directory(Some(100), Some(100), None), (Freshness::Stale, Some(at(9_960))));
        assert_eq!(directory(Some(4_000), Some(4_000), None), (Freshness::Expired, Some(at(9_600))));
        assert_eq!(directory(None, None, None), (Freshness::Expired, None), "nothing was ever proven");
        assert_eq!(directory(None, Some(5), Some(at(9_000))), (Freshness::Stale, Some(at(9_000))), "no exchange since the start");
        assert_eq!(directory(None, None, Some(at(9_000))), (Freshness::Expired, Some(at(9_000))), "not all changes are known");
    }

    #[test]
    fn what_is_kept_is_as_old_as_the_outage() {
        let outage = |seconds: Option<u64>| {
            let verdict = ClassVerdict::new(ProofAge::Outage(seconds.map(Duration::from_secs)), LIMITS, at(10_000));
            (verdict.freshness, verdict.since)
        };
        assert_eq!(outage(None), (Freshness::Fresh, None));
        assert_eq!(outage(Some(70)), (Freshness::Stale, Some(at(9_990))));
        assert_eq!(outage(Some(3_700)), (Freshness::Expired, Some(at(9_900))));
    }

    #[test]
    fn where_nothing_is_given_it_is_expired_whatever_its_age() {
        let verdict = |since| ClassVerdict::new(ProofAge::NothingGiven(since), LIMITS, at(10_000));
        assert_eq!(verdict(at(9_999)), ClassVerdict { freshness: Freshness::Expired, since: Some(at(9_999)) });
        assert_eq!(verdict(at(10_001)).since, Some(at(10_000)), "never in the future");
    }

    proptest! {
        #[test]
        fn only_what_is_not_fresh_has_a_since_and_it_lies_in_the_past(
            exchange in proptest::option::of(0..9_000_u64), younger in 0..9_000_u64, otherwise in proptest::option::of(0..10_000_u64)
        ) {
            let any = exchange.map(|age| age.saturating_sub(younger));
            let (freshness, since) = directory(exchange, any, otherwise.map(at));
            prop_assert!(freshness != Freshness::Fresh || since.is_none());
            prop_assert!(since.is_none_or(|since| since <= at(10_000)));
        }
    }
}
