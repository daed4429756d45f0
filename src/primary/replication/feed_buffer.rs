//! The feed's recent commits, each encoded once and shared by all followers: a thousand hosts cost one encoding.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::model::change::{Commit, Epoch, Head};
use crate::model::digest::DirectoryDigest;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};
use crate::wire::directory::feed_lines;

/// Most commits that are buffered.
const MAX_BUFFERED_COMMITS: usize = 4096;
/// Most bytes of lines that are buffered; one commit is, whatever its size.
const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// How many commits are read from the journal at a time.
const JOURNAL_BATCH: usize = 64;

/// One commit as a line of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCommit {
    /// The commit's sequence number.
    pub seq: u64,
    /// The state of the directory after it.
    pub state: DirectoryDigest,
    /// The line, with its newline.
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

/// The recent commits up to the head.
pub struct FeedBuffer {
    buffered: Mutex<BufferedCommits>,
    head_changes: watch::Sender<Head>,
}

struct BufferedCommits {
    /// The head after the last commit.
    head: Head,
    commits: VecDeque<EncodedCommit>,
    bytes: usize,
}

impl FeedBuffer {
    /// Returns an empty buffer; the next commit is the one after `head`.
    #[must_use]
    pub fn starting_at(head: Head) -> Self {
        Self { buffered: Mutex::new(BufferedCommits { head, commits: VecDeque::new(), bytes: 0 }), head_changes: watch::Sender::new(head) }
    }

    /// Returns a receiver of the head, which changes with every commit and every epoch.
    #[must_use]
    pub fn head_changes(&self) -> watch::Receiver<Head> {
        self.head_changes.subscribe()
    }

    /// Returns the commits after `seq`, oldest first, at most `bytes` of them (but one, if there is one); `None` if the buffer does not
    /// reach back so far.
    #[must_use]
    pub fn commits_after(&self, epoch: Epoch, seq: u64, bytes: usize) -> Option<Vec<EncodedCommit>> {
        let buffered = self.buffered();
        if buffered.head.epoch != epoch {
            return None;
        }
        let newer = usize::try_from(buffered.head.seq.saturating_sub(seq)).unwrap_or(usize::MAX);
        let first = buffered.commits.len().checked_sub(newer)?;
        let mut taken = 0;
        let within = buffered.commits.range(first..).take_while(|commit| {
            taken += commit.text.len();
            taken <= bytes || taken == commit.text.len()
        });
        Some(within.cloned().collect())
    }

    /// Returns the state of the directory after `seq`, if that is still known.
    #[must_use]
    pub fn state_at(&self, epoch: Epoch, seq: u64) -> Option<DirectoryDigest> {
        let buffered = self.buffered();
        if buffered.head.epoch != epoch {
            return None;
        }
        if buffered.head.seq == seq {
            return Some(buffered.head.state);
        }
        let back = usize::try_from(buffered.head.seq.checked_sub(seq)?).ok()?;
        buffered.commits.get(buffered.commits.len().checked_sub(back + 1)?).map(|commit| commit.state)
    }

    /// Encodes what the journal has after the last buffered commit, and notifies the streams. Blocks.
    pub fn catch_up(&self, store: &PrimaryStore) -> Result<(), StoreError> {
        loop {
            let from = self.buffered().head;
            match store.commits_after(from.epoch, from.seq, from.state.digest, JOURNAL_BATCH)? {
                CommitsAfter::Commits(commits) if commits.is_empty() => return Ok(()),
                CommitsAfter::Commits(commits) => {
                    let encoded: Vec<_> = commits.iter().map(EncodedCommit::encode).collect();
                    self.buffered().append(encoded);
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
    fn append(&mut self, commits: Vec<EncodedCommit>) {
        for commit in commits {
            self.head.seq = commit.seq;
            self.head.state = commit.state;
            self.bytes += commit.text.len();
            self.commits.push_back(commit);
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

    fn buffer_of(commits: impl IntoIterator<Item = EncodedCommit>) -> FeedBuffer {
        let buffer = FeedBuffer::starting_at(Head { epoch: Epoch(1), seq: 10, state: DirectoryDigest::default() });
        buffer.buffered().append(commits.into_iter().collect());
        buffer
    }

    fn seqs(commits: Option<Vec<EncodedCommit>>) -> Option<Vec<u64>> {
        commits.map(|commits| commits.iter().map(|commit| commit.seq).collect())
    }

    #[test]
    fn a_cursor_at_the_start_gets_all_commits_and_an_older_one_gets_none() {
        let buffer = buffer_of([encoded_commit(11, 5), encoded_commit(12, 5)]);
        assert_eq!(seqs(buffer.commits_after(Epoch(1), 10, 100)), Some(vec![11, 12]));
        assert_eq!(seqs(buffer.commits_after(Epoch(1), 11, 100)), Some(vec![12]));
        assert_eq!(seqs(buffer.commits_after(Epoch(1), 12, 100)), Some(vec![]));
        assert_eq!(buffer.commits_after(Epoch(1), 9, 100), None, "10 to 11 is not here");
        assert_eq!(buffer.commits_after(Epoch(2), 11, 100), None);
    }

    #[test]
    fn one_commit_is_returned_whatever_its_size_and_more_only_within_the_limit() {
        let buffer = buffer_of([encoded_commit(11, 500), encoded_commit(12, 5), encoded_commit(13, 5)]);
        assert_eq!(seqs(buffer.commits_after(Epoch(1), 10, 100)), Some(vec![11]));
        assert_eq!(seqs(buffer.commits_after(Epoch(1), 11, 9)), Some(vec![12]));
    }

    #[test]
    fn the_oldest_commits_are_dropped_when_the_buffer_is_full() {
        let buffer = buffer_of([encoded_commit(11, MAX_BUFFERED_BYTES), encoded_commit(12, 5)]);
        assert_eq!(buffer.commits_after(Epoch(1), 10, 1), None);
        assert_eq!(seqs(buffer.commits_after(Epoch(1), 11, 1)), Some(vec![12]));
        let BufferedCommits { bytes, .. } = &*buffer.buffered();
        assert_eq!(*bytes, 5);
    }

    #[test]
    fn the_state_after_a_commit_is_known_while_the_commit_is_buffered() {
        let buffer = buffer_of([encoded_commit(11, 5), encoded_commit(12, 5)]);
        assert_eq!(buffer.state_at(Epoch(1), 11).map(|state| state.count), Some(11));
        assert_eq!(buffer.state_at(Epoch(1), 12).map(|state| state.count), Some(12));
        assert_eq!(buffer.state_at(Epoch(1), 10), None);
        assert_eq!(buffer.state_at(Epoch(1), 13), None);
    }
}
