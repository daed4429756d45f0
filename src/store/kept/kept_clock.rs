//! The clock by which the proofs of kept answers are dated on disk. It continues over restarts and reboots, so that a stored age never
//! becomes smaller and nothing has to be written anew after a reboot.
//!
//! It is the boot clock plus an offset. In the same boot the offset stays; in another boot it goes on from where it was saved, by the
//! positive difference of wall time.

use serde::{Deserialize, Serialize};

use crate::model::clock_reading::ClockReading;
use crate::model::freshness::ProofTime;
use crate::model::time::BootTime;

/// The format of the database: another is not read.
const FORMAT: u32 = 2;

/// The clock at one moment, as it is saved with each write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedKeptClock {
    format: u32,
    /// This host's clocks at that moment.
    reading: ClockReading,
    /// What this clock said then, in milliseconds.
    kept_milliseconds: i64,
}

/// The clock of one run of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptClock {
    offset_milliseconds: i64,
}

impl KeptClock {
    /// Begins a new clock, for a database that is new.
    #[must_use]
    pub const fn new() -> Self {
        Self { offset_milliseconds: 0 }
    }

    /// Continues a saved clock. `None` if it is of another format.
    #[must_use]
    pub fn resume(saved: &SavedKeptClock, now: &ClockReading) -> Option<Self> {
        if saved.format != FORMAT {
            return None;
        }
        let elapsed = if saved.reading.boot_id == now.boot_id {
            now.boot_time.since(saved.reading.boot_time)
        } else {
            now.wall_time.since(saved.reading.wall_time)
        };
        let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let kept_now = saved.kept_milliseconds.saturating_add(elapsed);
        Some(Self { offset_milliseconds: kept_now.saturating_sub(ProofTime::at(now.boot_time).boot_milliseconds()) })
    }

    /// Returns what is saved of it at a moment.
    #[must_use]
    pub fn save(self, now: &ClockReading) -> SavedKeptClock {
        SavedKeptClock { format: FORMAT, reading: now.clone(), kept_milliseconds: self.date(ProofTime::at(now.boot_time)) }
    }

    /// Returns a proof's time on this clock, in milliseconds.
    #[must_use]
    pub const fn date(self, proven_at: ProofTime) -> i64 {
        proven_at.boot_milliseconds().saturating_add(self.offset_milliseconds)
    }

    /// Returns the proof of a time on this clock; `None` if that lies in the future, where no proof can be from.
    #[must_use]
    pub fn proof(self, kept_milliseconds: i64, now: BootTime) -> Option<ProofTime> {
        let proven_at = ProofTime::from_boot_milliseconds(kept_milliseconds.saturating_sub(self.offset_milliseconds));
        (proven_at <= ProofTime::at(now)).then_some(proven_at)
    }
}

impl Default for KeptClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::KeptClock;
    use crate::model::clock_reading::{BootId, ClockReading};
    use crate::model::freshness::ProofTime;
    use crate::model::time::{BootTime, Time};

    fn reading(boot: u64, boot_ms: u64, wall_ms: i64) -> ClockReading {
        ClockReading {
            boot_id: BootId::parse(&format!("boot-{boot}")).unwrap(),
            boot_time: BootTime(Duration::from_millis(boot_ms)),
            wall_time: Time::from_milliseconds(wall_ms).unwrap(),
        }
    }

    fn age(clock: KeptClock, dated: i64, now: &ClockReading) -> Duration {
        clock.proof(dated, now.boot_time).unwrap().age(now.boot_time)
    }

    #[test]
    fn a_restart_adds_boot_time_and_a_reboot_the_positive_difference_of_wall_time() {
        let begun = reading(1, 10_000, 1_000_000);
        let clock = KeptClock::new();
        let dated = clock.date(ProofTime::before(begun.boot_time, Duration::from_secs(7)));
        let saved = clock.save(&begun);
        for (now, expected) in [
            (reading(1, 13_000, 0), 10),
            (reading(1, 13_000, 9_000_000), 10),
            (reading(2, 500, 1_060_000), 67),
            (reading(2, 99_000_000, 1_060_000), 67),
            (reading(2, 500, 0), 7),
        ] {
            let clock = KeptClock::resume(&saved, &now).unwrap();
            assert_eq!(age(clock, dated, &now), Duration::from_secs(expected), "{now:?}");
        }
    }

    #[test]
    fn a_proof_from_the_future_and_a_clock_of_another_format_are_none() {
        let now = reading(1, 10_000, 1_000_000);
        let clock = KeptClock::new();
        assert_eq!(clock.proof(clock.date(ProofTime::at(BootTime(Duration::from_millis(10_001)))), now.boot_time), None);
        let mut saved = clock.save(&now);
        saved.format += 1;
        assert_eq!(KeptClock::resume(&saved, &now), None);
    }

    proptest! {
        #[test]
        fn over_restarts_and_reboots_an_age_never_becomes_smaller(
            steps in prop::collection::vec((any::<bool>(), 0..1_000_000_u64, -1_000_000..1_000_000_i64, any::<bool>()), 1..30),
        ) {
            let (mut boot, mut boot_ms, mut wall_ms) = (1, 5_000_u64, 2_000_000_000_i64);
            let mut now = reading(boot, boot_ms, wall_ms);
            let mut clock = KeptClock::new();
            let dated = clock.date(ProofTime::before(now.boot_time, Duration::from_secs(1)));
            let mut saved = clock.save(&now);
            let mut known_age = Duration::from_secs(1);
            for (reboots, passed, wall_jump, saves) in steps {
                if reboots {
                    (boot, boot_ms) = (boot + 1, passed);
                } else {
                    boot_ms += passed;
                }
                wall_ms += i64::try_from(passed).unwrap() + wall_jump;
                now = reading(boot, boot_ms, wall_ms);
                clock = KeptClock::resume(&saved, &now).unwrap();
                let found = age(clock, dated, &now);
                prop_assert!(found >= known_age, "{found:?} after {known_age:?}");
                if saves {
                    saved = clock.save(&now);
                    known_age = found;
                }
            }
        }
    }
}
