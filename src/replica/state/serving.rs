//! What the replica serves at one moment, as one immutable value: the follower builds the next one and swaps it in, and
//! whoever answers reads all of it at once. So an age never belongs to another generation than the view beside it.

use std::sync::Arc;

use crate::model::change::Head;
use crate::model::changed_directory::{ChangeSet, ChangedDirectory};
use crate::model::coverage::Coverage;
use crate::model::directory::Directory;
use crate::model::freshness::{DirectoryView, ProofSource, ProofTime, ReplicaReading};
use crate::model::time::Time;
use crate::replica::feed::source::LineDate;
use crate::store::generations::generation::Generation;

/// The serving generation with all that is known of it. The default serves nothing.
#[derive(Clone, Default)]
pub struct Serving {
    /// What answering threads read.
    pub reading: ReplicaReading,
    /// The generation behind the view.
    pub generation: Option<Generation>,
    /// The kinds of records that it has.
    pub coverage: Coverage,
    /// The last head at which the store equalled the primary.
    pub head: Option<Head>,
    /// Changes that the store could not take, and that bind on top of it.
    pub held: Option<HeldChanges>,
}

/// Changes that restrict and that the store could not take.
#[derive(Clone)]
pub struct HeldChanges {
    /// The changes.
    pub changes: Arc<ChangeSet>,
    /// How many there are.
    pub count: u64,
    /// Since when some are held.
    pub since: Time,
    /// Whether these are all: if not, nothing may be answered without the primary.
    pub is_complete: bool,
    /// Whether a restart will find them.
    pub survives_restart: bool,
}

impl Serving {
    /// Serves nothing from now on. What was counted stays, so that nothing from before is taken for something of later.
    pub fn clear(&mut self) {
        let mut revision = self.reading.revision;
        revision.count_reduction(None);
        *self = Self { reading: ReplicaReading { revision, ..ReplicaReading::default() }, ..Self::default() };
    }

    /// Serves another generation from now on, with nothing on top, which may lack anything of the one before. Its age and whether it is
    /// caught up are the caller's to say.
    pub fn set_generation(&mut self, generation: &Generation, coverage: Coverage, head: Head, verified: bool) {
        self.coverage = coverage;
        self.generation = Some(generation.clone());
        self.held = None;
        self.set_head(head);
        self.set_view(verified);
        self.reading.revision.count_reduction(Some(head.position()));
    }

    /// Sets the head at which the store equals the primary.
    pub fn set_head(&mut self, head: Head) {
        self.head = Some(head);
        self.reading.revision.move_to(head);
    }

    /// Puts changes that the store could not take on top of the generation, or nothing any more. While there are some, what is held is not
    /// fresh; if they are not all, it has expired.
    pub fn set_held(&mut self, held: Option<HeldChanges>) {
        if let Some(held) = &held {
            self.reading.revision.count_reduction(None);
            self.reading.exchange_proven_at = None;
            if !held.is_complete {
                self.reading.proven_at = None;
            }
        }
        self.held = held;
        let verified = self.reading.view.as_ref().is_some_and(|view| view.verified);
        self.set_view(verified);
    }

    fn set_view(&mut self, verified: bool) {
        let Some(generation) = &self.generation else { return };
        let mut directory: Arc<dyn Directory + Send + Sync> = Arc::new(generation.clone());
        if let Some(held) = &self.held {
            directory = Arc::new(ChangedDirectory::new(directory, Arc::clone(&held.changes)));
        }
        let (has_unknown_records, coverage) = (self.has_unknown_records(generation), self.coverage.clone());
        self.reading.view = Some(DirectoryView { directory, verified, has_unknown_records, coverage });
    }

    fn has_unknown_records(&self, generation: &Generation) -> bool {
        generation.foreign_count() > 0 || self.held.as_ref().is_some_and(|held| held.changes.has_unknown_parts())
    }

    /// Sets whether a denial may be answered from the generation, and whether access may be decided from it.
    pub fn set_verified(&mut self, verified: bool) {
        let Some(generation) = &self.generation else { return };
        let has_unknown_records = self.has_unknown_records(generation);
        if let Some(view) = &mut self.reading.view {
            view.verified = verified;
            view.has_unknown_records = has_unknown_records;
        }
    }

    /// Records that the directory was current at the date of a line; an earlier proof than the last changes nothing. Nothing is proven while
    /// the store lacks changes.
    pub fn record_proof(&mut self, date: LineDate) {
        if self.held.is_some() {
            return;
        }
        let proof = Some(ProofTime::at(date.at));
        self.reading.proven_at = self.reading.proven_at.max(proof);
        if date.source == ProofSource::Exchange {
            self.reading.exchange_proven_at = self.reading.exchange_proven_at.max(proof);
        }
        self.reading.proof_source = Some(date.source);
        self.reading.caught_up = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{HeldChanges, Serving};
    use crate::model::freshness::{Freshness, FreshnessLimits, ProofSource, ProofTime};
    use crate::model::time::{BootTime, Time};
    use crate::replica::feed::source::LineDate;

    const fn second(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    const fn by_exchange(seconds: u64) -> LineDate {
        LineDate { at: second(seconds), source: ProofSource::Exchange }
    }

    #[test]
    fn only_an_exchange_makes_what_is_held_fresh() {
        let limits = FreshnessLimits { ttl: Duration::from_secs(10), max_stale: Duration::from_secs(100) };
        let mut serving = Serving::default();
        serving.reading.confirmed_max_stale = Duration::from_secs(1000);
        for source in [ProofSource::Arrival, ProofSource::WallClocks] {
            serving.record_proof(LineDate { at: second(50), source });
            assert_eq!(serving.reading.freshness(limits, second(51)), Freshness::Stale, "{source:?}");
        }
        serving.record_proof(by_exchange(49));
        assert_eq!(serving.reading.freshness(limits, second(51)), Freshness::Fresh);
        assert_eq!(serving.reading.freshness(limits, second(60)), Freshness::Stale);
        assert_eq!(serving.reading.freshness(limits, second(151)), Freshness::Expired);
        serving.reading.confirmed_max_stale = Duration::from_secs(5);
        assert_eq!(serving.reading.freshness(limits, second(54)), Freshness::Fresh);
        assert_eq!(serving.reading.freshness(limits, second(56)), Freshness::Expired, "the primary counts with no more");
    }

    #[test]
    fn what_the_store_could_not_take_is_not_fresh_and_without_knowing_all_of_it_nothing_is_answered() {
        let limits = FreshnessLimits { ttl: Duration::from_secs(10), max_stale: Duration::from_secs(100) };
        let held = |is_complete| HeldChanges { changes: Arc::default(), count: 1, since: Time::EPOCH, is_complete, survives_restart: true };
        let mut serving = Serving::default();
        serving.reading.confirmed_max_stale = Duration::from_secs(1000);
        serving.record_proof(by_exchange(50));
        serving.set_held(Some(held(true)));
        serving.record_proof(by_exchange(51));
        assert_eq!(serving.reading.freshness(limits, second(51)), Freshness::Stale);
        assert_eq!(serving.reading.age(second(55)), Some(Duration::from_secs(5)), "its age runs");
        serving.set_held(Some(held(false)));
        assert_eq!(serving.reading.freshness(limits, second(51)), Freshness::Expired);
        serving.set_held(None);
        serving.record_proof(by_exchange(52));
        assert_eq!(serving.reading.freshness(limits, second(53)), Freshness::Fresh);
    }

    #[test]
    fn an_age_grows_until_a_proof_and_may_be_older_than_this_boot() {
        let mut serving = Serving::default();
        assert_eq!(serving.reading.age(second(9)), None);
        serving.reading.proven_at = Some(ProofTime::before(second(10), Duration::from_secs(100)));
        assert_eq!(serving.reading.age(second(15)), Some(Duration::from_secs(105)));
        serving.record_proof(by_exchange(15));
        serving.record_proof(by_exchange(12));
        assert_eq!(serving.reading.age(second(16)), Some(Duration::from_secs(1)), "an older proof takes nothing back");
        assert_eq!(serving.reading.age(second(14)), Some(Duration::ZERO));
    }
}
