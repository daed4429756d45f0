//! The answers that a no of the primary took back lately, in memory only: what is about a key, by the key's id.
//!
//! They are given to nobody from here: [`mass_negative`](crate::sidecar::kept::mass_negative) says whether and until when. Nothing of them is
//! on disk, so a restart has none. Pure: time is an argument.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::id::Id;
use crate::model::kept_answer::{KeptAnswer, KeptKind, KeptSubject, QuestionKey};
use crate::model::time::{BootTime, Time};
use crate::sidecar::kept::index::ENTRY_OVERHEAD_BYTES;

/// An answer that was taken back.
pub struct TakenBackAnswer {
    /// The answer.
    pub answer: Arc<KeptAnswer>,
    /// When the no came.
    pub at: BootTime,
    /// The key that it is about.
    key: Id,
    number: u64,
}

/// What was taken back about one key.
#[derive(Default)]
struct OfKey {
    /// Whether the primary said that it does not know the key.
    is_unknown: bool,
    questions: HashSet<QuestionKey>,
}

/// The answers that were taken back.
#[derive(Default)]
pub struct TakenBack {
    next: u64,
    answers: HashMap<QuestionKey, TakenBackAnswer>,
    /// By number, which grows with the time of the no.
    order: BTreeMap<u64, QuestionKey>,
    by_key: HashMap<Id, OfKey>,
    unknown_keys: usize,
    bytes: usize,
}

impl TakenBack {
    /// Remembers an answer about a key.
    pub fn remember(&mut self, question: QuestionKey, answer: Arc<KeptAnswer>, now: BootTime) {
        let Some(key) = answer.key_id() else { return };
        self.forget(question);
        self.bytes += counted_bytes(&answer);
        self.by_key.entry(key).or_default().questions.insert(question);
        self.order.insert(self.next, question);
        self.answers.insert(question, TakenBackAnswer { answer, at: now, key, number: self.next });
        self.next += 1;
    }

    /// Notes that the primary does not know the key that a remembered answer is about.
    pub fn mark_unknown(&mut self, question: QuestionKey) {
        let key = self.answers.get(&question).map(|taken| taken.key);
        if let Some(of_key) = key.and_then(|key| self.by_key.get_mut(&key))
            && !std::mem::replace(&mut of_key.is_unknown, true)
        {
            self.unknown_keys += 1;
        }
    }

    /// Returns what was the answer to a question.
    #[must_use]
    pub fn find(&self, question: QuestionKey) -> Option<&TakenBackAnswer> {
        self.answers.get(&question)
    }

    /// Returns whether the primary said that it does not know the key of an answer.
    #[must_use]
    pub fn is_key_unknown(&self, taken: &TakenBackAnswer) -> bool {
        self.by_key.get(&taken.key).is_some_and(|of_key| of_key.is_unknown)
    }

    /// Returns the answers about a key.
    pub fn of_key(&self, key: Id) -> impl Iterator<Item = &KeptAnswer> {
        let questions = self.by_key.get(&key).map(|of_key| &of_key.questions);
        questions.into_iter().flatten().filter_map(|question| self.answers.get(question)).map(|taken| &*taken.answer)
    }

    /// Returns when the key of an answer expires, if that is known and it does.
    #[must_use]
    pub fn key_end(&self, taken: &TakenBackAnswer) -> Option<Time> {
        self.of_key(taken.key).find(|answer| answer.kind == KeptKind::AuthorizedKeys).and_then(|answer| answer.expires_at)
    }

    /// Forgets an answer.
    pub fn forget(&mut self, question: QuestionKey) {
        let Some(taken) = self.answers.remove(&question) else { return };
        self.order.remove(&taken.number);
        self.bytes -= counted_bytes(&taken.answer);
        if let Some(of_key) = self.by_key.get_mut(&taken.key) {
            of_key.questions.remove(&question);
            if of_key.questions.is_empty() {
                self.unknown_keys -= usize::from(of_key.is_unknown);
                self.by_key.remove(&taken.key);
            }
        }
    }

    /// Forgets what is about the same key as an answer.
    pub fn forget_key_of(&mut self, question: QuestionKey) {
        if let Some(key) = self.answers.get(&question).map(|taken| taken.key) {
            self.forget_key(key);
        }
    }

    /// Forgets what is about a key.
    pub fn forget_key(&mut self, key: Id) {
        let questions = self.by_key.get(&key).map(|of_key| of_key.questions.clone());
        questions.into_iter().flatten().for_each(|question| self.forget(question));
    }

    /// Forgets what is about a subject; of a key or a user, everything of the keys concerned.
    pub fn forget_subject(&mut self, subject: &KeptSubject) {
        let concerned: Vec<QuestionKey> = self.about(subject).map(|(question, _)| question).collect();
        for question in concerned {
            if subject.is_actor() {
                self.forget_key_of(question);
            }
            self.forget(question);
        }
    }

    /// Returns who is named by the answers about a subject.
    pub fn actors_of<'a>(&'a self, subject: &'a KeptSubject) -> impl Iterator<Item = &'a KeptSubject> {
        self.about(subject).flat_map(|(_, taken)| taken.answer.subjects.iter()).filter(|subject| subject.is_actor())
    }

    fn about<'a>(&'a self, subject: &'a KeptSubject) -> impl Iterator<Item = (QuestionKey, &'a TakenBackAnswer)> {
        self.answers.iter().filter(|(_, taken)| taken.answer.subjects.contains(subject)).map(|(question, taken)| (*question, taken))
    }

    /// Forgets what was taken back longer ago than this.
    pub fn forget_older(&mut self, age: Duration, now: BootTime) {
        while let Some(question) = self.order.first_key_value().map(|(_, question)| *question)
            && self.answers.get(&question).is_none_or(|taken| now.since(taken.at) > age)
        {
            self.forget(question);
        }
    }

    /// Returns how many answers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Returns how many bytes they take, as they are counted.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns of how many keys the primary said that it does not know them.
    #[must_use]
    pub const fn unknown_keys(&self) -> usize {
        self.unknown_keys
    }
}

/// Returns what an answer takes, as it is counted.
#[must_use]
pub fn counted_bytes(answer: &KeptAnswer) -> usize {
    answer.body.held().len() + ENTRY_OVERHEAD_BYTES
}
