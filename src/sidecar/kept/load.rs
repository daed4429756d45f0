//! Taking over answers that the primary did not give just now: what the disk holds at the start, and what a file has.

use std::sync::Arc;

use serde::Serialize;

use crate::model::clock;
use crate::model::kept_answer::{KeptAnswer, KeptKind, KeptSubject, QuestionKey};
use crate::model::time::BootTime;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::metrics::EvictionReason;
use crate::sidecar::kept::state::KeptState;
use crate::sidecar::kept::warm_answers::WarmAnswer;

/// How many answers are taken over at once at the start, while look-ups wait.
const RESTORE_CHUNK: usize = 500;

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

impl KeptAnswers {
    /// Takes over what was kept before the start: not what was taken back since, nor what is too old. The order in which it was used is
    /// not known; the oldest counts as used longest ago. Blocks.
    pub fn restore(&self, mut loaded: Vec<(QuestionKey, KeptAnswer)>) {
        loaded.sort_by_key(|(_, answer)| answer.proven_at);
        let count = loaded.len();
        loaded.iter().for_each(|(key, answer)| self.revoke_denied_key(&mut self.lock(), *key, answer));
        let mut loaded = loaded.into_iter().peekable();
        while loaded.peek().is_some() {
            let mut state = self.lock();
            let chunk: Vec<_> = loaded.by_ref().take(RESTORE_CHUNK).collect();
            chunk.into_iter().for_each(|(key, answer)| self.restore_one(&mut state, key, answer));
        }
        while let Some(directory) = self.open_or_take_directory() {
            self.remove_unknown(&*directory);
        }
        tracing::info!(count, "read {count} kept answers");
    }

    /// Takes back everything of a key that the primary has said since the start not to know: whose it was is only known now.
    fn revoke_denied_key(&self, state: &mut KeptState, key: QuestionKey, answer: &KeptAnswer) {
        if let Some(denied) = answer.key_id()
            && answer.kind == KeptKind::AuthorizedKeys
            && state.invalidations.is_revoked(&key)
        {
            drop(self.revoke(state, &KeptSubject::Key(denied), EvictionReason::Key));
        }
    }

    fn restore_one(&self, state: &mut KeptState, key: QuestionKey, answer: KeptAnswer) {
        if state.index.find(key).is_some() {
            return;
        }
        self.revoke_denied_key(state, key, &answer);
        let now = clock::boot_time();
        let age = answer.proven_at.age(now);
        let is_expired = age > self.policy.limits_for(answer.kind.freshness_class()).max_stale;
        if is_expired || state.is_revoked(key, &answer.subjects) {
            return self.store.remove(&[key]);
        }
        let pushed_out = state.index.insert(key, Arc::new(answer), now);
        self.store.remove(&pushed_out.into_keys());
    }

    /// Keeps answers of a file, but for those that this host knows better, and those that would push out another; counts what became of
    /// each.
    pub fn warm(&self, answers: Vec<WarmAnswer>, counts: &mut WarmCounts) {
        let mut state = self.lock();
        for (key, answer) in answers {
            *self.warm_one(&mut state, key, answer, counts) += 1;
        }
    }

    fn warm_one<'a>(&self, state: &mut KeptState, key: QuestionKey, mut answer: KeptAnswer, counts: &'a mut WarmCounts) -> &'a mut usize {
        let now = clock::boot_time();
        let before = state.index.find(key).map(|place| Arc::clone(&place.answer));
        if before.as_ref().is_some_and(|before| before.proven_at >= answer.proven_at) {
            return &mut counts.younger;
        }
        if state.is_revoked(key, &answer.subjects) || state.negatives.find(key, now).is_some() {
            return &mut counts.denied;
        }
        if !state.index.has_room_for(key, &answer) {
            return &mut counts.no_room;
        }
        self.revoke_former_id(state, before.as_deref(), &answer);
        // A file need not know of the end of a key that the primary has told.
        let known_end = before.filter(|before| before.key_id() == answer.key_id()).and_then(|before| before.expires_at);
        answer.expires_at = [answer.expires_at, known_end].into_iter().flatten().min();
        let answer = Arc::new(answer);
        let pushed_out = state.index.insert(key, Arc::clone(&answer), BootTime::default());
        self.store.put(key, answer);
        self.store.remove(&pushed_out.into_keys());
        &mut counts.kept
    }
}
