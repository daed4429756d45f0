//! How much time has surely passed since a moment, over restarts and reboots of the primary.
//!
//! It is counted in boot time, which nobody sets: a wall clock that is wrong for a moment changes nothing. What is saved names the boot
//! that it was counted in. In another boot, or on another machine that the store was moved to, the time between saving and loading is not
//! proven and does not count, so that a host is never taken to have lapsed earlier than it may have.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::clock_reading::BootId;
use crate::model::time::BootTime;

/// The time since a moment, as far as it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenElapsed {
    /// What had passed at `at`.
    counted: Duration,
    at: BootTime,
}

/// The same as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedElapsed {
    /// The milliseconds that had passed when it was saved.
    elapsed_ms: u64,
    /// The boot of the machine that saved it; `None` where the kernel tells no boot id.
    boot_id: Option<BootId>,
    /// The time since that boot, in milliseconds.
    boot_ms: u64,
}

impl ProvenElapsed {
    /// The moment is now.
    #[must_use]
    pub const fn starting_at(now: BootTime) -> Self {
        Self { counted: Duration::ZERO, at: now }
    }

    /// Returns what has passed until `now`.
    #[must_use]
    pub fn elapsed(self, now: BootTime) -> Duration {
        self.counted.saturating_add(now.since(self.at))
    }

    /// Returns it as it is stored.
    #[must_use]
    pub fn save(self, now: BootTime, boot_id: Option<&BootId>) -> SavedElapsed {
        SavedElapsed { elapsed_ms: milliseconds(self.elapsed(now)), boot_id: boot_id.cloned(), boot_ms: milliseconds(now.0) }
    }

    /// Goes on counting from what was stored.
    #[must_use]
    pub fn restore(saved: &SavedElapsed, now: BootTime, boot_id: Option<&BootId>) -> Self {
        let saved_at = BootTime(Duration::from_millis(saved.boot_ms));
        let is_same_boot = boot_id.is_some() && saved.boot_id.as_ref() == boot_id;
        let since = if is_same_boot { now.since(saved_at) } else { Duration::ZERO };
        Self { counted: Duration::from_millis(saved.elapsed_ms).saturating_add(since), at: now }
    }
}

impl SavedElapsed {
    /// Returns what had passed when it was saved.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::ProvenElapsed;
    use crate::model::clock_reading::BootId;
    use crate::model::time::BootTime;

    const fn at(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    fn boot(name: &str) -> BootId {
        BootId::parse(name).unwrap()
    }

    #[test]
    fn in_one_boot_the_time_between_saving_and_loading_counts() {
        let saved = ProvenElapsed::starting_at(at(100)).save(at(130), Some(&boot("a")));
        assert_eq!(ProvenElapsed::restore(&saved, at(500), Some(&boot("a"))).elapsed(at(600)), Duration::from_secs(500));
    }

    #[test]
    fn in_another_boot_or_an_unknown_one_only_what_was_counted_before_and_since_counts() {
        for (before, now) in [(Some(boot("a")), Some(boot("b"))), (None, None), (Some(boot("a")), None)] {
            let saved = ProvenElapsed::starting_at(at(100)).save(at(130), before.as_ref());
            // The other machine may have run for long when the store was moved to it.
            let restored = ProvenElapsed::restore(&saved, at(1_000_000), now.as_ref());
            assert_eq!(restored.elapsed(at(1_000_010)), Duration::from_secs(40), "{before:?} {now:?}");
        }
    }

    proptest! {
        /// Boots, restarts and pauses at will: what is counted is never more than what has passed.
        #[test]
        fn no_more_is_counted_than_has_passed(steps in prop::collection::vec((0..10_000_u64, 0..1_000_000_u64, any::<bool>()), 1..20)) {
            let (mut now, mut real, mut boots) = (50_u64, 0_u64, 0);
            let mut elapsed = ProvenElapsed::starting_at(at(now));
            for (runs, down, reboots) in steps {
                now += runs;
                real += runs;
                let saved = elapsed.save(at(now), Some(&boot(&format!("b{boots}"))));
                real += down;
                if reboots {
                    boots += 1;
                    now = down / 2;
                } else {
                    now += down;
                }
                elapsed = ProvenElapsed::restore(&saved, at(now), Some(&boot(&format!("b{boots}"))));
                prop_assert!(elapsed.elapsed(at(now)) <= Duration::from_secs(real));
            }
        }
    }
}
