//! The last commits in memory, for the many followers that all ask for them at once.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::change::Commit;
use crate::store::primary::journal;

/// Commits kept in memory.
const MAX_RECENT_COMMITS: usize = 1_000;
/// Bytes of commits kept in memory.
const MAX_RECENT_BYTES: usize = 8 << 20;
/// Commits that follow one another without a gap.
#[derive(Default)]
pub struct RecentCommits {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
}

impl RecentCommits {
    /// Takes the newest; one that does not follow the last drops all before it.
    pub fn push(&mut self, commit: Commit) {
        if self.commits.back().is_some_and(|last| last.seq + 1 != commit.seq) {
            *self = Self::default();
        }
        self.bytes += journal::encoded_size(&commit.changes);
        self.commits.push_back(Arc::new(commit));
        while self.commits.len() > MAX_RECENT_COMMITS || self.bytes > MAX_RECENT_BYTES {
            let Some(oldest) = self.commits.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(journal::encoded_size(&oldest.changes));
        }
    }

    /// The commit of a number.
    pub fn find(&self, seq: u64) -> Option<Arc<Commit>> {
        let first = self.commits.front()?.seq;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.commits.get(index).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RECENT_COMMITS, RecentCommits};
    use crate::model::change::Commit;
    use crate::model::digest::DirectoryDigest;

    fn commit(seq: u64) -> Commit {
        Commit { seq, state: DirectoryDigest::default(), changes: Vec::new() }
    }

    #[test]
    fn the_last_are_found_and_a_gap_drops_what_was_before() {
        let mut recent = RecentCommits::default();
        (1..=MAX_RECENT_COMMITS as u64 + 5).for_each(|seq| recent.push(commit(seq)));
        assert!(recent.find(5).is_none());
        assert_eq!(recent.find(6).map(|commit| commit.seq), Some(6));
        assert!(recent.find(MAX_RECENT_COMMITS as u64 + 6).is_none());
        recent.push(commit(9_000));
        assert!(recent.find(600).is_none());
        assert!(recent.find(9_000).is_some());
    }
}
