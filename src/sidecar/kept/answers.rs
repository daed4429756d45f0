//! The answers of the primary that this host keeps: looked up, kept, taken back.
//!
//! One lock holds the index and the count of revocations, so that nothing comes between comparing and keeping. What is taken back is gone
//! from memory at once, and from disk before the no that took it back is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::model::clock;
use crate::model::directory::Directory;
use crate::model::kept_answer::{KeptAnswer, KeptAnswerStore, KeptKind, KeptSubject, QuestionKey};
use crate::model::time::BootTime;
use crate::net::log_limiter::LogLimiter;
use crate::sidecar::config::{CheckIp, FreshnessPolicy, KeptBounds, KeptConfig, KeptMode};
use crate::sidecar::kept::asked_keys::AskedCounts;
use crate::sidecar::kept::index::KeptIndex;
use crate::sidecar::kept::invalidations::{Invalidations, RevocationCount};
use crate::sidecar::kept::mass_negative::{Evicted, GuardChange, GuardStatus, HoldEnd, MassNegativeGuard};
use crate::sidecar::kept::metrics::{EvictionReason, KeptMetrics};
use crate::sidecar::kept::negatives::Negatives;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::state::KeptState;

/// How long a no waits for what it takes back to be gone from disk. A disk that hangs is reported, and holds nobody up for longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a look-up waits for the answers to be read at the start.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// The most answers that are removed at once because they are too old to be given.
const MAX_PURGED_AT_ONCE: usize = 500;

/// The kept answers.
pub struct KeptAnswers {
    pub(super) policy: FreshnessPolicy,
    pub(super) mode: KeptMode,
    /// Whether the address that somebody asks from enters the decision.
    pub check_ip: CheckIp,
    state: Mutex<KeptState>,
    pub(super) store: Arc<dyn KeptAnswerStore>,
    /// Whether what was kept before the start has been read.
    pub(super) opened: watch::Sender<bool>,
    /// A whole directory that began to be followed while what was kept before the start is still being read.
    pub(super) replaced_by: Mutex<Option<Arc<dyn Directory + Send + Sync>>>,
    /// What is counted.
    pub metrics: KeptMetrics,
    log: LogLimiter,
}

impl KeptAnswers {
    /// Creates them, without what the disk holds: that comes with [`KeptAnswers::restore`].
    pub fn new(config: &KeptConfig, policy: FreshnessPolicy, registry: &mut Registry) -> Arc<Self> {
        let state = KeptState {
            index: KeptIndex::new(config.bounds),
            invalidations: Invalidations::default(),
            negatives: Negatives::new(config.negative_ttl),
            guard: MassNegativeGuard::new(config.mass_negative),
        };
        Arc::new(Self {
            policy,
            mode: config.mode,
            check_ip: config.check_ip,
            state: Mutex::new(state),
            store: Arc::clone(&config.store),
            opened: watch::Sender::new(false),
            replaced_by: Mutex::default(),
            metrics: KeptMetrics::register(registry),
            log: LogLimiter::default(),
        })
    }

    /// Waits until what was kept before the start has been read, but not long. Returns whether it has.
    pub async fn wait_until_open(&self) -> bool {
        if !*self.opened.borrow() {
            let mut opened = self.opened.subscribe();
            let _late = timeout(OPEN_TIMEOUT, opened.wait_for(|opened| *opened)).await;
        }
        *self.opened.borrow()
    }

    /// Returns whether what was kept before the start has been read.
    pub(super) fn is_open(&self) -> bool {
        *self.opened.borrow()
    }

    /// Returns how much is kept at most.
    #[must_use]
    pub fn bounds(&self) -> KeptBounds {
        self.lock().index.bounds()
    }

    /// Returns how many revocations there have been: to be noted before the primary is asked.
    #[must_use]
    pub fn revocations(&self) -> RevocationCount {
        self.lock().invalidations.count()
    }

    /// Returns the last revocation of a question or of who asks it: who asks after it joins no equal question from before it.
    #[must_use]
    pub fn last_revocation(&self, question: &KeptQuestion) -> RevocationCount {
        let invalidations = &self.lock().invalidations;
        let of_asker = question.asker.as_ref().map_or_else(RevocationCount::default, |asker| invalidations.last(asker));
        invalidations.last(&question.key).max(of_asker)
    }

    /// Takes back what a key was allowed under another id: it was removed and added again.
    pub(super) fn revoke_former_id(&self, state: &mut KeptState, before: Option<&KeptAnswer>, answer: &KeptAnswer) {
        let former = before.and_then(KeptAnswer::key_id).filter(|former| Some(*former) != answer.key_id());
        if let Some(former) = former
            && answer.kind == KeptKind::AuthorizedKeys
        {
            let _not_remembered = self.revoke(state, &KeptSubject::Key(former), EvictionReason::Key);
            state.guard.forget_subject(&KeptSubject::Key(former));
        }
    }

    /// Removes some of what is too old to be given.
    pub fn purge(&self, now: BootTime) {
        let mut state = self.lock();
        self.report(state.guard.advance(now));
        state.negatives.purge(now);
        let longest = KeptKind::ALL.map(|kind| self.policy.limits_for(kind.freshness_class()).max_stale).into_iter().max();
        for _ in 0..MAX_PURGED_AT_ONCE {
            let Some(place) = state.index.oldest() else { return };
            if Some(place.answer.proven_at.age(now)) <= longest {
                return;
            }
            let key = place.key;
            let _not_remembered = self.evict(&mut state, &[key], EvictionReason::Age);
        }
    }

    /// Reads the index and the number of negatives, for the operator.
    pub fn with_index<T>(&self, read: impl FnOnce(&KeptIndex, usize) -> T) -> T {
        let state = self.lock();
        read(&state.index, state.negatives.len())
    }

    /// Returns the state of the guard against a primary that does not know most keys.
    #[must_use]
    pub fn guard_status(&self, now: BootTime) -> GuardStatus {
        self.lock().guard.status(now)
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &dyn KeptAnswerStore {
        &*self.store
    }

    pub(super) fn revoke(&self, state: &mut KeptState, subject: &KeptSubject, reason: EvictionReason) -> Vec<Evicted> {
        state.invalidations.revoke(subject);
        let keys: Vec<QuestionKey> = state.index.about(subject).map(|place| place.key).collect();
        self.evict(state, &keys, reason)
    }

    pub(super) fn evict(&self, state: &mut KeptState, keys: &[QuestionKey], reason: EvictionReason) -> Vec<Evicted> {
        let removed: Vec<Evicted> = keys.iter().filter_map(|key| state.index.remove(*key).map(|answer| (*key, answer))).collect();
        self.metrics.count_evictions(reason, removed.len());
        self.store.remove(&removed.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        removed
    }

    /// Says what became of the guard, in the log and in what is counted.
    pub(super) fn report(&self, change: GuardChange) {
        let (meanwhile, afterwards) = match self.mode {
            KeptMode::Answer => ("these keys are let in for now", "they are refused from now on"),
            KeptMode::Shadow => (
                "shadow mode: these keys are refused, and would be let in after a switch",
                "after a switch they would be refused from now on",
            ),
        };
        match change {
            GuardChange::None => {}
            GuardChange::Began(counts) => {
                self.metrics.holds.inc();
                let AskedCounts { asked, unknown } = counts;
                tracing::error!(
                    asked,
                    unknown,
                    "the primary does not know {unknown} of the {asked} keys asked about within a minute that it knew before: {meanwhile}; look whether it is the right instance, has its database and its keys to decrypt it; if the keys are removed, run `sidegate invalidate all`"
                );
            }
            GuardChange::Ended(HoldEnd::Over, keys) => {
                tracing::error!(keys, "the primary still does not know {keys} keys: {afterwards}");
            }
            GuardChange::Ended(HoldEnd::NoneUnknown, _) => {
                tracing::info!("the hold is over: no key is left that the primary does not know");
            }
        }
    }

    /// Waits until all that was noted is on disk, but not long. Returns whether it is; that it is not is logged.
    pub async fn flush(&self) -> bool {
        let on_disk = async {
            self.wait_until_open().await && {
                self.store.flush().await;
                true
            }
        };
        let is_on_disk = timeout(FLUSH_TIMEOUT, on_disk).await.unwrap_or(false);
        if !is_on_disk && let Some(suppressed) = self.log.allow(clock::wall_time()) {
            tracing::error!(
                suppressed,
                "kept answers are not written after {FLUSH_TIMEOUT:?}: after a crash now, what was removed would be kept again, and what was added lost; look at the disk of `store.path`"
            );
        }
        is_on_disk
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, KeptState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
