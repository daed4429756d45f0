//! Taking back what an operator names.

use crate::model::kept_answer::{KeptSubject, QuestionKey};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::metrics::EvictionReason;
use crate::sidecar::kept::state::KeptState;

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
    /// Whether none of it is on disk any more.
    pub is_off_disk: bool,
}

impl KeptAnswers {
    /// Takes back what an operator names. Returns once none of it is on disk any more, or after a second.
    pub async fn invalidate(&self, selector: &KeptSelector) -> Invalidated {
        let (answers, negatives) = {
            let mut state = self.lock();
            let before = (state.index.len() + state.guard.len(), state.negatives.len());
            match selector {
                KeptSelector::All => self.invalidate_all(&mut state),
                KeptSelector::Subject(subject) => {
                    let subjects = state.one_with(subject);
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
            (before.0 - state.index.len() - state.guard.len(), before.1 - state.negatives.len())
        };
        Invalidated { answers, negatives, is_off_disk: self.flush().await }
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
}
