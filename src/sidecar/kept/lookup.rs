//! Looking up what is kept.

use std::time::Duration;

use crate::api::request::RequestTime;
use crate::model::freshness::{Freshness, ProofTime};
use crate::model::id::Id;
use crate::model::kept_answer::{AnswerOrigin, KeptKind, KeptSubject, QuestionKey};
use crate::model::kept_body::KeptBody;
use crate::model::time::BootTime;
use crate::sidecar::config::KeptMode;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::found::{Found, HeldAnswer};
use crate::sidecar::kept::index::Occasion;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::refresh_queue::SAME_OCCASION_SHARE;
use crate::sidecar::kept::state::KeptState;

impl KeptAnswers {
    /// Returns what is kept for a question, and notes that it is used.
    #[must_use]
    pub fn find(&self, question: &KeptQuestion, now: RequestTime) -> Found {
        let mut state = self.lock();
        let Some(mut held) = state.peek(question, now) else {
            return self.find_without_yes(&state, question, now);
        };
        let freshness = self.freshness(question.kind, held.origin, held.age);
        if freshness != Freshness::Expired {
            held.is_first_use = state.index.mark_used(question.key, now.boot, self.occasion(question.kind, held.age));
        }
        by_freshness(question.kind, freshness, held)
    }

    /// As [`Self::find`], for whoever only looks: nothing is noted.
    #[must_use]
    pub fn look_at(&self, question: &KeptQuestion, now: RequestTime) -> Found {
        let state = self.lock();
        match state.peek(question, now) {
            Some(held) => by_freshness(question.kind, self.freshness(question.kind, held.origin, held.age), held),
            None => self.find_without_yes(&state, question, now),
        }
    }

    fn find_without_yes(&self, state: &KeptState, question: &KeptQuestion, now: RequestTime) -> Found {
        match (self.peek_given_back(state, question, now), state.negatives.find(question.key, now.boot)) {
            (Some(held), Some(_)) => Found::GivenBack(held),
            (Some(held), None) => Found::Stale(held),
            (None, Some(age)) => Found::Unknown(age),
            (None, None) => Found::Nothing,
        }
    }

    /// Returns the kept answer about the key with this id, whatever its age.
    #[must_use]
    pub fn key_body(&self, id: Id) -> Option<KeptBody> {
        let state = self.lock();
        let subject = KeptSubject::Key(id);
        let place = state.index.about(&subject).find(|place| place.answer.kind == KeptKind::AuthorizedKeys)?;
        Some(place.answer.body.clone())
    }

    /// Returns the kept answer to a question, whatever its age.
    #[must_use]
    pub fn body(&self, question: &KeptQuestion) -> Option<KeptBody> {
        self.lock().index.find(question.key).map(|place| place.answer.body.clone())
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

    /// Returns whom and what the answer to a question is about, as far as it is kept.
    #[must_use]
    pub fn subjects(&self, key: QuestionKey) -> Vec<KeptSubject> {
        self.lock().index.find(key).map_or_else(Vec::new, |place| place.answer.subjects.to_vec())
    }

    /// Returns what an age means: what came from a file is stale at best.
    fn freshness(&self, kind: KeptKind, origin: AnswerOrigin, age: Duration) -> Freshness {
        match self.policy.limits_for(kind.freshness_class()).evaluate(Some(age)) {
            Freshness::Fresh if origin == AnswerOrigin::File => Freshness::Stale,
            freshness => freshness,
        }
    }

    /// Returns on which occasion an answer of this age is given.
    fn occasion(&self, kind: KeptKind, age: Duration) -> Occasion {
        let ttl = self.policy.limits_for(kind.freshness_class()).ttl;
        if age < ttl.mul_f64(SAME_OCCASION_SHARE) { Occasion::Same } else { Occasion::Another }
    }

    /// Returns whether an answer is kept that was proven at this moment.
    #[must_use]
    pub fn is_kept_since(&self, key: QuestionKey, proven_at: ProofTime) -> bool {
        self.lock().index.find(key).is_some_and(|place| place.answer.proven_at == proven_at)
    }

    /// Returns how long ago the youngest of all answers was proven; `None` where none is kept.
    #[must_use]
    pub fn newest_age(&self, now: BootTime) -> Option<Duration> {
        self.lock().index.newest_proof().map(|proven_at| proven_at.age(now))
    }

    /// Returns whether an answer of a kind is kept, of whatever age.
    #[must_use]
    pub fn keeps(&self, kind: KeptKind) -> bool {
        self.lock().index.count(kind) > 0
    }

    /// Returns whether an answer of a kind may still be given by this host alone; in shadow mode none is.
    #[must_use]
    pub fn serves(&self, kind: KeptKind, now: BootTime) -> bool {
        let state = self.lock();
        let newest = state.index.newest_proof().map(|proven_at| proven_at.age(now));
        let is_young = || newest.is_some_and(|age| self.freshness(kind, AnswerOrigin::Primary, age) != Freshness::Expired);
        self.mode == KeptMode::Answer && (state.guard.is_holding(now) || state.index.count(kind) > 0 && is_young())
    }
}

/// Returns a kept yes by what its age allows.
fn by_freshness(kind: KeptKind, freshness: Freshness, held: HeldAnswer) -> Found {
    match freshness {
        Freshness::Fresh if kind.is_always_asked() => Found::Stale(held),
        Freshness::Fresh => Found::Fresh(held),
        Freshness::Stale => Found::Stale(held),
        Freshness::Expired => Found::Nothing,
    }
}
