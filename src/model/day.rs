//! A day of the calendar, without a time or a zone. Printed as `YYYY-MM-DD`.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::model::time::Time;

/// A calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

/// The text is not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day is YYYY-MM-DD")]
pub struct InvalidDay;

impl Day {
    /// Returns the day of an instant, in UTC.
    #[must_use]
    pub fn from_time(time: Time) -> Self {
        time.day().parse().unwrap_or(Self(Date::MAX))
    }

    /// Returns the day so many days later, at most 9999-12-31.
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(i64::from(days.min(MAX_DAYS)).days()))
    }
}

/// More days than there are between any two, and fewer than a span may have.
const MAX_DAYS: u32 = 4_000_000;

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self(date)
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let date: Date = text.parse().map_err(|_| InvalidDay)?;
        if date.to_string() == text { Ok(Self(date)) } else { Err(InvalidDay) }
    }
}

impl TryFrom<String> for Day {
    type Error = InvalidDay;

    fn try_from(text: String) -> Result<Self, InvalidDay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Day, InvalidDay};
    use crate::model::time::Time;

    #[test]
    fn a_day_is_printed_as_it_is_read_and_nothing_else_is_one() {
        assert_eq!("2024-02-29".parse::<Day>().map(|day| day.to_string()).as_deref(), Ok("2024-02-29"));
        for wrong in ["2023-02-29", "20240229", "2024-2-29", "2024-02-29T00:00:00", ""] {
            assert_eq!(wrong.parse::<Day>(), Err(InvalidDay), "{wrong}");
        }
    }

    #[test]
    fn days_are_counted_over_the_ends_of_months_and_not_past_the_last() {
        let day = Day::from_time("2026-01-31T23:59:59.999Z".parse::<Time>().unwrap());
        assert_eq!(day.plus(1).to_string(), "2026-02-01");
        assert_eq!(day.plus(365).to_string(), "2027-01-31");
        assert_eq!(day.plus(u32::MAX).to_string(), "9999-12-31");
    }
}
