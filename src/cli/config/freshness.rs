//! `[freshness]`: how old an answer may be. These are the bounds that an operator states to others: see `sidegate status`.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::loss_guard;
use crate::cli::config::parse;
use crate::model::freshness::FreshnessLimits;
use crate::model::loss_guard::LossGuard;

/// A *no* is kept for as long at most: a key that was just added has to work.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// The section.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(from = "RawFreshness")]
pub struct FreshnessConfig {
    /// `authorized_keys`, `discover`.
    pub keys: FreshnessLimits,
    /// Pulls.
    pub reads: FreshnessLimits,
    /// The check before a push.
    pub push_precheck: FreshnessLimits,
    /// How long a *no* of a GitLab is kept.
    pub negative_ttl: Duration,
    /// When a snapshot that lacks too many keys is held.
    pub loss_guard: LossGuard,
}

/// As it is written: of each class one bound or both.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawFreshness {
    keys: RawLimits,
    reads: RawLimits,
    push_precheck: RawLimits,
    #[serde(deserialize_with = "parse::optional_duration")]
    negative_ttl: Option<Duration>,
    loss_guard: LossGuard,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLimits {
    #[serde(deserialize_with = "parse::optional_duration")]
    ttl: Option<Duration>,
    #[serde(deserialize_with = "parse::optional_duration")]
    max_stale: Option<Duration>,
}

impl RawLimits {
    fn or_defaults(self, ttl: u64, max_stale: u64) -> FreshnessLimits {
        FreshnessLimits {
            ttl: self.ttl.unwrap_or(Duration::from_secs(ttl)),
            max_stale: self.max_stale.unwrap_or(Duration::from_secs(max_stale)),
        }
    }
}

impl From<RawFreshness> for FreshnessConfig {
    fn from(written: RawFreshness) -> Self {
        Self {
            keys: written.keys.or_defaults(60, 24 * 3600),
            reads: written.reads.or_defaults(10, 4 * 3600),
            push_precheck: written.push_precheck.or_defaults(10, 5 * 60),
            negative_ttl: written.negative_ttl.unwrap_or(Duration::from_secs(5)),
            loss_guard: written.loss_guard,
        }
    }
}

impl Default for FreshnessConfig {
    fn default() -> Self {
        RawFreshness::default().into()
    }
}

impl FreshnessConfig {
    pub(super) fn validate(&self) -> Result<(), InvalidSetting> {
        for (class, limits) in [("keys", self.keys), ("reads", self.reads), ("push_precheck", self.push_precheck)] {
            let reason = "an answer cannot be fresh for longer than it may be stale: `ttl` is at most `max_stale`";
            InvalidSetting::ensure(limits.ttl <= limits.max_stale, &format!("freshness.{class}.ttl"), reason)?;
        }
        let reason = "a *no* may be kept for 60s at most, or a key that was just added does not work";
        InvalidSetting::ensure(self.negative_ttl <= MAX_NEGATIVE_TTL, "freshness.negative_ttl", reason)?;
        loss_guard::validate(self.loss_guard, "freshness.loss_guard")
    }
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
        let complaint = |text: &str| toml::from_str::<FreshnessConfig>(text).unwrap().validate().unwrap_err().key;
        assert_eq!(complaint("keys = { ttl = \"25h\" }"), "freshness.keys.ttl");
        assert_eq!(complaint("push_precheck = { max_stale = \"9s\" }"), "freshness.push_precheck.ttl");
        assert_eq!(complaint("negative_ttl = \"61s\""), "freshness.negative_ttl");
        assert_eq!(complaint("loss_guard = { share = 1.1 }"), "freshness.loss_guard.share");
        assert_eq!(complaint("loss_guard = { share = nan }"), "freshness.loss_guard.share");
    }
}
