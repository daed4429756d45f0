//! Makes a generation out of a snapshot, or nothing: it must begin and end as it should, follow its own numbers, and add up.

use std::path::Path;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::key::Fingerprint;
use crate::model::loss_guard::Loss;
use crate::model::record::Record;
use crate::replica::feed::{NoFeed, SnapshotLines};
use crate::replica::tracked::apply;
use crate::store::generation::{Damage, Generation, Options};
use crate::wire::feed::{FORMAT, SnapshotEnd, SnapshotHead, SnapshotLine};

/// How the line of a key begins: other lines need not be read to count keys.
const KEY_LINE: &str = r#"{"kind":"key","#;

/// A generation that was loaded, closed, opened again and read through.
pub struct Loaded {
    /// It.
    pub generation: Generation,
    /// Where it stands.
    pub head: Head,
    /// Whether the primary says that a loss is meant.
    pub accept_loss: bool,
    /// The keys that the snapshot carries.
    pub keys: KeySet,
}

/// Why a snapshot is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLoaded {
    /// It was cut, or is garbled.
    #[error(transparent)]
    Feed(#[from] NoFeed),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Damage),
    /// It is not a snapshot as it should be.
    #[error("the snapshot is not usable: {0}")]
    Form(String),
    /// It does not add up.
    #[error("the snapshot does not add up to what its end says")]
    Sum,
}

/// Loads a snapshot into `folder`. Blocks until it has been opened again and read through.
pub fn load(folder: &Path, options: &Options, lines: SnapshotLines) -> Result<Loaded, NotLoaded> {
    let mut lines = Reader { lines, after_records: None, keys: KeySet::default() };
    let SnapshotHead { epoch, from_seq, .. } = lines.head()?;
    let generation = Generation::load(folder, options, &mut lines)?;
    let end = lines.replay(&generation, from_seq)?;
    lines.nothing_more()?;
    settle(&generation, epoch, &end)?;
    drop(generation);
    let generation = Generation::open(folder, options)?;
    if generation.state() != end.state || !generation.whole()? {
        return Err(NotLoaded::Sum);
    }
    let head = Head { epoch, seq: end.seq, state: end.state };
    Ok(Loaded { generation, head, accept_loss: end.accept_loss, keys: lines.keys.sorted() })
}

/// Gives the generation its cursor, if it adds up.
fn settle(generation: &Generation, epoch: Epoch, end: &SnapshotEnd) -> Result<(), NotLoaded> {
    if generation.state() != end.state {
        return Err(NotLoaded::Sum);
    }
    generation.apply(&[], Some((epoch, end.seq)))?;
    Ok(generation.flush()?)
}

/// The lines of a snapshot; as an iterator, its records only.
struct Reader {
    lines: SnapshotLines,
    after_records: Option<SnapshotLine>,
    keys: KeySet,
}

impl Reader {
    fn head(&mut self) -> Result<SnapshotHead, NotLoaded> {
        match self.lines.next().transpose()? {
            Some(SnapshotLine::Head(head)) if head.format == FORMAT => Ok(head),
            Some(SnapshotLine::Head(head)) => Err(form(&format!("its format is {}, this program reads {FORMAT}", head.format))),
            _ => Err(form("it does not begin with its head")),
        }
    }

    fn replay(&mut self, generation: &Generation, from_seq: u64) -> Result<SnapshotEnd, NotLoaded> {
        let mut seq = from_seq;
        loop {
            let line = match self.after_records.take() {
                Some(line) => Some(line),
                None => self.lines.next().transpose()?,
            };
            match line {
                Some(SnapshotLine::Commit(commit)) if commit.seq == seq + 1 => {
                    seq = commit.seq;
                    self.note_keys(&commit);
                    apply(generation, commit.changes, None)?;
                }
                Some(SnapshotLine::End(end)) if end.seq == seq => return Ok(end),
                Some(SnapshotLine::Commit(_) | SnapshotLine::End(_)) => return Err(form("its commits do not follow one another")),
                Some(SnapshotLine::Head(_) | SnapshotLine::Record(_)) => return Err(form("its lines are out of order")),
                None => return Err(form("it was cut off")),
            }
        }
    }

    fn nothing_more(&mut self) -> Result<(), NotLoaded> {
        match self.lines.next().transpose()? {
            None => Ok(()),
            Some(_) => Err(form("it goes on after its end")),
        }
    }

    fn note_keys(&mut self, commit: &Commit) {
        for change in &commit.changes {
            if let Change::Put(entry) = change {
                self.keys.note(entry);
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, NotLoaded>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.after_records.is_some() {
            return None;
        }
        match self.lines.next()? {
            Ok(SnapshotLine::Record(entry)) => {
                self.keys.note(&entry);
                Some(Ok(entry))
            }
            Ok(other) => {
                self.after_records = Some(other);
                None
            }
            Err(no_feed) => Some(Err(no_feed.into())),
        }
    }
}

fn form(what: &str) -> NotLoaded {
    NotLoaded::Form(what.to_owned())
}

/// Which keys a snapshot carries, by the first eight bytes of their fingerprints: enough to count what is missing.
#[derive(Default)]
pub struct KeySet(Vec<u64>);

impl KeySet {
    fn note(&mut self, entry: &Entry) {
        if let Some(Record::Key(key)) = entry.record().map(AsRef::as_ref) {
            self.0.push(short(&key.key.fingerprint()));
        }
    }

    fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self
    }

    /// How many keys a generation has, and how many of them are neither here nor in the one that followed on from here. Reads the
    /// former through. Blocks.
    pub fn missing_of(&self, generation: &Generation, followed: &Generation) -> Result<Loss, Damage> {
        let mut missing = Loss { lost: 0, held: 0 };
        for line in generation.lines() {
            let line = line?;
            if !line.starts_with(KEY_LINE) {
                continue;
            }
            let entry = Entry::read(&line).map_err(|error| Damage(error.to_string()))?;
            if let Some(Record::Key(key)) = entry.record().map(AsRef::as_ref) {
                missing.held += 1;
                missing.lost += u64::from(!self.holds(&key.key.fingerprint(), followed)?);
            }
        }
        Ok(missing)
    }

    fn holds(&self, fingerprint: &Fingerprint, followed: &Generation) -> Result<bool, Damage> {
        if self.0.binary_search(&short(fingerprint)).is_ok() {
            return Ok(true);
        }
        followed.key_with(fingerprint).map(|key| key.is_some()).map_err(|fault| Damage(fault.to_string()))
    }
}

fn short(fingerprint: &Fingerprint) -> u64 {
    fingerprint.0.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
