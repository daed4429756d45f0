//! What a followed directory of users and keys takes back of the kept answers: in front of a GitLab whose mirror is followed.
//!
//! A deleted key or user and a blocked one lose all that is kept about them, and what is being asked about them does not count. Where a whole
//! directory has taken the place of another, it is not known what was taken back in between: whom the new one does not know loses all that
//! is kept, which costs a question more, and whatever is being asked is asked again.

use std::sync::{Arc, PoisonError};

use crate::model::clock;
use crate::model::directory::Directory;
use crate::model::kept_answer::KeptSubject;
use crate::model::revocation_listener::{RevocationListener, TakenBack};
use crate::rules::subject_state::{SubjectState, judge};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::metrics::EvictionReason;
use crate::sidecar::kept::state::KeptState;

/// How many subjects are taken back at once, while look-ups wait.
const REVOKED_AT_ONCE: usize = 200;

impl RevocationListener for KeptAnswers {
    fn revoke(&self, subjects: Vec<KeptSubject>) -> TakenBack<'_> {
        let removed = self.revoke_followed(&subjects);
        Box::pin(async move {
            if removed > 0 {
                tracing::info!(removed, "the feed took access away: {removed} kept answers of GitLab about it are removed");
            }
            if removed > 0 || !self.is_open() || self.store.has_unflushed_removals() {
                self.flush().await;
            }
        })
    }

    fn replace(&self, directory: Arc<dyn Directory + Send + Sync>) -> TakenBack<'_> {
        self.lock().invalidations.overtake_all();
        self.compare_when_read(&directory);
        Box::pin(async move {
            let removed = self.remove_unknown(&*directory);
            if removed > 0 {
                tracing::info!(removed, "a whole directory was loaded: {removed} kept answers about whom it does not know are removed");
                self.flush().await;
            }
        })
    }
}

impl KeptAnswers {
    /// Takes back everything about these subjects, and about whoever is known to be one with them. Returns how many answers that were.
    fn revoke_followed(&self, subjects: &[KeptSubject]) -> usize {
        let mut state = self.lock();
        let before = state.index.len();
        for subject in subjects {
            let one_with = state.one_with(subject);
            self.revoke_of_feed(&mut state, subject);
            one_with.iter().for_each(|subject| self.revoke_of_feed(&mut state, subject));
        }
        before - state.index.len()
    }

    /// Notes a directory with which all that is still being read from disk is to be compared.
    fn compare_when_read(&self, directory: &Arc<dyn Directory + Send + Sync>) {
        let mut waiting = self.replaced_by.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_open() {
            *waiting = Some(Arc::clone(directory));
        }
    }

    /// Returns a directory with which what was read has to be compared; or says that all has been read, if there is none.
    pub(super) fn open_or_take_directory(&self) -> Option<Arc<dyn Directory + Send + Sync>> {
        let mut waiting = self.replaced_by.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = waiting.take();
        if directory.is_none() {
            self.opened.send_replace(true);
        }
        directory
    }

    fn revoke_of_feed(&self, state: &mut KeptState, subject: &KeptSubject) {
        let _not_remembered = self.revoke(state, subject, EvictionReason::Feed);
        state.guard.forget_subject(subject);
    }

    /// Takes back everything about whom a directory does not know, or knows as refused. Returns how many answers that were. Blocks.
    pub(super) fn remove_unknown(&self, directory: &dyn Directory) -> usize {
        let subjects = self.lock().index.actors();
        let now = clock::wall_time();
        let is_gone = |subject: &KeptSubject| !matches!(judge(directory, subject, now), Ok(SubjectState::NotRefused));
        let gone: Vec<KeptSubject> = subjects.into_iter().filter(is_gone).collect();
        gone.chunks(REVOKED_AT_ONCE).map(|chunk| self.revoke_followed(chunk)).sum()
    }
}
