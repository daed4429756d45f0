//! What the tests' primary holds: a directory, its journal, and how it is to misbehave.

use std::collections::BTreeMap;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::wire::directory::feed_lines::{self, Ack, SNAPSHOT_FORMAT, SnapshotEnd, SnapshotHeader};

/// How the primary misbehaves. All off: it does not.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Answer `changes` with this status, and nothing else.
    pub changes_status: Option<u16>,
    /// Answer the snapshot with this status.
    pub snapshot_status: Option<u16>,
    /// Say nothing on open streams, not even a heartbeat.
    pub mute_streams: bool,
    /// Every line twice.
    pub duplicate_lines: bool,
    /// Omit this commit, once.
    pub skip_commit: Option<u64>,
    /// Lie about the digest of this commit.
    pub wrong_digest_at: Option<u64>,
    /// Cut every stream after so many lines.
    pub cut_after_lines: Option<usize>,
    /// Send this instead of a snapshot.
    pub bad_snapshot: Option<BadSnapshot>,
    /// The snapshot as it was then, rather than a new one.
    pub old_snapshot: Option<Vec<u8>>,
    /// The next stream that is opened says nothing, ever.
    pub next_stream_silent: bool,
    /// The next stream that is opened says nothing until `late_stream_released`, then a few heartbeats of when it was opened.
    pub next_stream_late: bool,
    /// Lets a late stream go on.
    pub late_stream_released: bool,
    /// 410 does not name the head.
    pub gone_without_head: bool,
}

/// What is wrong with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSnapshot {
    /// Its bytes end early, and properly for HTTP.
    Truncated,
    /// HTTP itself is cut.
    HttpTruncated,
    /// Not zstd.
    NotZstd,
    /// It has one byte more than its first line says.
    LargerThanPromised,
    /// The end line is missing.
    MissingEnd,
    /// The end's digest is of something else.
    WrongDigest,
    /// A record is missing.
    MissingRecord,
    /// Another format.
    WrongFormat,
    /// Its last commit is missing.
    MissingCommit,
    /// Half of the keys are missing, and it adds up.
    HalfTheKeys,
}

impl BadSnapshot {
    pub const NEVER_INSTALLED: [Self; 9] = [
        Self::Truncated,
        Self::HttpTruncated,
        Self::NotZstd,
        Self::LargerThanPromised,
        Self::MissingEnd,
        Self::WrongDigest,
        Self::MissingRecord,
        Self::WrongFormat,
        Self::MissingCommit,
    ];
}

/// The directory and its journal.
pub struct FakePrimaryState {
    pub epoch: Epoch,
    pub records: BTreeMap<SortKey, Entry>,
    pub journal: Vec<Commit>,
    pub faults: Faults,
    pub accept_loss: bool,
    /// The kinds of records that it says it publishes.
    pub covers: Option<Vec<String>>,
    pub acks: Vec<(String, Ack)>,
    pub snapshots_sent: u64,
    pub streams_open: u64,
    /// Streams that were opened before this last changed end.
    pub disconnects: u64,
    seq: u64,
}

impl FakePrimaryState {
    /// With these records, at commit 1.
    pub fn with_entries(entries: impl IntoIterator<Item = Entry>) -> Self {
        let records = entries.into_iter().map(|entry| (entry.sort_key().clone(), entry)).collect();
        Self {
            epoch: Epoch(1),
            records,
            journal: Vec::new(),
            faults: Faults::default(),
            accept_loss: false,
            covers: None,
            acks: Vec::new(),
            snapshots_sent: 0,
            streams_open: 0,
            disconnects: 0,
            seq: 1,
        }
    }

    pub fn digest_state(&self) -> DirectoryDigest {
        self.records.values().fold(DirectoryDigest::default(), |state, entry| state.with_record(entry.text().as_bytes()))
    }

    pub fn head(&self) -> Head {
        Head { epoch: self.epoch, seq: self.seq, state: self.digest_state() }
    }

    /// The number of the first commit that the journal still has.
    pub fn first_seq(&self) -> u64 {
        self.seq + 1 - u64::try_from(self.journal.len()).unwrap()
    }

    pub fn commit(&mut self, changes: Vec<Change>) -> Head {
        for change in &changes {
            match change {
                Change::Put(entry) => {
                    self.records.insert(entry.sort_key().clone(), entry.clone());
                }
                Change::Delete(identity) => self.records.retain(|_, entry| RecordIdentity::from_entry(entry) != *identity),
            }
        }
        self.seq += 1;
        self.journal.push(Commit { seq: self.seq, state: self.digest_state(), changes });
        self.head()
    }

    /// The journal begins anew: whoever is not at the head has lost its cursor.
    pub fn clear_journal(&mut self) {
        self.journal.clear();
    }

    /// A large apply: another directory, a commit later, and a new journal.
    pub fn replace_all(&mut self, entries: impl IntoIterator<Item = Entry>) -> Head {
        self.records = entries.into_iter().map(|entry| (entry.sort_key().clone(), entry)).collect();
        self.seq += 1;
        self.journal.clear();
        self.head()
    }

    pub fn new_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.journal.clear();
    }

    /// As after a restore from a backup made `commits` ago.
    pub fn restore_backup(&mut self, commits: u64, records: BTreeMap<SortKey, Entry>) {
        for _ in 0..commits {
            self.journal.pop();
        }
        self.seq -= commits;
        self.records = records;
    }

    /// A snapshot; if the journal has a commit, the last one is in its tail as well as in the records.
    pub fn snapshot(&self) -> Vec<u8> {
        let bad = self.faults.bad_snapshot;
        let tail = self.journal.last();
        let from_seq = if tail.is_some() { self.seq - 1 } else { self.seq };
        let format = if bad == Some(BadSnapshot::WrongFormat) { SNAPSHOT_FORMAT + 1 } else { SNAPSHOT_FORMAT };
        let mut lines = vec![feed_lines::encode_snapshot_header(&SnapshotHeader {
            format,
            epoch: self.epoch,
            from_seq,
            bytes: None,
            covers: self.covers.clone(),
        })];
        let mut state = self.digest_state();
        for (index, entry) in self.records.values().enumerate() {
            let is_key = entry.sort_key().fingerprint().is_some();
            if bad == Some(BadSnapshot::HalfTheKeys) && is_key && index % 2 == 0 {
                state = state.without_record(entry.text().as_bytes());
            } else if bad != Some(BadSnapshot::MissingRecord) || index != 1 {
                lines.push(entry.text().to_owned());
            }
        }
        if let Some(commit) = tail
            && bad != Some(BadSnapshot::MissingCommit)
            && bad != Some(BadSnapshot::HalfTheKeys)
        {
            lines.push(feed_lines::encode_commit(commit));
        }
        if bad == Some(BadSnapshot::WrongDigest) {
            state = state.with_record(b"x");
        }
        let seq = if bad == Some(BadSnapshot::HalfTheKeys) { from_seq } else { self.seq };
        if bad != Some(BadSnapshot::MissingEnd) {
            lines.push(feed_lines::encode_snapshot_end(&SnapshotEnd { seq, state, accept_loss: self.accept_loss }));
        }
        let header = lines.remove(0);
        let rest = lines.join("\n") + "\n";
        let promised = if bad == Some(BadSnapshot::LargerThanPromised) { rest.len() - 1 } else { rest.len() };
        // At first it is an older primary, which does not say the size.
        let size = if bad == Some(BadSnapshot::LargerThanPromised) || self.snapshots_sent > 1 {
            format!(",\"bytes\":{promised}}}\n")
        } else {
            "}\n".to_owned()
        };
        let packed = zstd::encode_all((header.trim_end_matches('}').to_owned() + &size + &rest).as_bytes(), 1).unwrap();
        match bad {
            Some(BadSnapshot::Truncated) => packed[..packed.len() * 2 / 3].to_vec(),
            Some(BadSnapshot::NotZstd) => vec![0x5a; 5000],
            _ => packed,
        }
    }
}
