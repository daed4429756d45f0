//! A reading of the primary's clock as it travels with the feed: which boot of which machine, how long since that boot, and the wall
//! time. The primary reads it together with the head that it speaks of, so whoever can place the reading on a clock of its own knows
//! how old that head is.
//!
//! Two forms: an object in a line of the feed, `{"boot_id":"…","boot_ms":N,"wall_ms":N}`, and a header, `<boot id> <boot ms> <wall ms>`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::{BootTime, Time};

/// The longest boot id that is taken: the kernel's has 36 characters.
const MAX_BOOT_ID_BYTES: usize = 64;

/// Names one boot of one machine: `/proc/sys/kernel/random/boot_id`, printable and without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(Box<str>);

/// One reading of a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawClockReading", into = "RawClockReading")]
pub struct ClockReading {
    /// The boot that `boot_time` counts from. Readings of different boots cannot be compared.
    pub boot_id: BootId,
    /// Time since that boot, suspends included, in whole milliseconds.
    pub boot_time: BootTime,
    /// The wall clock.
    pub wall_time: Time,
}

/// Says what a clock reading has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clock reading is a boot id of 1 to 64 printable characters, milliseconds since boot and milliseconds since 1970")]
pub struct InvalidClockReading;

impl BootId {
    /// The boot id of this text, without the white space around it.
    pub fn parse(text: &str) -> Result<Self, InvalidClockReading> {
        let text = text.trim();
        let valid = (1..=MAX_BOOT_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(text.into())) } else { Err(InvalidClockReading) }
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for BootId {
    type Error = InvalidClockReading;

    fn try_from(text: String) -> Result<Self, InvalidClockReading> {
        Self::parse(&text)
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.0.into()
    }
}

/// The header's form.
impl fmt::Display for ClockReading {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.boot_id, self.boot_time.0.as_millis(), self.wall_time.milliseconds())
    }
}

impl FromStr for ClockReading {
    type Err = InvalidClockReading;

    fn from_str(text: &str) -> Result<Self, InvalidClockReading> {
        let mut words = text.split(' ');
        let (Some(id), Some(boot), Some(wall), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(InvalidClockReading);
        };
        let boot_ms = boot.parse().map_err(|_| InvalidClockReading)?;
        let wall_ms = wall.parse().map_err(|_| InvalidClockReading)?;
        Self::try_from(RawClockReading { boot_id: BootId::parse(id)?, boot_ms, wall_ms })
    }
}

#[derive(Serialize, Deserialize)]
struct RawClockReading {
    boot_id: BootId,
    boot_ms: u64,
    wall_ms: i64,
}

impl TryFrom<RawClockReading> for ClockReading {
    type Error = InvalidClockReading;

    fn try_from(raw: RawClockReading) -> Result<Self, InvalidClockReading> {
        let wall_time = Time::from_milliseconds(raw.wall_ms).ok_or(InvalidClockReading)?;
        Ok(Self { boot_id: raw.boot_id, boot_time: BootTime(Duration::from_millis(raw.boot_ms)), wall_time })
    }
}

impl From<ClockReading> for RawClockReading {
    fn from(reading: ClockReading) -> Self {
        let boot_ms = u64::try_from(reading.boot_time.0.as_millis()).unwrap_or(u64::MAX);
        Self { boot_id: reading.boot_id, boot_ms, wall_ms: reading.wall_time.milliseconds() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BootId, ClockReading};
    use crate::model::time::{BootTime, Time};

    proptest! {
        #[test]
        fn both_forms_are_read_as_they_were_written(boot_ms: u64, wall_ms in 0..253_402_207_199_999_i64) {
            let reading = ClockReading {
                boot_id: BootId::parse("5f4dcc3b-5aa7-65d6-1d83-27deb882cf99").unwrap(),
                boot_time: BootTime(std::time::Duration::from_millis(boot_ms)),
                wall_time: Time::from_milliseconds(wall_ms).unwrap(),
            };
            let parsed: ClockReading = reading.to_string().parse().unwrap();
            prop_assert_eq!(&parsed, &reading);
            let text = serde_json::to_string(&reading).unwrap();
            prop_assert_eq!(serde_json::from_str::<ClockReading>(&text).unwrap(), reading);
        }

        #[test]
        fn no_text_panics_the_parser(text: String) {
            let _read = text.parse::<ClockReading>();
        }
    }

    #[test]
    fn a_reading_that_is_cut_doubled_or_out_of_range_is_refused() {
        for text in
            ["", "id", "id 1", "id 1 2 3", "id  1 2", "id -1 2", "id 1 -2", "id 1 x", "i\u{7f}d 1 2", &format!("{} 1 2", "i".repeat(65))]
        {
            assert!(text.parse::<ClockReading>().is_err(), "{text:?}");
        }
    }
}
