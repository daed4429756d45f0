//! Instants: RFC 3339 in UTC, in whole milliseconds, and boot time, which a wall clock cannot turn back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A UTC instant, in milliseconds since 1970. Printed as `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(i64);

/// The text is not an RFC 3339 instant in UTC between the years 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is RFC 3339 in UTC, as 2026-01-31T12:00:00Z, from 1970 to 9999")]
pub struct InvalidTime;

const LAST_MILLISECOND: i64 = 253_402_207_199_999;

impl Time {
    /// The first instant of 1970.
    pub const EPOCH: Self = Self(0);
    /// The last instant that every zone can write with a year of four digits, about a day before 9999 ends.
    pub const LAST: Self = Self(LAST_MILLISECOND);

    /// Returns the instant so many milliseconds after 1970 began; `None` outside the years 1970 to 9999.
    #[must_use]
    pub fn from_milliseconds(milliseconds: i64) -> Option<Self> {
        (0..=LAST_MILLISECOND).contains(&milliseconds).then_some(Self(milliseconds))
    }

    /// Returns the milliseconds since 1970.
    #[must_use]
    pub const fn milliseconds(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the instant a duration later, at most [`Self::LAST`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(LAST_MILLISECOND);
        Self(self.0.saturating_add(milliseconds).min(LAST_MILLISECOND))
    }

    /// Returns the instant that was so long before; not before 1970.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(LAST_MILLISECOND);
        Self(self.0.saturating_sub(milliseconds).max(0))
    }

    /// Returns how long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the day, as `YYYY-MM-DD`.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let is_utc = text.ends_with('Z') || text.ends_with("+00:00");
        if !is_utc || text.as_bytes().get(10) != Some(&b'T') {
            return Err(InvalidTime);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| InvalidTime)?;
        Self::from_milliseconds(instant.as_millisecond()).ok_or(InvalidTime)
    }
}

impl TryFrom<String> for Time {
    type Error = InvalidTime;

    fn try_from(text: String) -> Result<Self, InvalidTime> {
        text.parse()
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(out, "{}", instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Time since boot, suspends included (`CLOCK_BOOTTIME`). Only differences within one boot mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(pub Duration);

impl BootTime {
    /// Returns how long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidTime, Time};

    #[test]
    fn the_last_instant_can_be_written_and_read() {
        let last = Time::LAST.plus(std::time::Duration::from_secs(u64::MAX));
        assert_eq!((last, last.to_string().as_str()), (Time::LAST, "9999-12-30T21:59:59.999Z"));
        assert_eq!(last.to_string().parse::<Time>().ok(), Some(last));
    }

    #[test]
    fn a_time_is_printed_in_one_form() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000+00:00", "2026-01-31T12:00:00.000999Z"] {
            assert_eq!(text.parse::<Time>().map(|time| time.to_string()).as_deref(), Ok("2026-01-31T12:00:00.000Z"), "{text}");
        }
    }

    #[test]
    fn a_time_of_another_zone_or_without_one_is_refused() {
        for text in ["2026-01-31T12:00:00", "2026-01-31T12:00:00+02:00", "2026-01-31", "1969-12-31T23:59:59Z", "", "2026-01-31 12:00:00Z"] {
            assert_eq!(text.parse::<Time>(), Err(InvalidTime), "{text}");
        }
    }
}
