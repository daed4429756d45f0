//! Places readings of the primary's clock on this host's own clock, so that an age counts from when its proof was asked for, and
//! never from when it happened to arrive. (`docs/freshness.md`)
//!
//! An exchange is a request and the primary's clock in its answer. The primary read its clock after the host had asked, so the
//! moment of the reading is not before the moment of asking: *asked − reading* is a lower bound of the distance between the two
//! clocks, and the largest bound that was ever seen is the best. A line that says the primary's clock was at L was therefore written
//! not before *L + bound* on this host's clock. Counting the age from there can only make it too large, whatever the link does:
//! lines that are held back, and lines that waited in a buffer while the host was stopped, are as old as they are.
//!
//! A clock that stood still while the other went on (a virtual machine that was paused, or brought back from an image) shows as well: the
//! answer arrived after the reading, so *answered − reading* is an upper bound. A lower bound above it is of before the jump, and is dropped.
//!
//! Two clocks of two machines do not run equally fast. Each bound loses 0.1 % of the time between its exchange and now, or the line if that
//! was written earlier: far more than a crystal drifts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::clock_reading::{BootId, ClockReading};
use crate::model::time::BootTime;

/// One part in this many of the time since an exchange is what two clocks may have drifted apart.
const DRIFT_DIVISOR: i64 = 1000;
/// Boots of primaries that are remembered: the present one, and those of a primary that is behind an address with several machines.
const MAX_BOOTS: usize = 8;

/// What the exchanges so far have shown of the distance between this host's clock and those of the primary's boots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockOffsets(BTreeMap<BootId, Offset>);

/// A lower bound of *own clock − primary's clock*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    milliseconds: i64,
    /// When the request of that exchange was sent, on the host's own clock.
    exchanged_at: BootTime,
}

impl ClockOffsets {
    /// Takes in one exchange: the request was sent at `asked`, and its answer, which said that the primary's clock was at `reading`, was
    /// here at `answered`.
    pub fn record_exchange(&mut self, asked: BootTime, answered: BootTime, reading: &ClockReading) {
        let distance = |own: BootTime| milliseconds(own.0).saturating_sub(milliseconds(reading.boot_time.0));
        let fresh = Offset { milliseconds: distance(asked), exchanged_at: asked };
        match self.0.get_mut(&reading.boot_id) {
            Some(known) if known.at(answered) <= distance(answered) && known.at(asked) > fresh.milliseconds => {}
            Some(known) => *known = fresh,
            None => {
                self.make_room();
                self.0.insert(reading.boot_id.clone(), fresh);
            }
        }
    }

    /// Returns the earliest moment on this host's clock at which the primary's clock can have been at `reading`, and never one after
    /// `now`; `None` if there was no exchange with that boot of the primary.
    #[must_use]
    pub fn place(&self, reading: &ClockReading, now: BootTime) -> Option<BootTime> {
        let (read, offset) = (milliseconds(reading.boot_time.0), self.0.get(&reading.boot_id)?);
        // A line that was written before the exchange and held back: the clocks may have drifted from then until the exchange.
        let before_exchange = milliseconds(offset.exchanged_at.0).saturating_sub(read.saturating_add(offset.milliseconds));
        let offset = offset.at(now).min(offset.milliseconds.saturating_sub(before_exchange / DRIFT_DIVISOR + 1));
        let placed = read.saturating_add(offset).max(0);
        Some(BootTime(Duration::from_millis(u64::try_from(placed).unwrap_or(0))).min(now))
    }

    fn make_room(&mut self) {
        while self.0.len() >= MAX_BOOTS {
            let Some(oldest) = self.0.iter().min_by_key(|(_, offset)| offset.exchanged_at).map(|(id, _)| id.clone()) else { return };
            self.0.remove(&oldest);
        }
    }
}

impl Offset {
    /// The bound at `now`, after what the clocks may have drifted since.
    fn at(self, now: BootTime) -> i64 {
        self.milliseconds.saturating_sub(milliseconds(now.since(self.exchanged_at)) / DRIFT_DIVISOR + 1)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{ClockOffsets, MAX_BOOTS};
    use crate::model::clock_reading::{BootId, ClockReading};
    use crate::model::time::{BootTime, Time};

    const fn at(milliseconds: u64) -> BootTime {
        BootTime(Duration::from_millis(milliseconds))
    }

    fn reading(boot: &str, milliseconds: u64) -> ClockReading {
        ClockReading { boot_id: BootId::parse(boot).unwrap(), boot_time: at(milliseconds), wall_time: Time::EPOCH }
    }

    #[test]
    fn a_line_that_was_held_back_is_as_old_as_it_is() {
        let mut offsets = ClockOffsets::default();
        // The primary's clock is 5 s behind the host's; the exchange took 200 ms, of which 100 ms to the primary.
        offsets.record_exchange(at(100_000), at(100_200), &reading("b", 95_100));
        let written = reading("b", 105_000);
        let held_back = offsets.place(&written, at(150_000)).unwrap();
        assert!(at(150_000).since(held_back) >= Duration::from_secs(40), "{held_back:?}");
        let prompt = offsets.place(&written, at(110_050)).unwrap();
        assert!(at(110_050).since(prompt) <= Duration::from_millis(250), "{prompt:?}");
    }

    #[test]
    fn a_host_whose_clock_stood_still_takes_nothing_for_younger_than_it_is() {
        let mut offsets = ClockOffsets::default();
        offsets.record_exchange(at(100_000), at(100_010), &reading("b", 50_005));
        // The host is paused for an hour of the primary's time, in which its own clock does not move.
        offsets.record_exchange(at(101_000), at(101_010), &reading("b", 3_651_005));
        let placed = offsets.place(&reading("b", 3_652_000), at(160_000)).unwrap();
        assert!(at(160_000).since(placed) >= Duration::from_secs(58), "{placed:?}");
    }

    #[test]
    fn without_an_exchange_with_that_boot_nothing_is_placed() {
        let mut offsets = ClockOffsets::default();
        assert_eq!(offsets.place(&reading("b", 1), at(5)), None);
        offsets.record_exchange(at(100), at(101), &reading("b", 50));
        assert_eq!(offsets.place(&reading("another", 60), at(200)), None);
    }

    #[test]
    fn the_boot_of_the_oldest_exchange_gives_way() {
        let mut offsets = ClockOffsets::default();
        for boot in 0..=MAX_BOOTS as u64 {
            offsets.record_exchange(at(boot), at(boot), &reading(&format!("b{boot}"), 0));
        }
        assert_eq!(offsets.place(&reading("b0", 1), at(50)), None);
        assert!(offsets.place(&reading("b1", 1), at(50)).is_some());
    }

    proptest! {
        /// Real time is the argument of both clocks; each has an origin and a speed of its own within the drift that is allowed for.
        #[test]
        fn no_delay_and_no_drift_makes_a_line_look_younger_than_it_is(
            origin in 1_000_000..9_000_000_u64,
            parts_per_million in -450_i64..450,
            exchanges in prop::collection::vec((0..600_000_u64, 0..40_000_u64, 0..40_000_u64), 1..20),
            written in 0..700_000_u64,
            delay in 0..700_000_u64,
        ) {
            let own = |real: u64| at(10_000_000 + real);
            let primary = |real: u64| origin + real.saturating_add_signed(i64::try_from(real).unwrap() * parts_per_million / 1_000_000);
            let mut offsets = ClockOffsets::default();
            let mut exchanges: Vec<_> = exchanges.into_iter().filter(|(asked, there, back)| asked + there + back <= written + delay).collect();
            exchanges.sort_by_key(|(asked, there, back)| asked + there + back);
            for (asked, there, back) in &exchanges {
                offsets.record_exchange(own(*asked), own(asked + there + back), &reading("b", primary(asked + there)));
            }
            if let Some(placed) = offsets.place(&reading("b", primary(written)), own(written + delay)) {
                prop_assert!(placed <= own(written), "{placed:?} is after {:?}", own(written));
            }
        }
    }
}
