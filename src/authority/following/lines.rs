//! The feed's recent lines, each encoded once and shared by all who follow: a thousand hosts cost one encoding.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::model::change::{Commit, Epoch, Head};
use crate::model::digest::State;
use crate::store::generation::Damage;
use crate::store::primary::{After, PrimaryStore};
use crate::wire::feed;

/// Most lines that are kept.
const LINES: usize = 4096;
/// Most bytes of lines that are kept; at least one line is.
const BYTES: usize = 16 << 20;
/// Commits that are read from the journal at a time.
const AT_ONCE: usize = 64;

/// One commit as the feed says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The commit's number.
    pub seq: u64,
    /// What the directory adds up to after it.
    pub state: State,
    /// The line, with its line feed.
    pub text: Bytes,
}

impl Line {
    /// Encodes a commit.
    #[must_use]
    pub fn of(commit: &Commit) -> Self {
        let mut text = feed::commit(commit);
        text.push('\n');
        Self { seq: commit.seq, state: commit.state, text: text.into() }
    }
}

/// The recent lines up to the head.
pub struct Lines {
    kept: Mutex<Kept>,
    newest: watch::Sender<Head>,
}

struct Kept {
    /// Where the last line leads.
    head: Head,
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Lines {
    /// No lines yet; the next will be the one after `head`.
    #[must_use]
    pub fn starting(head: Head) -> Self {
        Self { kept: Mutex::new(Kept { head, lines: VecDeque::new(), bytes: 0 }), newest: watch::Sender::new(head) }
    }

    /// Tells when there are more lines, or another epoch.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<Head> {
        self.newest.subscribe()
    }

    /// The lines after `seq`, oldest first, at most `bytes` of them (but one, if there is one); `None` if they do not reach back so far.
    #[must_use]
    pub fn after(&self, epoch: Epoch, seq: u64, bytes: usize) -> Option<Vec<Line>> {
        let kept = self.kept();
        if kept.head.epoch != epoch {
            return None;
        }
        let missing = usize::try_from(kept.head.seq.saturating_sub(seq)).unwrap_or(usize::MAX);
        let first = kept.lines.len().checked_sub(missing)?;
        let mut taken = 0;
        let within = kept.lines.range(first..).take_while(|line| {
            taken += line.text.len();
            taken <= bytes || taken == line.text.len()
        });
        Some(within.cloned().collect())
    }

    /// What the directory added up to after `seq`, if that is still known.
    #[must_use]
    pub fn state_at(&self, epoch: Epoch, seq: u64) -> Option<State> {
        let kept = self.kept();
        if kept.head.epoch != epoch {
            return None;
        }
        if kept.head.seq == seq {
            return Some(kept.head.state);
        }
        let back = usize::try_from(kept.head.seq.checked_sub(seq)?).ok()?;
        kept.lines.get(kept.lines.len().checked_sub(back + 1)?).map(|line| line.state)
    }

    /// Encodes what the journal has beyond the last line, and tells those who wait. Blocks.
    pub fn catch_up(&self, store: &PrimaryStore) -> Result<(), Damage> {
        loop {
            let from = self.kept().head;
            match store.after(from.epoch, from.seq, from.state.digest, AT_ONCE)? {
                After::Commits(commits) if commits.is_empty() => return Ok(()),
                After::Commits(commits) => {
                    let lines: Vec<_> = commits.iter().map(|commit| Line::of(commit)).collect();
                    self.kept().append(lines);
                }
                After::Gone | After::Unlike(_) => *self.kept() = Kept { head: store.head(), lines: VecDeque::new(), bytes: 0 },
            }
            let head = self.kept().head;
            self.newest.send_replace(head);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn append(&mut self, lines: Vec<Line>) {
        for line in lines {
            self.head.seq = line.seq;
            self.head.state = line.state;
            self.bytes += line.text.len();
            self.lines.push_back(line);
        }
        while self.lines.len() > LINES || (self.bytes > BYTES && self.lines.len() > 1) {
            if let Some(oldest) = self.lines.pop_front() {
                self.bytes -= oldest.text.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BYTES, Kept, Line, Lines};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::State;

    fn line(seq: u64, bytes: usize) -> Line {
        Line { seq, state: State { count: seq, ..State::default() }, text: Bytes::from(vec![b'x'; bytes]) }
    }

    fn lines(of: impl IntoIterator<Item = Line>) -> Lines {
        let lines = Lines::starting(Head { epoch: Epoch(1), seq: 10, state: State::default() });
        lines.kept().append(of.into_iter().collect());
        lines
    }

    fn seqs(of: Option<Vec<Line>>) -> Option<Vec<u64>> {
        of.map(|lines| lines.iter().map(|line| line.seq).collect())
    }

    #[test]
    fn who_stands_where_lines_begin_gets_them_all_and_who_stands_before_gets_none() {
        let lines = lines([line(11, 5), line(12, 5)]);
        assert_eq!(seqs(lines.after(Epoch(1), 10, 100)), Some(vec![11, 12]));
        assert_eq!(seqs(lines.after(Epoch(1), 11, 100)), Some(vec![12]));
        assert_eq!(seqs(lines.after(Epoch(1), 12, 100)), Some(vec![]));
        assert_eq!(lines.after(Epoch(1), 9, 100), None, "10 to 11 is not here");
        assert_eq!(lines.after(Epoch(2), 11, 100), None);
    }

    #[test]
    fn one_line_is_given_however_long_and_more_only_within_the_bound() {
        let lines = lines([line(11, 500), line(12, 5), line(13, 5)]);
        assert_eq!(seqs(lines.after(Epoch(1), 10, 100)), Some(vec![11]));
        assert_eq!(seqs(lines.after(Epoch(1), 11, 9)), Some(vec![12]));
    }

    #[test]
    fn the_oldest_lines_go_when_their_bytes_are_too_many() {
        let lines = lines([line(11, BYTES), line(12, 5)]);
        assert_eq!(lines.after(Epoch(1), 10, 1), None);
        assert_eq!(seqs(lines.after(Epoch(1), 11, 1)), Some(vec![12]));
        let Kept { bytes, .. } = &*lines.kept();
        assert_eq!(*bytes, 5);
    }

    #[test]
    fn the_state_after_a_commit_is_known_while_its_line_is() {
        let lines = lines([line(11, 5), line(12, 5)]);
        assert_eq!(lines.state_at(Epoch(1), 11).map(|state| state.count), Some(11));
        assert_eq!(lines.state_at(Epoch(1), 12).map(|state| state.count), Some(12));
        assert_eq!(lines.state_at(Epoch(1), 10), None);
        assert_eq!(lines.state_at(Epoch(1), 13), None);
    }
}
