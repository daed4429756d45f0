//! Ids of records: positive, and small enough for a signed 64-bit integer.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of a record: 1 to 2^63 − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Id(NonZeroU64);

/// The number cannot be an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a whole number from 1 to 9223372036854775807")]
pub struct InvalidId;

impl Id {
    /// Returns the id as a plain number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }

    /// Returns the big-endian bytes, which sort as the numbers do.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        self.number().to_be_bytes()
    }
}

impl TryFrom<u64> for Id {
    type Error = InvalidId;

    fn try_from(number: u64) -> Result<Self, InvalidId> {
        match NonZeroU64::new(number) {
            Some(nonzero) if i64::try_from(number).is_ok() => Ok(Self(nonzero)),
            _ => Err(InvalidId),
        }
    }
}

impl From<Id> for u64 {
    fn from(id: Id) -> Self {
        id.number()
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    /// Parses decimal digits only: no sign, no blank, no leading zero.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        if !is_decimal {
            return Err(InvalidId);
        }
        text.parse::<u64>().map_err(|_| InvalidId)?.try_into()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, InvalidId};

    #[test]
    fn an_id_is_positive_and_fits_a_signed_integer() {
        assert_eq!(Id::try_from(0), Err(InvalidId));
        assert_eq!(Id::try_from(u64::MAX), Err(InvalidId));
        assert_eq!(Id::try_from(7).map(Id::number), Ok(7));
    }

    #[test]
    fn an_id_in_text_is_digits_only() {
        for wrong in ["", "0", "07", "+7", "-7", " 7", "7 ", "7.0", "９", "9223372036854775808"] {
            assert_eq!(wrong.parse::<Id>(), Err(InvalidId), "{wrong:?}");
        }
        assert_eq!("9223372036854775807".parse::<Id>().map(Id::number), Ok(i64::MAX as u64));
    }
}
