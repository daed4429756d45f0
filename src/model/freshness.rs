//! How old local data is, and whether it may answer.
//!
//! The age is the time since the data was last proven current. At most `ttl`: fresh. At most `max_stale`: stale, used only when the
//! primary cannot be reached. Above that, or never synced: expired.

use std::sync::Arc;
use std::time::Duration;

use crate::model::change::{CommitPosition, Epoch, Head};
use crate::model::coverage::Coverage;
use crate::model::directory::Directory;
use crate::model::time::BootTime;

/// A class of requests with its own bounds of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreshnessClass {
    /// `authorized_keys`, `discover`.
    Keys,
    /// Fetches and archives.
    Reads,
    /// The check before a push, which the primary repeats with the real changes.
    PushPrecheck,
}

impl FreshnessClass {
    /// Returns its name in the configuration, the status and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Reads => "reads",
            Self::PushPrecheck => "push_precheck",
        }
    }
}

/// The two bounds of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessLimits {
    /// Up to this age local data answers without asking the primary.
    pub ttl: Duration,
    /// Up to this age local data answers while the primary cannot be reached.
    pub max_stale: Duration,
}

/// What the age of local data allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Freshness {
    /// Answer from local data.
    Fresh,
    /// Ask the primary; answer from local data only if that fails.
    Stale,
    /// Do not answer from local data.
    Expired,
}

impl FreshnessLimits {
    /// Returns the bounds, at most as large as the primary has confirmed.
    #[must_use]
    pub fn capped(self, confirmed_max_stale: Duration) -> Self {
        Self { ttl: self.ttl.min(confirmed_max_stale), max_stale: self.max_stale.min(confirmed_max_stale) }
    }

    /// Evaluates an age; `None` means never synced.
    pub fn evaluate(self, age: Option<Duration>) -> Freshness {
        match age {
            Some(age) if age <= self.ttl => Freshness::Fresh,
            Some(age) if age <= self.max_stale => Freshness::Stale,
            _ => Freshness::Expired,
        }
    }
}

/// One generation of the directory as a follower holds it.
#[derive(Clone)]
pub struct DirectoryView {
    /// The records.
    pub directory: Arc<dyn Directory + Send + Sync>,
    /// Whether a scan has found count and digest equal to what was stored: only then may a denial be based on it.
    pub verified: bool,
    /// Whether it holds records of unknown kinds or with unknown fields: then access is not decided from it.
    pub has_unknown_records: bool,
    /// Which kinds of records its feed publishes: what these do not say is not answered from it.
    pub coverage: Coverage,
}

/// When the directory was last proven current, on the boot clock; may lie before this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProofTime {
    boot_milliseconds: i64,
}

impl ProofTime {
    /// The directory was proven current at `now`.
    #[must_use]
    pub fn at(now: BootTime) -> Self {
        Self { boot_milliseconds: milliseconds(now.0) }
    }

    /// The directory was `age` old at `now`.
    #[must_use]
    pub fn before(now: BootTime, age: Duration) -> Self {
        Self { boot_milliseconds: milliseconds(now.0).saturating_sub(milliseconds(age)) }
    }

    /// The same as milliseconds on the boot clock.
    #[must_use]
    pub const fn boot_milliseconds(self) -> i64 {
        self.boot_milliseconds
    }

    /// The time of so many milliseconds on the boot clock.
    #[must_use]
    pub const fn from_boot_milliseconds(boot_milliseconds: i64) -> Self {
        Self { boot_milliseconds }
    }

    /// Returns the time that has passed since, zero for a `now` that is earlier.
    #[must_use]
    pub fn age(self, now: BootTime) -> Duration {
        Duration::from_millis(u64::try_from(milliseconds(now.0).saturating_sub(self.boot_milliseconds)).unwrap_or(0))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How the moment of a proof was found on this host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProofSource {
    /// By when it arrived: the primary sends no clock, because it is of an older version. What a link held back looks younger than it is.
    Arrival,
    /// By the wall clocks of both, because no exchange with this boot of the primary has placed its clock yet.
    WallClocks,
    /// By an exchange: not before it was asked for.
    Exchange,
}

impl ProofSource {
    /// Its name in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::WallClocks => "wall_clocks",
            Self::Exchange => "exchange",
        }
    }
}

/// How far a replica has come. While `reductions` stays the same, nothing that it applies takes access from anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DirectoryRevision {
    /// The epoch that is followed; `None` before the first.
    pub epoch: Option<Epoch>,
    /// The number of the last commit at which the directory equalled the primary's.
    pub seq: u64,
    /// How often the epoch has changed since the start.
    pub epoch_changes: u64,
    /// How often something was applied since the start that may take access away. Raised before it is acknowledged to the primary.
    pub reductions: u64,
    /// The commit that the last of these belongs to; `None` if that is not certain.
    pub reduced_at: Option<CommitPosition>,
}

impl DirectoryRevision {
    /// Moves to a head, and counts if its epoch is another than before.
    pub fn move_to(&mut self, head: Head) {
        if self.epoch != Some(head.epoch) {
            self.epoch = Some(head.epoch);
            self.epoch_changes += 1;
        }
        self.seq = head.seq;
    }

    /// Counts what may take access away, and belongs to this commit.
    pub const fn count_reduction(&mut self, at: Option<CommitPosition>) {
        self.reductions += 1;
        self.reduced_at = at;
    }

    /// Returns whether an answer to what was asked at `asked_at` may be from before something that takes access away and binds here now. It is
    /// not if the primary says that it decided at that commit or after it.
    #[must_use]
    pub fn overtakes(self, asked_at: Self, decided_at: Option<CommitPosition>) -> bool {
        let knows_of = |reduction| decided_at.is_some_and(|decided_at| decided_at.includes(reduction));
        self.reductions != asked_at.reductions && !self.reduced_at.is_some_and(knows_of)
    }
}

/// What a replica holds at one moment, and how current it is: all of it belongs together.
#[derive(Clone, Default)]
pub struct ReplicaReading {
    /// The serving generation; `None` while the store opens, or when there is none.
    pub view: Option<DirectoryView>,
    /// When the directory was last proven current, by whatever clock; `None` if it never was.
    pub proven_at: Option<ProofTime>,
    /// When it was last proven current by an exchange: only such a proof makes an answer fresh.
    pub exchange_proven_at: Option<ProofTime>,
    /// How the last proof was dated; `None` before the first since the start.
    pub proof_source: Option<ProofSource>,
    /// Whether the feed is caught up, or was when contact was lost.
    pub caught_up: bool,
    /// For how long the primary knows that this host may answer: nothing older is answered, whatever the configuration says.
    pub confirmed_max_stale: Duration,
    /// How far it has come.
    pub revision: DirectoryRevision,
}

impl ReplicaReading {
    /// Returns the time since the directory was last proven current; `None` if it never was.
    #[must_use]
    pub fn age(&self, now: BootTime) -> Option<Duration> {
        self.proven_at.map(|proven_at| proven_at.age(now))
    }

    /// Judges the age by the limits of a class, as far as the primary has confirmed them. What no exchange has proven is stale at best.
    pub fn freshness(&self, limits: FreshnessLimits, now: BootTime) -> Freshness {
        let limits = limits.capped(self.confirmed_max_stale);
        match limits.evaluate(self.exchange_proven_at.map(|proven_at| proven_at.age(now))) {
            Freshness::Fresh => Freshness::Fresh,
            Freshness::Stale | Freshness::Expired => match limits.evaluate(self.age(now)) {
                Freshness::Fresh | Freshness::Stale => Freshness::Stale,
                Freshness::Expired => Freshness::Expired,
            },
        }
    }
}

/// Joins who answers from the directory with who follows the primary.
pub trait DirectoryReplica: Send + Sync {
    /// Reads what is held at this moment, without a lock.
    fn read(&self) -> ReplicaReading;
    /// Waits for the store to be opened, at most `limit`.
    fn wait_until_open(&self, limit: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Returns a bound in seconds, rounded up: no answer is given for longer than is printed.
#[must_use]
pub fn whole_seconds(bound: Duration) -> u64 {
    bound.as_secs() + u64::from(bound.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::DirectoryRevision;
    use crate::model::change::{CommitPosition, Epoch};

    #[test]
    fn an_answer_is_overtaken_by_what_takes_access_away_unless_the_primary_knew_of_it() {
        let at = |epoch: u128, seq: u64| Some(CommitPosition { epoch: Epoch(epoch), seq });
        let asked_at = DirectoryRevision::default();
        for decided_at in [None, at(1, 1)] {
            assert!(!DirectoryRevision { seq: 9, ..asked_at }.overtakes(asked_at, decided_at), "nothing took access away");
        }
        let mut now = asked_at;
        now.count_reduction(at(1, 4));
        now.count_reduction(at(1, 7));
        for (decided_at, overtaken) in [(at(1, 7), false), (at(1, 8), false), (at(1, 6), true), (at(2, 8), true), (None, true)] {
            assert_eq!(now.overtakes(asked_at, decided_at), overtaken, "{decided_at:?}");
        }
        now.count_reduction(None);
        assert!(now.overtakes(asked_at, at(1, 100)), "what was applied in part may be of any commit");
    }
}
