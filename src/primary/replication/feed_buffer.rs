//! The feed's recent lines, each encoded once and shared by all who follow: a thousand hosts cost one encoding.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::model::change::{Commit, Epoch, Head};
use crate::model::digest::DirectoryDigest;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};
use crate::wire::directory::feed_lines;

/// Most lines that are kept.
const MAX_BUFFERED_COMMITS: usize = 4096;
/// Most bytes of lines that are kept; at least one line is.
const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// Commits that are read from the journal at a time.
const JOURNAL_BATCH: usize = 64;

/// One commit as the feed says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCommit {
    /// The commit's number.
    pub seq: u64,
    /// What the directory adds up to after it.
    pub state: DirectoryDigest,
    /// The line, with its line feed.
    pub text: Bytes,
}

impl EncodedCommit {
    /// Encodes a commit.
    #[must_use]
    pub fn encode(commit: &Commit) -> Self {
        let mut text = feed_lines::encode_commit(commit);
        text.push('\n');
        Self { seq: commit.seq, state: commit.state, text: text.into() }
    }
}

/// The recent lines up to the head.
pub struct FeedBuffer {
    buffered: Mutex<BufferedCommits>,
    head_changes: watch::Sender<Head>,
}

struct BufferedCommits {
    /// Where the last line leads.
    head: Head,
    commits: VecDeque<EncodedCommit>,
    bytes: usize,
}

impl FeedBuffer {
    /// No lines yet; the next will be the one after `head`.
    #[must_use]
    pub fn starting_at(head: Head) -> Self {
        Self { buffered: Mutex::new(BufferedCommits { head, commits: VecDeque::new(), bytes: 0 }), head_changes: watch::Sender::new(head) }
    }

    /// Tells when there are more lines, or another epoch.
    #[must_use]
    pub fn head_changes(&self) -> watch::Receiver<Head> {
        self.head_changes.subscribe()
    }

    /// The lines after `seq`, oldest first, at most `bytes` of them (but one, if there is one); `None` if they do not reach back so far.
    #[must_use]
    pub fn commits_after(&self, epoch: Epoch, seq: u64, bytes: usize) -> Option<Vec<EncodedCommit>> {
        let kept = self.buffered();
        if kept.head.epoch != epoch {
            return None;
        }
        let missing = usize::try_from(kept.head.seq.saturating_sub(seq)).unwrap_or(usize::MAX);
        let first = kept.commits.len().checked_sub(missing)?;
        let mut taken = 0;
        let within = kept.commits.range(first..).take_while(|line| {
            taken += line.text.len();
            taken <= bytes || taken == line.text.len()
        });
        Some(within.cloned().collect())
    }

    /// What the directory added up to after `seq`, if that is still known.
    #[must_use]
    pub fn state_at(&self, epoch: Epoch, seq: u64) -> Option<DirectoryDigest> {
        let kept = self.buffered();
        if kept.head.epoch != epoch {
            return None;
        }
        if kept.head.seq == seq {
            return Some(kept.head.state);
        }
        let back = usize::try_from(kept.head.seq.checked_sub(seq)?).ok()?;
        kept.commits.get(kept.commits.len().checked_sub(back + 1)?).map(|line| line.state)
    }

    /// Encodes what the journal has beyond the last line, and tells those who wait. Blocks.
    pub fn catch_up(&self, store: &PrimaryStore) -> Result<(), StoreError> {
        loop {
            let from = self.buffered().head;
            match store.commits_after(from.epoch, from.seq, from.state.digest, JOURNAL_BATCH)? {
                CommitsAfter::Commits(commits) if commits.is_empty() => return Ok(()),
                CommitsAfter::Commits(commits) => {
                    let lines: Vec<_> = commits.iter().map(|commit| EncodedCommit::encode(commit)).collect();
                    self.buffered().append(lines);
                }
                CommitsAfter::Gone | CommitsAfter::Diverged(_) => {
                    *self.buffered() = BufferedCommits { head: store.head(), commits: VecDeque::new(), bytes: 0 }
                }
            }
            let head = self.buffered().head;
            self.head_changes.send_replace(head);
        }
    }

    fn buffered(&self) -> MutexGuard<'_, BufferedCommits> {
        self.buffered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferedCommits {
    fn append(&mut self, lines: Vec<EncodedCommit>) {
        for line in lines {
            self.head.seq = line.seq;
            self.head.state = line.state;
            self.bytes += line.text.len();
            self.commits.push_back(line);
        }
        while self.commits.len() > MAX_BUFFERED_COMMITS || (self.bytes > MAX_BUFFERED_BYTES && self.commits.len() > 1) {
            if let Some(oldest) = self.commits.pop_front() {
                self.bytes -= oldest.text.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BufferedCommits, EncodedCommit, FeedBuffer, MAX_BUFFERED_BYTES};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::DirectoryDigest;

    fn encoded_commit(seq: u64, bytes: usize) -> EncodedCommit {
        EncodedCommit { seq, state: DirectoryDigest { count: seq, ..DirectoryDigest::default() }, text: Bytes::from(vec![b'x'; bytes]) }
    }

    fn buffer_of(of: impl IntoIterator<Item = EncodedCommit>) -> FeedBuffer {
        let lines = FeedBuffer::starting_at(Head { epoch: Epoch(1), seq: 10, state: DirectoryDigest::default() });
        lines.buffered().append(of.into_iter().collect());
        lines
    }

    fn seqs(of: Option<Vec<EncodedCommit>>) -> Option<Vec<u64>> {
        of.map(|lines| lines.iter().map(|line| line.seq).collect())
    }

    #[test]
    fn a_cursor_at_the_start_gets_all_commits_and_an_older_one_gets_none() {
        let lines = buffer_of([encoded_commit(11, 5), encoded_commit(12, 5)]);
        assert_eq!(seqs(lines.commits_after(Epoch(1), 10, 100)), Some(vec![11, 12]));
        assert_eq!(seqs(lines.commits_after(Epoch(1), 11, 100)), Some(vec![12]));
        assert_eq!(seqs(lines.commits_after(Epoch(1), 12, 100)), Some(vec![]));
        assert_eq!(lines.commits_after(Epoch(1), 9, 100), None, "10 to 11 is not here");
        assert_eq!(lines.commits_after(Epoch(2), 11, 100), None);
    }

    #[test]
    fn one_commit_is_returned_whatever_its_size_and_more_only_within_the_limit() {
        let lines = buffer_of([encoded_commit(11, 500), encoded_commit(12, 5), encoded_commit(13, 5)]);
        assert_eq!(seqs(lines.commits_after(Epoch(1), 10, 100)), Some(vec![11]));
        assert_eq!(seqs(lines.commits_after(Epoch(1), 11, 9)), Some(vec![12]));
    }

    #[test]
    fn the_oldest_commits_are_dropped_when_the_buffer_is_full() {
        let lines = buffer_of([encoded_commit(11, MAX_BUFFERED_BYTES), encoded_commit(12, 5)]);
        assert_eq!(lines.commits_after(Epoch(1), 10, 1), None);
        assert_eq!(seqs(lines.commits_after(Epoch(1), 11, 1)), Some(vec![12]));
        let BufferedCommits { bytes, .. } = &*lines.buffered();
        assert_eq!(*bytes, 5);
    }

    #[test]
    fn the_state_after_a_commit_is_known_while_the_commit_is_buffered() {
        let lines = buffer_of([encoded_commit(11, 5), encoded_commit(12, 5)]);
        assert_eq!(lines.state_at(Epoch(1), 11).map(|state| state.count), Some(11));
        assert_eq!(lines.state_at(Epoch(1), 12).map(|state| state.count), Some(12));
        assert_eq!(lines.state_at(Epoch(1), 10), None);
        assert_eq!(lines.state_at(Epoch(1), 13), None);
    }
}
