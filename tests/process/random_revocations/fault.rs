//! The faults that revocations meet.

use crate::random_revocations::fleet::Fleet;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    LateLink,
    LateFeed,
    HeldLink,
    HeldFeed,
    CutLink,
    CutFeed,
    FlappingLink,
    PausedHost,
    PausedThenCutHost,
    PausedPrimary,
    KilledHost,
    KilledPrimary,
    KilledBoth,
    FullHostDisk,
    FullPrimaryDisk,
    /// From a copy of before these revocations.
    Restored,
    /// From a copy of before hosts were last seen, by more than their bound.
    RestoredFromOldCopy,
    NewEpoch,
    /// The primary is killed just after a host followed for the first time, and that host is cut off.
    Newcomer,
    /// The primary is killed just after a host raised its bounds, and that host is cut off.
    RaisedBounds,
    /// A second host takes the name of one that is cut off.
    Namesake,
    /// The same, and the second has a copy of the first one's store.
    CopiedHost,
    /// A host's store is replaced by a copy of before, and the host is cut off.
    RestoredHost,
    /// A directory file of before the revocations is applied.
    OlderFile,
    /// Something else at each host, and at the primary.
    Mixed,
}

impl Fault {
    pub const ALL: [Self; 26] = [
        Self::None,
        Self::LateLink,
        Self::LateFeed,
        Self::HeldLink,
        Self::HeldFeed,
        Self::CutLink,
        Self::CutFeed,
        Self::FlappingLink,
        Self::PausedHost,
        Self::PausedThenCutHost,
        Self::PausedPrimary,
        Self::KilledHost,
        Self::KilledPrimary,
        Self::KilledBoth,
        Self::FullHostDisk,
        Self::FullPrimaryDisk,
        Self::Restored,
        Self::RestoredFromOldCopy,
        Self::NewEpoch,
        Self::Newcomer,
        Self::RaisedBounds,
        Self::Namesake,
        Self::CopiedHost,
        Self::RestoredHost,
        Self::OlderFile,
        Self::Mixed,
    ];

    /// What it is called in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::LateLink => "link ever later",
            Self::LateFeed => "feed ever later",
            Self::HeldLink => "link half open",
            Self::HeldFeed => "feed half open",
            Self::CutLink => "link cut",
            Self::CutFeed => "feed cut",
            Self::FlappingLink => "link flapping",
            Self::PausedHost => "host paused",
            Self::PausedThenCutHost => "host paused, then cut",
            Self::PausedPrimary => "primary paused",
            Self::KilledHost => "host killed",
            Self::KilledPrimary => "primary killed",
            Self::KilledBoth => "both killed",
            Self::FullHostDisk => "host's disk full",
            Self::FullPrimaryDisk => "primary's disk full",
            Self::Restored => "primary restored",
            Self::RestoredFromOldCopy => "restored, old copy",
            Self::NewEpoch => "new epoch",
            Self::Newcomer => "new host, then cut",
            Self::RaisedBounds => "bounds raised, then cut",
            Self::Namesake => "two hosts of one name",
            Self::CopiedHost => "copy of a host",
            Self::RestoredHost => "host restored, then cut",
            Self::OlderFile => "older file applied",
            Self::Mixed => "mixed",
        }
    }

    /// The fault of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// Whether the primary is started anew, and then waits a while for hosts that it expects back.
    pub const fn restarts_primary(self) -> bool {
        matches!(self, Self::KilledPrimary | Self::Newcomer | Self::RaisedBounds) || self.restores()
    }

    /// Whether the primary is restored from a copy.
    pub const fn restores(self) -> bool {
        matches!(self, Self::Restored | Self::RestoredFromOldCopy)
    }

    /// Whether it is possible on this machine.
    pub fn is_possible(self, fleet: &Fleet) -> bool {
        match self {
            Self::FullHostDisk => fleet.host_disk.is_some(),
            Self::FullPrimaryDisk => fleet.primary_disk.is_some(),
            _ => true,
        }
    }
}
