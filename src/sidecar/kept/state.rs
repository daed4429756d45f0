//! What the lock of the kept answers holds: the index, what was taken back, and what follows from both together.

use serde_json::Value;

use crate::api::request::RequestTime;
use crate::model::kept_answer::{KeptAnswer, KeptSubject, QuestionKey};
use crate::sidecar::kept::asked_keys::KeyOwner;
use crate::sidecar::kept::found::HeldAnswer;
use crate::sidecar::kept::index::KeptIndex;
use crate::sidecar::kept::invalidations::{Invalidations, RevocationCount};
use crate::sidecar::kept::mass_negative::MassNegativeGuard;
use crate::sidecar::kept::negatives::Negatives;
use crate::sidecar::kept::question::KeptQuestion;

/// What the lock holds.
pub(super) struct KeptState {
    pub(super) index: KeptIndex,
    pub(super) invalidations: Invalidations,
    pub(super) negatives: Negatives,
    pub(super) guard: MassNegativeGuard,
}

impl KeptState {
    /// Returns whether the answer to a question is kept, or was until lately.
    pub(super) fn knows(&self, question: QuestionKey) -> bool {
        self.index.find(question).is_some() || self.guard.remembers(question)
    }

    /// Returns whose the key of a question is, by what is kept or was until lately: its user; of a deploy key, its project; else whom its
    /// line names.
    pub(super) fn key_owner(&self, question: QuestionKey) -> KeyOwner {
        let answer = self.index.find(question).map(|place| &*place.answer).or_else(|| self.guard.remembered(question));
        let Some((answer, key)) = answer.and_then(|answer| Some((answer, answer.key_id()?))) else { return KeyOwner::Unknown(question) };
        let subject = KeptSubject::Key(key);
        let kept = self.index.about(&subject).flat_map(|place| &place.answer.subjects);
        let mut project = None;
        for subject in kept.chain(self.guard.subjects_of_key(key)) {
            match subject {
                KeptSubject::User(_) => return KeyOwner::Subject(subject.clone()),
                KeptSubject::Project(_) => project = Some(subject.clone()),
                KeptSubject::Key(_) | KeptSubject::Username(_) | KeptSubject::Path(_) => {}
            }
        }
        let named = || named_owner(answer).map_or(KeyOwner::Unknown(question), KeyOwner::Named);
        project.map_or_else(named, KeyOwner::Subject)
    }

    /// Forgets what was taken back about somebody and about who is known to be one with them.
    pub(super) fn forget_actor(&mut self, actor: &KeptSubject) {
        let mut actors = self.guard.actors_of(actor);
        actors.push(actor.clone());
        actors.iter().for_each(|actor| self.guard.forget_subject(actor));
    }

    /// Returns what is kept for a question, unless the key that it is about has expired.
    pub(super) fn peek(&self, question: &KeptQuestion, now: RequestTime) -> Option<HeldAnswer> {
        let answer = &self.index.find(question.key)?.answer;
        let key_end = question.asking_key().and_then(|key| self.index.key_end(key));
        if answer.is_key_expired(now.wall) || key_end.is_some_and(|end| end <= now.wall) {
            return None;
        }
        let KeptAnswer { body, proven_at, origin, .. } = &**answer;
        Some(HeldAnswer { body: body.clone(), age: proven_at.age(now.boot), proven_at: *proven_at, origin: *origin, is_first_use: false })
    }

    /// Returns all that somebody means who names a subject: the actors that are one with a user, the repositories of a project.
    pub(super) fn one_with(&self, subject: &KeptSubject) -> Vec<KeptSubject> {
        match subject {
            KeptSubject::Path(path) => self.repositories_of(path),
            _ => self.actors_of(subject),
        }
    }

    /// Returns the paths of a project's wiki and designs, and the ids under which any of it is known.
    fn repositories_of(&self, path: &str) -> Vec<KeptSubject> {
        let suffixes = ["", ".wiki", ".design"];
        let mut paths: Vec<KeptSubject> = suffixes.iter().map(|suffix| KeptSubject::Path(format!("{path}{suffix}").into())).collect();
        let subjects = paths.iter().flat_map(|path| self.index.about(path)).flat_map(|place| place.answer.subjects.iter());
        let ids: Vec<KeptSubject> = subjects.filter(|subject| matches!(subject, KeptSubject::Project(_))).cloned().collect();
        paths.extend(ids);
        paths
    }

    /// Returns who is known to be one actor with a user: their name, their id, the keys that they used.
    pub(super) fn actors_of(&self, subject: &KeptSubject) -> Vec<KeptSubject> {
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

    /// Returns whether an answer to a question about these subjects was taken back since the start.
    pub(super) fn is_revoked(&self, key: QuestionKey, subjects: &[KeptSubject]) -> bool {
        self.invalidations.is_revoked(&key) || subjects.iter().any(|subject| self.invalidations.is_revoked(subject))
    }

    pub(super) fn is_revoked_since(&self, key: QuestionKey, subjects: &[KeptSubject], since: RevocationCount) -> bool {
        self.invalidations.is_revoked_since(&key, since)
            || subjects.iter().any(|subject| self.invalidations.is_revoked_since(subject, since))
    }
}

/// Returns the comment of a key's line, which is its owner's name.
fn named_owner(answer: &KeptAnswer) -> Option<Box<str>> {
    let body: Value = serde_json::from_slice(&answer.body.expand()?).ok()?;
    body["key"].as_str()?.splitn(3, ' ').nth(2).map(Box::from)
}
