//! What the trials' primary holds: a directory, its journal, and how it is to misbehave.

use std::collections::BTreeMap;

use crate::model::change::{Change, Commit, Epoch, Head, Identity};
use crate::model::digest::State;
use crate::model::entry::Entry;
use crate::model::order::Place;
use crate::wire::feed::{self, Ack, FORMAT, SnapshotEnd, SnapshotHead};

/// How the primary misbehaves. All off: it does not.
#[derive(Clone, Debug, Default)]
pub struct Mischief {
    /// Answer `changes` with this status, and nothing else.
    pub changes_status: Option<u16>,
    /// Answer the snapshot with this status.
    pub snapshot_status: Option<u16>,
    /// Say nothing on open streams, not even a heartbeat.
    pub silent: bool,
    /// Every line twice.
    pub twice: bool,
    /// Leave this commit out, once.
    pub leave_out: Option<u64>,
    /// Lie about the digest of this commit.
    pub lie_at: Option<u64>,
    /// Cut every stream after so many lines.
    pub cut_after: Option<usize>,
    /// Send this instead of a snapshot.
    pub snapshot: Option<BadSnapshot>,
    /// The snapshot as it was then, rather than a new one.
    pub old_snapshot: Option<Vec<u8>>,
    /// 410 does not name the head.
    pub gone_without_head: bool,
}

/// What is wrong with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSnapshot {
    /// Its bytes end early, and properly for HTTP.
    Cut,
    /// HTTP itself is cut.
    Torn,
    /// Not zstd.
    Noise,
    /// The end line is missing.
    NoEnd,
    /// The end's digest is of something else.
    WrongSum,
    /// A record is missing.
    RecordMissing,
    /// Another format.
    Format,
    /// Its last commit is missing.
    Gap,
    /// Half of the keys are missing, and it adds up.
    HalfTheKeys,
}

impl BadSnapshot {
    pub const NEVER_INSTALLED: [Self; 8] =
        [Self::Cut, Self::Torn, Self::Noise, Self::NoEnd, Self::WrongSum, Self::RecordMissing, Self::Format, Self::Gap];
}

/// The directory and its journal.
pub struct World {
    pub epoch: Epoch,
    pub records: BTreeMap<Place, Entry>,
    pub journal: Vec<Commit>,
    pub mischief: Mischief,
    pub accept_loss: bool,
    pub acks: Vec<(String, Ack)>,
    pub snapshots_sent: u64,
    pub streams_open: u64,
    /// Streams opened before the last kick end.
    pub kicks: u64,
    seq: u64,
}

impl World {
    /// With these records, at commit 1.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let records = entries.into_iter().map(|entry| (entry.place().clone(), entry)).collect();
        Self {
            epoch: Epoch(1),
            records,
            journal: Vec::new(),
            mischief: Mischief::default(),
            accept_loss: false,
            acks: Vec::new(),
            snapshots_sent: 0,
            streams_open: 0,
            kicks: 0,
            seq: 1,
        }
    }

    pub fn state(&self) -> State {
        self.records.values().fold(State::default(), |state, entry| state.with(entry.text().as_bytes()))
    }

    pub fn head(&self) -> Head {
        Head { epoch: self.epoch, seq: self.seq, state: self.state() }
    }

    /// The number of the first commit that the journal still has.
    pub fn first(&self) -> u64 {
        self.seq + 1 - u64::try_from(self.journal.len()).unwrap()
    }

    pub fn commit(&mut self, changes: Vec<Change>) -> Head {
        for change in &changes {
            match change {
                Change::Put(entry) => {
                    self.records.insert(entry.place().clone(), entry.clone());
                }
                Change::Delete(identity) => self.records.retain(|_, entry| Identity::of(entry) != *identity),
            }
        }
        self.seq += 1;
        self.journal.push(Commit { seq: self.seq, state: self.state(), changes });
        self.head()
    }

    /// The journal begins anew: whoever is not at the head has lost its cursor.
    pub fn forget_journal(&mut self) {
        self.journal.clear();
    }

    /// A large apply: another directory, a commit later, and a new journal.
    pub fn replace(&mut self, entries: impl IntoIterator<Item = Entry>) -> Head {
        self.records = entries.into_iter().map(|entry| (entry.place().clone(), entry)).collect();
        self.seq += 1;
        self.journal.clear();
        self.head()
    }

    pub fn new_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.journal.clear();
    }

    /// As after a restore from a backup made `commits` ago.
    pub fn go_back(&mut self, commits: u64, records: BTreeMap<Place, Entry>) {
        for _ in 0..commits {
            self.journal.pop();
        }
        self.seq -= commits;
        self.records = records;
    }

    /// A snapshot; if the journal has a commit, the last one is in its tail as well as in the records.
    pub fn snapshot(&self) -> Vec<u8> {
        let bad = self.mischief.snapshot;
        let tail = self.journal.last();
        let from_seq = if tail.is_some() { self.seq - 1 } else { self.seq };
        let format = if bad == Some(BadSnapshot::Format) { FORMAT + 1 } else { FORMAT };
        let mut lines = vec![feed::snapshot_head(&SnapshotHead { format, epoch: self.epoch, from_seq })];
        let mut state = self.state();
        for (index, entry) in self.records.values().enumerate() {
            let is_key = entry.place().fingerprint().is_some();
            if bad == Some(BadSnapshot::HalfTheKeys) && is_key && index % 2 == 0 {
                state = state.without(entry.text().as_bytes());
            } else if bad != Some(BadSnapshot::RecordMissing) || index != 1 {
                lines.push(entry.text().to_owned());
            }
        }
        if let Some(commit) = tail
            && bad != Some(BadSnapshot::Gap)
            && bad != Some(BadSnapshot::HalfTheKeys)
        {
            lines.push(feed::commit(commit));
        }
        if bad == Some(BadSnapshot::WrongSum) {
            state = state.with(b"x");
        }
        let seq = if bad == Some(BadSnapshot::HalfTheKeys) { from_seq } else { self.seq };
        if bad != Some(BadSnapshot::NoEnd) {
            lines.push(feed::snapshot_end(&SnapshotEnd { seq, state, accept_loss: self.accept_loss }));
        }
        let packed = zstd::encode_all((lines.join("\n") + "\n").as_bytes(), 1).unwrap();
        match bad {
            Some(BadSnapshot::Cut) => packed[..packed.len() * 2 / 3].to_vec(),
            Some(BadSnapshot::Noise) => vec![0x5a; 5000],
            _ => packed,
        }
    }
}
