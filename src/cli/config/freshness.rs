//! `[freshness]`: how old an answer may be. `sidegate status` states these bounds to an operator.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::loss_guard;
use crate::cli::config::parse;
use crate::helper::LOOKUP_TIMEOUT;
use crate::model::freshness::FreshnessLimits;
use crate::model::loss_guard::LossGuard;
use crate::sidecar::config::MassNegative;

/// How long somebody whom this host knows waits for a primary that is slow, where nothing else is said.
const HEDGE: Duration = Duration::from_millis(150);
/// How long an unknown key is taken to be unknown, where nothing else is said.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// A key that was just added has to work soon.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// How many unknown keys a second a GitLab is asked about, where its mirror is followed and nothing else is said.
const MISSES_PER_SECOND: u32 = 20;
/// A GitLab must not be asked about strangers as often as they ask.
const MOST_MISSES_PER_SECOND: u32 = 10_000;

/// How long keys are let in that a GitLab does not know, where it does not know most and nothing else is said.
const HOLD: Duration = Duration::from_secs(600);
/// An alarm that nobody hears for a day lets nobody in any more.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// The section, with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(from = "RawFreshness")]
pub struct FreshnessConfig {
    /// For `authorized_keys` and `discover`.
    pub keys: FreshnessLimits,
    /// For access to pull.
    pub reads: FreshnessLimits,
    /// For access to push, before the changes are known.
    pub push_precheck: FreshnessLimits,
    /// How long somebody whom this host knows waits for a primary that is slow.
    pub hedge: Duration,
    /// In front of a GitLab: how long a key is taken to be unknown that it did not know.
    pub negative_ttl: Duration,
    /// In front of a GitLab: whether the address that somebody asks from enters the decision.
    pub check_ip: bool,
    /// In front of a GitLab: when it does not know so many keys at once that they are not taken to be removed.
    pub mass_negative: MassNegative,
    /// With the feed of a mirror: how many unknown keys a second the GitLab is asked about at most.
    pub misses_per_second: u32,
    /// How many keys a snapshot may lack before it is held for an operator.
    pub loss_guard: LossGuard,
}

/// The section as it is written: of each class one bound, both or none.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawFreshness {
    keys: RawClass,
    reads: RawClass,
    push_precheck: RawClass,
    #[serde(deserialize_with = "parse::optional_duration")]
    hedge: Option<Duration>,
    #[serde(deserialize_with = "parse::optional_duration")]
    negative_ttl: Option<Duration>,
    check_ip: Option<bool>,
    mass_negative: RawMassNegative,
    misses_per_second: Option<u32>,
    loss_guard: LossGuard,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawClass {
    #[serde(deserialize_with = "parse::optional_duration")]
    ttl: Option<Duration>,
    #[serde(deserialize_with = "parse::optional_duration")]
    max_stale: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawMassNegative {
    at_least: Option<usize>,
    share: Option<f64>,
    #[serde(deserialize_with = "parse::optional_duration")]
    hold: Option<Duration>,
}

impl From<RawMassNegative> for MassNegative {
    fn from(guard: RawMassNegative) -> Self {
        Self { at_least: guard.at_least.unwrap_or(20), share: guard.share.unwrap_or(0.5), hold: guard.hold.unwrap_or(HOLD) }
    }
}

impl RawClass {
    fn or_defaults(self, ttl: u64, max_stale: u64) -> FreshnessLimits {
        FreshnessLimits {
            ttl: self.ttl.unwrap_or(Duration::from_secs(ttl)),
            max_stale: self.max_stale.unwrap_or(Duration::from_secs(max_stale)),
        }
    }
}

impl FreshnessConfig {
    /// Returns the longest that any class of answers may be given from data that is not current.
    #[must_use]
    pub fn longest_max_stale(&self) -> Duration {
        [self.keys, self.reads, self.push_precheck].map(|class| class.max_stale).into_iter().max().unwrap_or_default()
    }
}

impl From<RawFreshness> for FreshnessConfig {
    fn from(section: RawFreshness) -> Self {
        Self {
            keys: section.keys.or_defaults(60, 24 * 3600),
            reads: section.reads.or_defaults(10, 4 * 3600),
            push_precheck: section.push_precheck.or_defaults(10, 5 * 60),
            hedge: section.hedge.unwrap_or(HEDGE),
            negative_ttl: section.negative_ttl.unwrap_or(NEGATIVE_TTL),
            check_ip: section.check_ip.unwrap_or(true),
            mass_negative: section.mass_negative.into(),
            misses_per_second: section.misses_per_second.unwrap_or(MISSES_PER_SECOND),
            loss_guard: section.loss_guard,
        }
    }
}

impl Default for FreshnessConfig {
    fn default() -> Self {
        RawFreshness::default().into()
    }
}

impl FreshnessConfig {
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        for (class, limits) in [("keys", self.keys), ("reads", self.reads), ("push_precheck", self.push_precheck)] {
            let reason = "must be at most `max_stale`";
            InvalidSetting::ensure(limits.ttl <= limits.max_stale, &format!("freshness.{class}.ttl"), reason)?;
        }
        InvalidSetting::ensure(
            self.hedge < LOOKUP_TIMEOUT,
            "freshness.hedge",
            "must be less than 5s, which is how long sshd's helper waits",
        )?;
        InvalidSetting::ensure(
            self.negative_ttl <= LONGEST_NEGATIVE_TTL,
            "freshness.negative_ttl",
            "must be at most 1m: for so long a key that was just added does not work",
        )?;
        validate_mass_negative(self.mass_negative)?;
        let misses = "must be from 1 to 10000: a key that was added a moment ago is found by asking";
        InvalidSetting::ensure((1..=MOST_MISSES_PER_SECOND).contains(&self.misses_per_second), "freshness.misses_per_second", misses)?;
        loss_guard::validate(self.loss_guard, "freshness.loss_guard")
    }
}

fn validate_mass_negative(guard: MassNegative) -> Result<(), InvalidSetting> {
    InvalidSetting::ensure(guard.at_least > 0, "freshness.mass_negative.at_least", "must be more than 0")?;
    InvalidSetting::ensure((0.0..=1.0).contains(&guard.share), "freshness.mass_negative.share", "must be from 0.0 to 1.0")?;
    let reason = "must be at most 24h: for so long a removed key may still log in";
    InvalidSetting::ensure(guard.hold <= LONGEST_HOLD, "freshness.mass_negative.hold", reason)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::FreshnessConfig;

    #[test]
    fn one_bound_of_a_class_leaves_the_other_as_it_was() {
        let freshness: FreshnessConfig = toml::from_str("reads = { max_stale = \"1h\" }").unwrap();
        assert_eq!((freshness.reads.ttl, freshness.reads.max_stale), (Duration::from_secs(10), Duration::from_secs(3600)));
        assert_eq!(freshness.keys, FreshnessConfig::default().keys);
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused() {
        let invalid_key = |text: &str| toml::from_str::<FreshnessConfig>(text).unwrap().validate().unwrap_err().key;
        assert_eq!(invalid_key("keys = { ttl = \"25h\" }"), "freshness.keys.ttl");
        assert_eq!(invalid_key("push_precheck = { max_stale = \"9s\" }"), "freshness.push_precheck.ttl");
        assert_eq!(invalid_key("hedge = \"5s\""), "freshness.hedge");
        assert_eq!(invalid_key("mass_negative = { at_least = 0 }"), "freshness.mass_negative.at_least");
        assert_eq!(invalid_key("mass_negative = { share = 1.1 }"), "freshness.mass_negative.share");
        assert_eq!(invalid_key("mass_negative = { share = nan }"), "freshness.mass_negative.share");
        assert_eq!(invalid_key("mass_negative = { hold = \"86401s\" }"), "freshness.mass_negative.hold");
        assert_eq!(invalid_key("misses_per_second = 0"), "freshness.misses_per_second");
        assert_eq!(invalid_key("misses_per_second = 10001"), "freshness.misses_per_second");
        assert_eq!(invalid_key("loss_guard = { share = 1.1 }"), "freshness.loss_guard.share");
        assert_eq!(invalid_key("loss_guard = { share = nan }"), "freshness.loss_guard.share");
    }
}
