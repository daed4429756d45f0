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

/// A commit by its epoch and number. As text, which an answer of the primary carries, `<epoch>/<seq>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitPosition {
    /// The epoch that `seq` counts in.
    pub epoch: Epoch,
    /// The number of the commit.
    pub seq: u64,
}

/// The text is no position of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is an epoch and a number, as 0123…/7")]
pub struct InvalidPosition;

impl Head {
    /// Returns its last commit.
    #[must_use]
    pub const fn position(self) -> CommitPosition {
        CommitPosition { epoch: self.epoch, seq: self.seq }
    }
}

impl CommitPosition {
    /// Returns whether what is decided here knows of the other commit.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.epoch == other.epoch && self.seq >= other.seq
    }
}

impl fmt::Display for CommitPosition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.epoch, self.seq)
    }
}

impl FromStr for CommitPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, seq) = text.split_once('/').ok_or(InvalidPosition)?;
        let epoch = epoch.parse().map_err(|_| InvalidPosition)?;
        Ok(Self { epoch, seq: seq.parse().map_err(|_| InvalidPosition)? })
    }
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
    use super::{CommitPosition, Epoch, InvalidEpoch, InvalidPosition};

    #[test]
    fn a_position_is_read_back_and_includes_what_came_before_it_in_its_epoch() {
        let at = |epoch: u128, seq: u64| CommitPosition { epoch: Epoch(epoch), seq };
        assert_eq!(at(7, 11).to_string().parse(), Ok(at(7, 11)));
        for wrong in ["", "/", "7/11", &format!("{}/", Epoch(7)), &format!("{}/-1", Epoch(7)), &Epoch(7).to_string()] {
            assert_eq!(wrong.parse::<CommitPosition>(), Err(InvalidPosition), "{wrong}");
        }
        assert!(at(7, 11).includes(at(7, 11)) && at(7, 11).includes(at(7, 3)));
        assert!(!at(7, 11).includes(at(7, 12)) && !at(7, 11).includes(at(8, 3)));
    }

    #[test]
    fn an_epoch_has_one_form() {
        assert_eq!(Epoch(255).to_string().parse(), Ok(Epoch(255)));
        for wrong in ["", "ff", &"F".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(wrong.parse::<Epoch>(), Err(InvalidEpoch), "{wrong}");
        }
    }
}
