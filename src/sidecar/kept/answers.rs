//! The answers of the primary that this host keeps: looked up, kept, taken back.
//!
//! One lock holds the index and the count of revocations, so that nothing comes between comparing and keeping. What is taken back is gone
//! from memory at once, and from disk before the no that took it back is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::api::request::RequestTime;
use crate::model::clock;
use crate::model::freshness::{Freshness, ProofTime};
use crate::model::id::Id;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptAnswerStore, KeptKind, KeptSubject, QuestionKey};
use crate::model::time::BootTime;
use crate::sidecar::config::{CheckIp, FreshnessPolicy, KeptBounds, KeptConfig, KeptMode};
use crate::sidecar::kept::acceptance::accept;
use crate::sidecar::kept::agreement::differing_field;
use crate::sidecar::kept::asked_keys::AskedCounts;
use crate::sidecar::kept::index::KeptIndex;
use crate::sidecar::kept::invalidations::{Invalidations, RevocationCount};
use crate::sidecar::kept::mass_negative::{Evicted, GuardChange, GuardStatus, HoldEnd, MassNegativeGuard};
use crate::sidecar::kept::metrics::{EvictionReason, KeptMetrics};
use crate::sidecar::kept::negatives::Negatives;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::refresh_queue::TO_SHARE;
use crate::sidecar::kept::refusal::refused_subjects;
use crate::sidecar::kept::warm_answers::WarmAnswer;
use crate::sidecar::upstream::decision::Decision;

/// How long a no waits for what it takes back to be gone from disk. A disk that hangs is reported, and holds nobody up for longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a look-up waits for the answers to be read at the start.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How many answers are taken over at once at the start, while look-ups wait.
const RESTORE_CHUNK: usize = 500;
/// The most answers that are removed at once because they are too old to be given.
const MAX_PURGED_AT_ONCE: usize = 500;

/// The kept answers.
pub struct KeptAnswers {
    policy: FreshnessPolicy,
    mode: KeptMode,
    /// Whether the address that somebody asks from enters the decision.
    pub check_ip: CheckIp,
    state: Mutex<KeptState>,
    store: Arc<dyn KeptAnswerStore>,
    /// Whether what was kept before the start has been read.
    opened: watch::Sender<bool>,
    /// What is counted.
    pub metrics: KeptMetrics,
}

struct KeptState {
    index: KeptIndex,
    invalidations: Invalidations,
    negatives: Negatives,
    guard: MassNegativeGuard,
}

/// What is kept for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A yes that may be given without asking.
    Fresh(HeldAnswer),
    /// A yes that may be given only if the primary fails or is slow.
    Stale(HeldAnswer),
    /// A yes that the primary took back, of a key that it did not know a moment ago as little as most others.
    GivenBack(HeldAnswer),
    /// The primary did not know the key so long ago.
    Unknown(Duration),
    /// Nothing that may be given.
    Nothing,
}

/// A kept yes at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAnswer {
    /// The body of the response.
    pub body: Bytes,
    /// The time since it was proven.
    pub age: Duration,
    /// When it was proven.
    pub proven_at: ProofTime,
    /// Who said it.
    pub origin: AnswerOrigin,
    /// Whether it is given for the first time since.
    pub is_first_use: bool,
}

/// What is kept for a question, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectedAnswer {
    /// The time since it was proven.
    pub age: Duration,
    /// What that age means.
    pub freshness: Freshness,
    /// Who said it.
    pub origin: AnswerOrigin,
    /// Whether its key has expired, so that it is not given.
    pub is_key_expired: bool,
}

/// What became of the answers of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WarmCounts {
    /// Kept.
    pub kept: usize,
    /// Left out: what is here is as young.
    pub younger: usize,
    /// Left out: the primary has said no to it, or to what shares its place in the table, since the start.
    pub denied: usize,
    /// Left out: it would push out another.
    pub no_room: usize,
}

/// What became of a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum YesOutcome {
    /// It may be given, and is kept if that is allowed.
    Valid,
    /// Something that it is about was taken back since it was asked for: it may not be given.
    Overtaken,
}

/// What an operator takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptSelector {
    /// Everything.
    All,
    /// Everything about one subject.
    Subject(KeptSubject),
    /// The answer to one question, and everything about the key that it names.
    Question(QuestionKey),
}

/// How much an operator took back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// Answers.
    pub answers: usize,
    /// Keys that the primary did not know.
    pub negatives: usize,
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
            metrics: KeptMetrics::register(registry),
        })
    }

    /// Takes over what was kept before the start: not what was taken back since, nor what is too old. The order in which it was used is
    /// not known; the oldest counts as used longest ago. Blocks.
    pub fn restore(&self, mut loaded: Vec<(QuestionKey, KeptAnswer)>) {
        loaded.sort_by_key(|(_, answer)| answer.proven_at);
        let count = loaded.len();
        let mut loaded = loaded.into_iter().peekable();
        while loaded.peek().is_some() {
            let mut state = self.lock();
            let chunk: Vec<_> = loaded.by_ref().take(RESTORE_CHUNK).collect();
            chunk.into_iter().for_each(|(key, answer)| self.restore_one(&mut state, key, answer));
        }
        self.opened.send_replace(true);
        tracing::info!(count, "read {count} kept answers");
    }

    fn restore_one(&self, state: &mut KeptState, key: QuestionKey, answer: KeptAnswer) {
        if state.index.find(key).is_some() {
            return;
        }
        let start = RevocationCount::default();
        let age = answer.proven_at.age(clock::boot_time());
        let is_expired = age > self.policy.limits_for(answer.kind.freshness_class()).max_stale;
        if is_expired || state.is_revoked_since(key, &answer.subjects, start) {
            return self.store.remove(&[key]);
        }
        let pushed_out = state.index.insert(key, Arc::new(answer), BootTime::default());
        self.store.remove(&[pushed_out.for_room, pushed_out.for_share].concat());
    }

    /// Waits until what was kept before the start has been read, but not long. Returns whether it has.
    pub async fn wait_until_open(&self) -> bool {
        if !*self.opened.borrow() {
            let mut opened = self.opened.subscribe();
            let _late = timeout(OPEN_TIMEOUT, opened.wait_for(|opened| *opened)).await;
        }
        *self.opened.borrow()
    }

    /// Returns what is kept for a question, and notes that it is used.
    #[must_use]
    pub fn find(&self, question: &KeptQuestion, now: RequestTime) -> Found {
        let mut state = self.lock();
        let Some(mut held) = state.peek(question, now) else {
            let unknown = state.negatives.find(question.key, now.boot);
            return match (self.peek_given_back(&state, question, now), unknown) {
                (Some(held), Some(_)) => Found::GivenBack(held),
                (Some(held), None) => Found::Stale(held),
                (None, Some(age)) => Found::Unknown(age),
                (None, None) => Found::Nothing,
            };
        };
        let freshness = self.freshness(question.kind, held.origin, held.age);
        if freshness != Freshness::Expired {
            held.is_first_use = state.index.mark_used(question.key, now.boot);
        }
        match freshness {
            Freshness::Fresh if question.kind.is_always_asked() => Found::Stale(held),
            Freshness::Fresh => Found::Fresh(held),
            Freshness::Stale => Found::Stale(held),
            Freshness::Expired => Found::Nothing,
        }
    }

    /// Returns a yes that was taken back and comes back, because the primary does not know most keys: what is given in place of its no.
    #[must_use]
    pub fn given_back(&self, question: &KeptQuestion, now: RequestTime) -> Option<HeldAnswer> {
        self.peek_given_back(&self.lock(), question, now)
    }

    fn peek_given_back(&self, state: &KeptState, question: &KeptQuestion, now: RequestTime) -> Option<HeldAnswer> {
        let answer = state.guard.given_back(question.key, now)?;
        let (body, proven_at, age) = (answer.body.clone(), answer.proven_at, answer.proven_at.age(now.boot));
        let is_expired = self.freshness(question.kind, answer.origin, age) == Freshness::Expired;
        (!is_expired).then_some(HeldAnswer { body, age, proven_at, origin: answer.origin, is_first_use: false })
    }

    /// Returns what is kept for a question, whether or not its key has expired.
    #[must_use]
    pub fn inspect(&self, question: &KeptQuestion, now: RequestTime) -> Option<InspectedAnswer> {
        let state = self.lock();
        let answer = &state.index.find(question.key)?.answer;
        let (age, origin) = (answer.proven_at.age(now.boot), answer.origin);
        let freshness = self.freshness(question.kind, origin, age);
        Some(InspectedAnswer { age, freshness, origin, is_key_expired: state.peek(question, now).is_none() })
    }

    /// Returns the id of the key with the offered blob, if its answer is kept.
    #[must_use]
    pub fn key_id(&self, question: &KeptQuestion) -> Option<Id> {
        self.lock().index.find(question.key).and_then(|place| place.answer.key_id())
    }

    /// Returns what an age means: what came from a file is stale at best.
    fn freshness(&self, kind: KeptKind, origin: AnswerOrigin, age: Duration) -> Freshness {
        match self.policy.limits_for(kind.freshness_class()).evaluate(Some(age)) {
            Freshness::Fresh if origin == AnswerOrigin::File => Freshness::Stale,
            freshness => freshness,
        }
    }

    /// Returns how much is kept at most.
    #[must_use]
    pub fn bounds(&self) -> KeptBounds {
        self.lock().index.bounds()
    }

    /// Keeps answers of a file, but for those that this host knows better, and those that would push out another; counts what became of
    /// each.
    pub fn warm(&self, answers: Vec<WarmAnswer>, counts: &mut WarmCounts) {
        let mut state = self.lock();
        for (key, answer) in answers {
            *self.warm_one(&mut state, key, answer, counts) += 1;
        }
    }

    fn warm_one<'a>(&self, state: &mut KeptState, key: QuestionKey, answer: KeptAnswer, counts: &'a mut WarmCounts) -> &'a mut usize {
        let (now, start) = (clock::boot_time(), RevocationCount::default());
        let before = state.index.find(key).map(|place| Arc::clone(&place.answer));
        if before.as_ref().is_some_and(|before| before.proven_at >= answer.proven_at) {
            return &mut counts.younger;
        }
        if state.is_revoked_since(key, &answer.subjects, start) || state.negatives.find(key, now).is_some() {
            return &mut counts.denied;
        }
        if !state.index.has_room_for(key, &answer) {
            return &mut counts.no_room;
        }
        self.revoke_former_id(state, before.as_deref(), &answer);
        let answer = Arc::new(answer);
        let pushed_out = state.index.insert(key, Arc::clone(&answer), BootTime::default());
        self.store.put(key, answer);
        self.store.remove(&[pushed_out.for_room, pushed_out.for_share].concat());
        &mut counts.kept
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

    /// Judges a yes that was asked for at `proven_at`, when there had been `since` revocations, and keeps it if it may be kept.
    pub fn record_yes(&self, question: &KeptQuestion, decision: &Decision, proven_at: ProofTime, since: RevocationCount) -> YesOutcome {
        let answer = accept(question, decision, proven_at);
        let subjects = answer.as_ref().map_or(&[][..], |answer| &answer.subjects);
        let mut state = self.lock();
        let is_known_key = question.kind == KeptKind::AuthorizedKeys && state.knows(question.key);
        let asker_is_revoked = question.asker.as_ref().is_some_and(|asker| state.invalidations.is_revoked_since(asker, since));
        if asker_is_revoked || state.is_revoked_since(question.key, subjects, since) {
            self.metrics.overtaken.inc();
            return YesOutcome::Overtaken;
        }
        state.negatives.remove(question.key);
        if question.kind == KeptKind::AuthorizedKeys {
            let before = state.index.find(question.key).and_then(|place| place.answer.key_id());
            let keys = [before, answer.as_ref().and_then(KeptAnswer::key_id)];
            keys.into_iter().flatten().for_each(|key| state.guard.forget_key(key));
        }
        if is_known_key {
            self.report(state.guard.record_known(question.key, RequestTime::now()));
        }
        match answer {
            Some(answer) => self.keep(&mut state, question, answer),
            // It is a yes, but another one than what is kept.
            None => drop(self.evict(&mut state, &[question.key], EvictionReason::Answer)),
        }
        state.guard.forget(question.key);
        YesOutcome::Valid
    }

    fn keep(&self, state: &mut KeptState, question: &KeptQuestion, mut answer: KeptAnswer) {
        let before = state.index.find(question.key).map(|place| Arc::clone(&place.answer));
        if before.as_ref().is_some_and(|before| before.proven_at > answer.proven_at || self.stays_in_shadow_mode(before, &answer)) {
            return;
        }
        self.revoke_former_id(state, before.as_deref(), &answer);
        let key_end = question.asking_key().and_then(|key| state.index.key_end(key));
        answer.expires_at = [answer.expires_at, key_end].into_iter().flatten().min();
        let answer = Arc::new(answer);
        let pushed_out = state.index.insert(question.key, Arc::clone(&answer), clock::boot_time());
        if state.index.find(question.key).is_some() {
            self.store.put(question.key, answer);
        }
        self.metrics.count_evictions(EvictionReason::Room, pushed_out.for_room.len());
        self.metrics.count_evictions(EvictionReason::Share, pushed_out.for_share.len());
        self.store.remove(&[pushed_out.for_room, pushed_out.for_share].concat());
    }

    /// Takes back what a key was allowed under another id: it was removed and added again.
    fn revoke_former_id(&self, state: &mut KeptState, before: Option<&KeptAnswer>, answer: &KeptAnswer) {
        let former = before.and_then(KeptAnswer::key_id).filter(|former| Some(*former) != answer.key_id());
        if let Some(former) = former
            && answer.kind == KeptKind::AuthorizedKeys
        {
            let _not_remembered = self.revoke(state, &KeptSubject::Key(former), EvictionReason::Key);
            state.guard.forget_subject(&KeptSubject::Key(former));
        }
    }

    /// Returns whether an answer is not renewed by an equal one because it would not have been asked for again yet.
    fn stays_in_shadow_mode(&self, before: &KeptAnswer, answer: &KeptAnswer) -> bool {
        let asked_again_at = self.policy.limits_for(before.kind.freshness_class()).ttl.mul_f64(TO_SHARE);
        self.mode == KeptMode::Shadow
            && before.origin == AnswerOrigin::Primary
            && !before.kind.is_always_asked()
            && before.proven_at.age(clock::boot_time()) < asked_again_at
            && differing_field(before.kind, &before.body, &answer.body).is_none()
    }

    /// Takes back what a no of the primary takes back. Returns once none of it is on disk any more.
    pub async fn record_no(&self, question: &KeptQuestion, decision: &Decision, asked_at: ProofTime) {
        let was_kept = {
            let mut state = self.lock();
            let before = state.index.len();
            let (subjects, reason) = refused_subjects(question, decision, &state.index);
            let is_known = state.knows(question.key);
            state.invalidations.revoke(&question.key);
            let mut evicted = self.evict(&mut state, &[question.key], EvictionReason::Answer);
            subjects.iter().for_each(|subject| evicted.extend(self.revoke(&mut state, subject, reason)));
            if names_actor(question, decision, &subjects) {
                subjects.iter().for_each(|subject| state.forget_actor(subject));
            } else {
                let room = state.index.bounds().bytes.saturating_sub(state.index.bytes());
                state.guard.remember(evicted, room, clock::boot_time());
            }
            if question.kind == KeptKind::AuthorizedKeys {
                let now = clock::boot_time();
                let would_be_asked = self.mode == KeptMode::Answer || state.negatives.find(question.key, now).is_none();
                if would_be_asked {
                    state.negatives.insert(question.key, asked_at, now);
                }
                if is_known {
                    self.report(state.guard.record_unknown(question.key, RequestTime::now()));
                }
            }
            before != state.index.len()
        };
        if was_kept || !*self.opened.borrow() || self.store.has_unflushed_removals() {
            self.flush().await;
        }
    }

    /// Takes back what an operator names. Returns once none of it is on disk any more.
    pub async fn invalidate(&self, selector: &KeptSelector) -> Invalidated {
        let invalidated = {
            let mut state = self.lock();
            let before = (state.index.len() + state.guard.len(), state.negatives.len());
            match selector {
                KeptSelector::All => self.invalidate_all(&mut state),
                KeptSelector::Subject(subject) => {
                    let subjects = state.actors_of(subject);
                    self.invalidate_subject(&mut state, subject);
                    subjects.iter().for_each(|subject| self.invalidate_subject(&mut state, subject));
                }
                KeptSelector::Question(key) => {
                    let subjects = state.index.find(*key).map_or_else(Vec::new, |place| place.answer.subjects.to_vec());
                    state.invalidations.revoke(key);
                    state.negatives.remove(*key);
                    state.guard.forget_key_of(*key);
                    let _not_remembered = self.evict(&mut state, &[*key], EvictionReason::Operator);
                    subjects.iter().for_each(|subject| self.invalidate_subject(&mut state, subject));
                }
            }
            Invalidated { answers: before.0 - state.index.len() - state.guard.len(), negatives: before.1 - state.negatives.len() }
        };
        self.flush().await;
        invalidated
    }

    fn invalidate_all(&self, state: &mut KeptState) {
        state.invalidations.revoke_all();
        let keys = state.index.clear();
        self.metrics.count_evictions(EvictionReason::Operator, keys.len());
        self.store.remove(&keys);
        state.negatives.clear();
        let given_back = state.guard.clear();
        if given_back > 0 {
            tracing::info!(given_back, "the operator removed {given_back} answers that the primary had taken back lately");
        }
    }

    fn invalidate_subject(&self, state: &mut KeptState, subject: &KeptSubject) {
        let _not_remembered = self.revoke(state, subject, EvictionReason::Operator);
        state.guard.forget_subject(subject);
    }

    /// Removes some of what is too old to be given.
    pub fn purge(&self, now: BootTime) {
        let mut state = self.lock();
        self.report(state.guard.advance(now));
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

    /// Returns whether an answer is kept that was proven at this moment.
    #[must_use]
    pub fn is_kept_since(&self, key: QuestionKey, proven_at: ProofTime) -> bool {
        self.lock().index.find(key).is_some_and(|place| place.answer.proven_at == proven_at)
    }

    /// Returns whether an answer of a kind may still be given by this host alone; in shadow mode none is.
    #[must_use]
    pub fn serves(&self, kind: KeptKind, now: BootTime) -> bool {
        let state = self.lock();
        let newest = state.index.newest_proof().map(|proven_at| proven_at.age(now));
        let is_young = || newest.is_some_and(|age| self.freshness(kind, AnswerOrigin::Primary, age) != Freshness::Expired);
        self.mode == KeptMode::Answer && (state.guard.is_holding(now) || state.index.count(kind) > 0 && is_young())
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

    fn revoke(&self, state: &mut KeptState, subject: &KeptSubject, reason: EvictionReason) -> Vec<Evicted> {
        state.invalidations.revoke(subject);
        let keys: Vec<QuestionKey> = state.index.about(subject).map(|place| place.key).collect();
        self.evict(state, &keys, reason)
    }

    fn evict(&self, state: &mut KeptState, keys: &[QuestionKey], reason: EvictionReason) -> Vec<Evicted> {
        let removed: Vec<Evicted> = keys.iter().filter_map(|key| state.index.remove(*key).map(|answer| (*key, answer))).collect();
        self.metrics.count_evictions(reason, removed.len());
        self.store.remove(&removed.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        removed
    }

    /// Says what became of the guard, in the log and in what is counted.
    fn report(&self, change: GuardChange) {
        match change {
            GuardChange::None => {}
            GuardChange::Began(counts) => {
                self.metrics.holds.inc();
                let AskedCounts { asked, unknown } = counts;
                tracing::error!(
                    asked,
                    unknown,
                    "the primary does not know {unknown} of the {asked} keys asked about within a minute that it knew before: these keys are let in for now; look whether it is the right instance, has its database and its keys to decrypt it; if the keys are removed, run `sidegate invalidate all`"
                );
            }
            GuardChange::Ended(HoldEnd::Over, keys) => {
                tracing::error!(keys, "the primary still does not know {keys} keys: they are refused from now on");
            }
            GuardChange::Ended(HoldEnd::KnownAgain, _) => tracing::info!("the primary knows the keys again that it did not know"),
        }
    }

    /// Waits until all that was noted is on disk, but not long.
    pub async fn flush(&self) {
        self.wait_until_open().await;
        if timeout(FLUSH_TIMEOUT, self.store.flush()).await.is_err() {
            tracing::error!(
                "what the primary took back is not gone from disk after {FLUSH_TIMEOUT:?}: after a crash now it would be kept again; look at the store's disk"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, KeptState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a no says of the actor themselves that they are refused, and not only that something is not known.
fn names_actor(question: &KeptQuestion, decision: &Decision, subjects: &[KeptSubject]) -> bool {
    matches!(question.kind, KeptKind::Pull | KeptKind::Push) && decision.status.as_u16() == 401 && !subjects.is_empty()
}

impl KeptState {
    /// Returns whether the answer to a question is kept, or was until lately.
    fn knows(&self, question: QuestionKey) -> bool {
        self.index.find(question).is_some() || self.guard.remembers(question)
    }

    /// Forgets what was taken back about somebody and about who is known to be one with them.
    fn forget_actor(&mut self, actor: &KeptSubject) {
        let mut actors = self.guard.actors_of(actor);
        actors.push(actor.clone());
        actors.iter().for_each(|actor| self.guard.forget_subject(actor));
    }

    /// Returns what is kept for a question, unless the key that it is about has expired.
    fn peek(&self, question: &KeptQuestion, now: RequestTime) -> Option<HeldAnswer> {
        let answer = &self.index.find(question.key)?.answer;
        let key_end = question.asking_key().and_then(|key| self.index.key_end(key));
        if answer.is_key_expired(now.wall) || key_end.is_some_and(|end| end <= now.wall) {
            return None;
        }
        let KeptAnswer { body, proven_at, origin, .. } = &**answer;
        Some(HeldAnswer { body: body.clone(), age: proven_at.age(now.boot), proven_at: *proven_at, origin: *origin, is_first_use: false })
    }

    /// Returns who is known to be one actor with a user: their name, their id, the keys that they used.
    fn actors_of(&self, subject: &KeptSubject) -> Vec<KeptSubject> {
        if !matches!(subject, KeptSubject::User(_) | KeptSubject::Username(_)) {
            return Vec::new();
        }
        let subjects = self.index.about(subject).flat_map(|place| place.answer.subjects.iter());
        let mut actors: Vec<KeptSubject> = subjects.filter(|subject| subject.is_actor()).cloned().collect();
        actors.extend(self.guard.actors_of(subject));
        actors.sort();
        actors.dedup();
        actors
    }

    fn is_revoked_since(&self, key: QuestionKey, subjects: &[KeptSubject], since: RevocationCount) -> bool {
        self.invalidations.is_revoked_since(&key, since)
            || subjects.iter().any(|subject| self.invalidations.is_revoked_since(subject, since))
    }
}
