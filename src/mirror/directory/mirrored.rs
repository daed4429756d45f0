//! Publishes what was found of GitLab: in one commit, with no other writer in between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::api::request::RequestTime;
use crate::mirror::directory::changes::{AskedFinding, PlannedChanges, Planner, held_key};
use crate::mirror::directory::finding::{Finding, Published, Source};
use crate::mirror::directory::held_ids::HeldIds;
use crate::mirror::directory::removals::{RecentRemovals, RemovedKind};
use crate::mirror::directory::subject::{Question, SubjectClock};
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::loss_guard::{Loss, LossGuard};
use crate::model::record::{Key, Record, Settings};
use crate::model::sort_key::SortKey;
use crate::model::time::Time;
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::replication::accepted_loss;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// The directory of a mirror.
pub struct MirroredDirectory {
    store: PrimaryStore,
    writer: Arc<DirectoryWriter>,
    guard: LossGuard,
    /// Which findings still count.
    pub clock: SubjectClock,
    held: Mutex<Held>,
    /// How many users and keys are held: known also while something is published.
    counts: [AtomicUsize; 2],
}

/// What is known of the directory beside its records. Locked for as long as something is published.
struct Held {
    owners: HeldIds,
    removals: RecentRemovals,
}

impl MirroredDirectory {
    /// Returns the directory of a store. Reads it whole. Blocks.
    pub fn load(store: PrimaryStore, writer: Arc<DirectoryWriter>, guard: LossGuard) -> Result<Self, StoreError> {
        let owners = HeldIds::load(&store.directory())?;
        let counts = [AtomicUsize::new(owners.user_count()), AtomicUsize::new(owners.key_count())];
        let removals = RecentRemovals::load(store.private_store(), RequestTime::now())?;
        let held = Mutex::new(Held { owners, removals });
        Ok(Self { store, writer, guard, clock: SubjectClock::default(), held, counts })
    }

    /// Publishes findings, each unless something newer is known than the question that it answers. On disk when it returns.
    pub async fn publish(self: &Arc<Self>, source: Source, findings: Vec<(Finding, Option<Arc<Question>>)>) -> Result<Published, ApiError> {
        let directory = Arc::clone(self);
        run_blocking(move || directory.publish_now(source, &findings)).await
    }

    /// Publishes as [`Self::publish`] does. Blocks.
    pub fn publish_now(&self, source: Source, findings: &[(Finding, Option<Arc<Question>>)]) -> Result<Published, ApiError> {
        let now = RequestTime::now();
        let mut held = self.held();
        let Held { owners, removals } = &mut *held;
        let borrowed: Vec<AskedFinding<'_>> = findings.iter().map(|(finding, asked)| (finding, asked.as_deref())).collect();
        let (_head, (published, changes, users, keys)) = self.writer.lock()?.commit(source.as_str(), |directory| {
            let planned = Planner::new(directory, owners).plan(&borrowed)?;
            let held_back = self.held_back(source, &planned, removals, owners, now)?;
            let planned = match held_back.is_empty() {
                true => planned,
                false => {
                    let kept: Vec<_> = borrowed.iter().copied().filter(|(finding, _)| !is_removal(finding)).collect();
                    Planner::new(directory, owners).keeping_ids().plan(&kept)?
                }
            };
            let PlannedChanges { changes, removed_users, removed_keys, mut published } = planned;
            published.held_back = held_back;
            Ok((changes.clone(), (published, changes, removed_users, removed_keys)))
        })?;
        owners.apply(&changes);
        if users + keys > 0 {
            removals.record(users, keys, now.boot);
            if self.is_loss_accepted(now.wall)? {
                removals.clear();
            }
            self.store_removals(removals, now);
        }
        self.counts[0].store(owners.user_count(), Ordering::Relaxed);
        self.counts[1].store(owners.key_count(), Ordering::Relaxed);
        self.note(findings);
        Ok(published)
    }

    /// Publishes the settings, if they are not held so. Returns whether they were not. On disk when it returns.
    pub async fn publish_settings(self: &Arc<Self>, settings: Settings) -> Result<bool, ApiError> {
        let directory = Arc::clone(self);
        run_blocking(move || directory.publish_settings_now(settings)).await
    }

    /// Publishes the settings as [`Self::publish_settings`] does. Blocks.
    pub fn publish_settings_now(&self, settings: Settings) -> Result<bool, ApiError> {
        let found = Entry::from_record(Record::Settings(settings))?;
        let (_head, is_new) = self.writer.lock()?.commit(Source::FullWalk.as_str(), |directory| {
            let held = directory.load_entry(&SortKey::settings())?;
            let changes = if held.as_ref() == Some(&found) { Vec::new() } else { vec![Change::Put(found)] };
            let is_new = !changes.is_empty();
            Ok((changes, is_new))
        })?;
        Ok(is_new)
    }

    /// Returns the settings, if any are held. Blocks.
    pub fn settings(&self) -> Result<Option<Settings>, StoreError> {
        let entry = self.store.directory().load_entry(&SortKey::settings())?;
        Ok(match entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
            Some(Record::Settings(settings)) => Some(settings.clone()),
            _ => None,
        })
    }

    /// Notes that findings of earlier questions do not count any more for what was found now.
    fn note(&self, findings: &[(Finding, Option<Arc<Question>>)]) {
        for (finding, asked) in findings {
            match asked {
                Some(asked) => self.clock.found(finding.subject(), asked),
                None => self.clock.told(finding.subject()),
            }
        }
    }

    /// Stores how much was removed. What was removed is published already, so that a failure is only said.
    fn store_removals(&self, removals: &RecentRemovals, now: RequestTime) {
        if let Err(error) = removals.store(self.store.private_store(), now) {
            tracing::warn!(%error, "how much was removed lately could not be stored, and will not count after a restart: {error}");
        }
    }

    /// Returns the losses that an operator has to accept first. What GitLab has told is removed in any case, and counts.
    fn held_back(
        &self,
        source: Source,
        planned: &PlannedChanges,
        removals: &mut RecentRemovals,
        owners: &HeldIds,
        now: RequestTime,
    ) -> Result<Vec<(RemovedKind, Loss)>, StoreError> {
        if source == Source::Told || planned.removed_users + planned.removed_keys == 0 {
            return Ok(Vec::new());
        }
        let users = owners.user_count() as u64;
        let keys = owners.key_count() as u64;
        let excessive: Vec<_> = [(RemovedKind::User, planned.removed_users, users), (RemovedKind::Key, planned.removed_keys, keys)]
            .into_iter()
            .filter_map(|(kind, more, held)| Some((kind, removals.excessive_loss(self.guard, kind, more, held, now.boot)?)))
            .collect();
        if excessive.is_empty() || self.is_loss_accepted(now.wall)? { Ok(Vec::new()) } else { Ok(excessive) }
    }

    /// Returns the losses that removing so many users and keys would be, unless the operator has accepted them.
    pub fn excessive_losses(&self, users: u64, keys: u64) -> Result<Vec<(RemovedKind, Loss)>, StoreError> {
        let planned = PlannedChanges { removed_users: users, removed_keys: keys, ..PlannedChanges::default() };
        let mut held = self.held();
        let Held { owners, removals } = &mut *held;
        self.held_back(Source::FullWalk, &planned, removals, owners, RequestTime::now())
    }

    fn is_loss_accepted(&self, now: Time) -> Result<bool, StoreError> {
        Ok(accepted_loss::accepted_until(self.store.private_store(), now)?.is_some())
    }

    /// Returns the key with this id. Blocks.
    pub fn key(&self, id: Id) -> Result<Option<Key>, StoreError> {
        held_key(&self.store.directory(), id)
    }

    /// Returns the key with this fingerprint. Blocks.
    pub fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> Result<Option<Key>, StoreError> {
        use crate::model::directory::Directory as _;
        let found = self.store.directory().key_by_fingerprint(fingerprint).map_err(|error| StoreError(error.to_string()))?;
        Ok(found.map(|key| (*key).clone()))
    }

    /// Returns the keys of a user, or the deploy keys. Blocks.
    pub fn keys_of(&self, user: Option<Id>) -> Result<Vec<Key>, StoreError> {
        let ids = self.held().owners.keys_of(user).to_vec();
        let directory = self.store.directory();
        ids.into_iter().filter_map(|id| held_key(&directory, id).transpose()).collect()
    }

    /// Returns the ids of the keys of a user, or of the deploy keys.
    #[must_use]
    pub fn key_ids_of(&self, user: Option<Id>) -> Vec<Id> {
        self.held().owners.keys_of(user).to_vec()
    }

    /// Returns the users that are held with ids above `after`, up to `until`; `None`: from the first, to the last.
    #[must_use]
    pub fn users_between(&self, after: Option<Id>, until: Option<Id>) -> Vec<Id> {
        self.held().owners.users_between(after, until).collect()
    }

    /// Returns whether a user is held.
    #[must_use]
    pub fn has_user(&self, id: Id) -> bool {
        self.held().owners.has_user(id)
    }

    /// Returns how many users are held.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.counts[0].load(Ordering::Relaxed)
    }

    /// Returns the ids of some keys, chosen at random.
    #[must_use]
    pub fn sample_keys(&self, count: usize) -> Vec<Id> {
        fastrand::choose_multiple(self.held().owners.key_ids(), count)
    }

    /// Returns how many keys are held.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.counts[1].load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn is_removal(finding: &Finding) -> bool {
    matches!(finding, Finding::NoUser(_) | Finding::NoKey { .. })
}
