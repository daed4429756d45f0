//! Changes of a directory, the commits that carry them, and the head that a primary or a follower has reached.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::record_identity::RecordIdentity;

/// The epoch of a primary's store, within which commit numbers count: random, created with the store, 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(pub u128);

/// The text is not 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is 32 lower-case hex digits")]
pub struct InvalidEpoch;

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = InvalidEpoch;

    fn from_str(text: &str) -> Result<Self, InvalidEpoch> {
        let hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hex {
            return Err(InvalidEpoch);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidEpoch)
    }
}

impl TryFrom<String> for Epoch {
    type Error = InvalidEpoch;

    fn try_from(text: String) -> Result<Self, InvalidEpoch> {
        text.parse()
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.to_string()
    }
}

/// The head of a directory: its epoch, its last commit, and the digest of all its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The epoch that `seq` counts in.
    pub epoch: Epoch,
    /// The number of the last commit; 0 before the first.
    pub seq: u64,
    /// Digest and count of all records.
    #[serde(flatten)]
    pub state: DirectoryDigest,
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record replaces the one of the same identity, or is new.
    Put(Entry),
    /// The record is deleted. Deleting one that does not exist changes nothing.
    Delete(RecordIdentity),
}

/// One commit of the primary: at most 1,000 changes, deletes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its number; one more than the commit before.
    pub seq: u64,
    /// Digest and count of all records after the commit.
    pub state: DirectoryDigest,
    /// The changes.
    pub changes: Vec<Change>,
}

#[cfg(test)]
mod tests {
    use super::{Epoch, InvalidEpoch};

    #[test]
    fn an_epoch_has_one_form() {
        assert_eq!(Epoch(255).to_string().parse(), Ok(Epoch(255)));
        for wrong in ["", "ff", &"F".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(wrong.parse::<Epoch>(), Err(InvalidEpoch), "{wrong}");
        }
    }
}
