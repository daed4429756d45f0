//! Keeping what the primary says, and taking back what it takes back.

use std::sync::Arc;

use crate::api::request::RequestTime;
use crate::model::freshness::ProofTime;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject};
use crate::model::time::BootTime;
use crate::sidecar::config::KeptMode;
use crate::sidecar::kept::acceptance::accept;
use crate::sidecar::kept::agreement::differing_field;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::invalidations::RevocationCount;
use crate::sidecar::kept::metrics::EvictionReason;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::refresh_queue::TO_SHARE;
use crate::sidecar::kept::refusal::refused_subjects;
use crate::sidecar::kept::state::KeptState;
use crate::sidecar::upstream::decision::Decision;

/// What became of a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum YesOutcome {
    /// It may be given, and is kept if that is allowed.
    Valid,
    /// Something that it is about was taken back since it was asked for: it may not be given.
    Overtaken,
}

/// When a question was asked.
#[derive(Clone, Copy, Debug)]
pub struct AskedAt {
    /// By the clock: its yes is proven at that moment.
    pub proven_at: ProofTime,
    /// By how many revocations there had been.
    pub since: RevocationCount,
}

impl KeptAnswers {
    /// Notes that a question is asked at `now`.
    #[must_use]
    pub fn begin_question(&self, now: BootTime) -> AskedAt {
        AskedAt { proven_at: ProofTime::at(now), since: self.revocations() }
    }

    /// Judges a yes that is here at `now`, and keeps it if it may be kept.
    pub fn record_yes(&self, question: &KeptQuestion, decision: &Decision, asked: AskedAt, now: RequestTime) -> YesOutcome {
        let AskedAt { proven_at, since } = asked;
        let answer = accept(question, decision, proven_at);
        let subjects = answer.as_ref().map_or(&[][..], |answer| &answer.subjects);
        let mut state = self.lock();
        let is_known_key = question.kind == KeptKind::AuthorizedKeys && state.knows(question.key);
        let owner = is_known_key.then(|| state.key_owner(question.key));
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
        if let Some(owner) = owner {
            self.report(state.guard.record_known(question.key, owner, now));
        }
        match answer {
            Some(answer) => self.keep(&mut state, question, answer, now.boot),
            // It is a yes, but another one than what is kept.
            None => drop(self.evict(&mut state, &[question.key], EvictionReason::Answer)),
        }
        state.guard.forget(question.key);
        YesOutcome::Valid
    }

    fn keep(&self, state: &mut KeptState, question: &KeptQuestion, mut answer: KeptAnswer, now: BootTime) {
        let before = state.index.find(question.key).map(|place| Arc::clone(&place.answer));
        if before.as_ref().is_some_and(|before| before.proven_at > answer.proven_at || self.stays_in_shadow_mode(before, &answer, now)) {
            return;
        }
        self.revoke_former_id(state, before.as_deref(), &answer);
        let key_end = question.asking_key().and_then(|key| state.index.key_end(key));
        answer.expires_at = [answer.expires_at, key_end].into_iter().flatten().min();
        let answer = Arc::new(answer);
        let pushed_out = state.index.insert(question.key, Arc::clone(&answer), now);
        if state.index.find(question.key).is_some() {
            self.store.put(question.key, answer);
        }
        self.metrics.count_evictions(EvictionReason::Room, pushed_out.for_room.len());
        self.metrics.count_evictions(EvictionReason::Share, pushed_out.for_share.len());
        self.store.remove(&pushed_out.into_keys());
    }

    /// Returns whether an answer is not renewed by an equal one because it would not have been asked for again yet.
    fn stays_in_shadow_mode(&self, before: &KeptAnswer, answer: &KeptAnswer, now: BootTime) -> bool {
        let asked_again_at = self.policy.limits_for(before.kind.freshness_class()).ttl.mul_f64(TO_SHARE);
        self.mode == KeptMode::Shadow
            && before.origin == AnswerOrigin::Primary
            && before.kind.is_refreshed()
            && before.proven_at.age(now) < asked_again_at
            && says_the_same(before, answer)
    }

    /// Takes back what a no of the primary takes back that is here at `now`. Returns once none of it is on disk any more, or after a second.
    pub async fn record_no(&self, question: &KeptQuestion, decision: &Decision, asked_at: ProofTime, now: RequestTime) {
        let was_kept = {
            let mut state = self.lock();
            let before = state.index.len();
            let (subjects, reason) = refused_subjects(question, decision, &state.index);
            let owner = state.knows(question.key).then(|| state.key_owner(question.key));
            state.invalidations.revoke(&question.key);
            let mut evicted = self.evict(&mut state, &[question.key], EvictionReason::Answer);
            subjects.iter().for_each(|subject| evicted.extend(self.revoke(&mut state, subject, reason)));
            if names_actor(question, decision, &subjects) {
                subjects.iter().for_each(|subject| state.forget_actor(subject));
            } else {
                let room = state.index.bounds().bytes.saturating_sub(state.index.bytes());
                state.guard.remember(evicted, room, now.boot);
            }
            if question.kind == KeptKind::AuthorizedKeys {
                let would_be_asked = self.mode == KeptMode::Answer || state.negatives.find(question.key, now.boot).is_none();
                if would_be_asked {
                    state.negatives.insert(question.key, asked_at, now.boot);
                }
                if let Some(owner) = owner {
                    self.report(state.guard.record_unknown(question.key, owner, now));
                }
            }
            before != state.index.len()
        };
        if was_kept || !*self.opened.borrow() || self.store.has_unflushed_removals() {
            self.flush().await;
        }
    }
}

fn says_the_same(before: &KeptAnswer, answer: &KeptAnswer) -> bool {
    let bodies = before.body.expand().zip(answer.body.expand());
    bodies.is_some_and(|(before_body, body)| differing_field(before.kind, &before_body, &body).is_none())
}

/// Returns whether a no says of the actor themselves that they are refused, and not only that something is not known.
fn names_actor(question: &KeptQuestion, decision: &Decision, subjects: &[KeptSubject]) -> bool {
    matches!(question.kind, KeptKind::Pull | KeptKind::Push) && decision.status.as_u16() == 401 && !subjects.is_empty()
}
