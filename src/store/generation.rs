//! One generation: the records of a directory, their indices and the cursor, in one sled database.
//!
//! ```text
//! 00            the tally: format, cursor, digest, count, counts by kind   (tally.rs)
//! 01 <place>    pages of records: place, mark, canonical text              (page.rs, pages.rs)
//! 02 <entry>    pages of the index: name and place, nothing else           (index.rs)
//! 03 <seq>      the primary's journal: one commit each                     (journal.rs)
//! ```
//! Neighbours share a value of about 32 records and at most 16 KiB, so that a million keys load in a second and need no
//! index in memory. Every value carries a checksum that holds under its own key only, and every page says where the next
//! begins: what is damaged, moved or lost is a [`Damage`] and never a wrong answer. A page may still be an older one than it
//! should be; [`Generation::scan`] adds everything up and finds that. If sled drops the end of its log, whole batches are
//! gone: that is an older generation, whole, and its cursor says so.
//!
//! The files are made by [`Generation::load`] and changed by [`Generation::apply`], one batch at a time, with index, digest
//! and count in the batch. Answers come from a bounded cache of decoded records that the changes clear exactly.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::model::change::{Change, Epoch, Head, Identity};
use crate::model::digest::State;
use crate::model::directory::Fault;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::{Agent, DeployGrant, ErrorTrackingKey};
use crate::store::database::{Database, Write};
use crate::store::draft::Fullness;
use crate::store::edit::{Edited, edit};
use crate::store::index::Name;
use crate::store::known::KnownRecords;
use crate::store::loading::fill;
use crate::store::page::View;
use crate::store::pages::{Map, Walk, each, page_of};
use crate::store::tally::{Line, Tally};

/// How much memory a store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// sled's page cache, in bytes.
    pub page_cache: u64,
    /// Decoded records kept.
    pub record_cache: usize,
}

/// Something on disk that cannot be trusted or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct Damage(pub String);

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self(damage.0)
    }
}

/// An open generation. Cheap to clone; reads from any thread, one writer at a time (held inside). The database is closed
/// when the last clone and the last iterator of [`Generation::entries`] are gone.
#[derive(Clone)]
pub struct Generation {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    fullness: Fullness,
    known: KnownRecords,
    tally: ArcSwap<Tally>,
    writer: Mutex<()>,
}

/// What goes into the batch of the changes besides them.
pub(in crate::store) struct Beside {
    /// Where the cursor is moved to.
    pub cursor: Option<(Epoch, u64)>,
    /// Other keys of the database.
    pub writes: Vec<Write>,
}

impl Generation {
    /// Opens an existing one. Blocks; survives a panic inside sled. Removes `snap.*.generating` first.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, Damage> {
        let database = Database::open(folder, options.page_cache)?;
        let tally = Tally::read(&database).map_err(|Damage(reason)| Damage(format!("{}: {reason}", folder.display())))?;
        Ok(Self::over(database, options, Fullness::DEFAULT, tally))
    }

    /// Makes a new one out of entries in snapshot order, by plain inserts, and flushes it. It has no cursor until
    /// [`Generation::apply`] gives it one. `entries` may stop with an error of the caller's. Before it serves it should be
    /// closed and opened again: sled then has written its own snapshot, and the next start is fast.
    pub fn load<E: From<Damage>>(folder: &Path, options: &Options, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Self, E> {
        Self::load_filled(folder, options, Fullness::DEFAULT, entries)
    }

    pub(in crate::store) fn load_filled<E: From<Damage>>(
        folder: &Path,
        options: &Options,
        fullness: Fullness,
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Self, E> {
        let database = Database::open(folder, options.page_cache)?;
        let tally = fill(&database, &fullness, entries)?;
        database.flush_whole()?;
        Ok(Self::over(database, options, fullness, tally))
    }

    fn over(database: Database, options: &Options, fullness: Fullness, tally: Tally) -> Self {
        let known = KnownRecords::new(options.record_cache);
        Self { inner: Arc::new(Inner { database, fullness, known, tally: ArcSwap::from_pointee(tally), writer: Mutex::new(()) }) }
    }

    /// One atomic batch: the changes in their order, and the cursor if one is given. Gives what the store now holds. When it
    /// returns the changes bind in every answer; on disk they are after [`Generation::flush`]. Readers stand still while a
    /// batch is written, so at most 1,000 changes.
    ///
    /// A put of a key takes away other keys of the same id. A put of what is there already, and a delete of what is not,
    /// change nothing.
    pub fn apply(&self, changes: &[Change], cursor: Option<(Epoch, u64)>) -> Result<State, Damage> {
        self.apply_with(changes, |_| Ok(Some(Beside { cursor, writes: Vec::new() })))
    }

    /// As [`Generation::apply`], with other writes in the same batch, decided when the state after the changes is known;
    /// `None` leaves everything as it is. Gives the state that was decided on.
    pub(in crate::store) fn apply_with(
        &self,
        changes: &[Change],
        beside: impl FnOnce(State) -> Result<Option<Beside>, Damage>,
    ) -> Result<State, Damage> {
        let inner = &*self.inner;
        let _one_writer = inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.tally.load_full();
        let Edited { mut writes, mut tally, touched } = edit(&inner.database, &inner.fullness, Tally::clone(&before), changes)?;
        let state = tally.state;
        let Some(beside) = beside(state)? else { return Ok(state) };
        if let Some((epoch, seq)) = beside.cursor {
            tally.cursor = Some(Head { epoch, seq, state });
        }
        writes.extend(beside.writes);
        if tally != *before {
            writes.push(tally.write()?);
        }
        if writes.is_empty() {
            return Ok(state);
        }
        inner.database.write(writes)?;
        inner.known.forget(touched);
        inner.tally.store(Arc::new(tally));
        Ok(state)
    }

    /// On disk, or not: what was applied counts only after this.
    pub fn flush(&self) -> Result<(), Damage> {
        self.inner.database.flush()
    }

    /// The cursor, with the state as it was when the cursor was moved: what the primary's journal says of that `seq`, also
    /// while a later commit is applied in part. `None` if none was ever stored.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.inner.tally.load().cursor
    }

    /// What the store says that it holds.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.tally.load().state
    }

    /// How many records of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.inner.tally.load().kinds.clone()
    }

    /// How many records are not wholly understood.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.inner.tally.load().foreign
    }

    /// All records, in the order of a snapshot. Other writes go on meanwhile and may or may not be seen.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Damage>> + Send + use<> {
        self.lines().map(|line| read_entry(&line?))
    }

    /// The canonical texts of all records, in the order of a snapshot, without reading what they say: much cheaper than
    /// [`Generation::entries`] where only the bytes are wanted.
    pub fn lines(&self) -> impl Iterator<Item = Result<Box<str>, Damage>> + Send + use<> {
        let pages = Walk::new(&self.inner.database, Map::Records, &[]);
        // Held in the iterator, so that whoever removes old generations sees that this one is still read.
        let held = self.clone();
        pages.flat_map(move |page| match page {
            Ok((from, view)) => held.lines_of(&view, &from),
            Err(damage) => vec![Err(damage)],
        })
    }

    fn lines_of(&self, view: &View, from: &[u8]) -> Vec<Result<Box<str>, Damage>> {
        let within = view.items().filter(|item| item.as_ref().map_or(true, |(key, _)| *key >= from));
        within.map(|item| Line::of(item?.1).map(|line| Box::from(line.text))).collect()
    }

    /// Reads everything and adds it up. Equal to [`Generation::state`] unless the database lost something, or changes went
    /// on meanwhile (see [`Generation::whole`]).
    pub fn scan(&self) -> Result<State, Damage> {
        self.recount().map(|tally| tally.state)
    }

    /// Whether a scan finds what the store says that it holds. Changes wait only if they came between two scans already.
    pub fn whole(&self) -> Result<bool, Damage> {
        let tally = &self.inner.tally;
        for _ in 0..2 {
            let before = tally.load_full();
            let found = self.recount()?;
            if Arc::ptr_eq(&before, &tally.load_full()) {
                return Ok(before.agrees(&found));
            }
        }
        let _no_writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tally.load().agrees(&self.recount()?))
    }

    fn recount(&self) -> Result<Tally, Damage> {
        let mut found = Tally::default();
        each(&self.inner.database, Map::Records, &[], |_, value| {
            found.add(Line::of(value)?);
            Ok(true)
        })?;
        each(&self.inner.database, Map::Index, &[], |_, _| {
            found.index += 1;
            Ok(true)
        })?;
        Ok(found)
    }

    /// One record by its identity.
    pub fn entry(&self, identity: &Identity) -> Result<Option<Entry>, Damage> {
        match identity {
            Identity::At(place, _) => self.entry_at(place),
            Identity::Key(id) => self.entry_named(&Name::key(*id)),
        }
    }

    /// The grants of a deploy key.
    pub fn deploy_grants(&self, key: Id) -> Result<Vec<Arc<DeployGrant>>, Damage> {
        self.below(Place::deploy_grants(key))
    }

    /// An agent by id.
    pub fn agent(&self, id: Id) -> Result<Option<Arc<Agent>>, Damage> {
        self.at(Place::agent(id))
    }

    /// An agent by the SHA-256 of its token, 64 lower-case hex digits.
    pub fn agent_with(&self, token_sha256: &str) -> Result<Option<Arc<Agent>>, Damage> {
        self.named(Name::agent(token_sha256))
    }

    /// A client key of a project's error tracking.
    pub fn error_tracking_key(&self, project: Id, public_key: &str) -> Result<Option<Arc<ErrorTrackingKey>>, Damage> {
        self.at(Place::error_tracking_key(project, public_key))
    }

    /// Bytes on disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.database.size()
    }

    /// Where all keys of an id stand.
    pub(in crate::store) fn key_places(&self, id: Id) -> Result<Vec<Place>, Damage> {
        let name = Name::key(id);
        let mut places = Vec::new();
        each(&self.inner.database, Map::Index, name.bytes(), |entry, _| {
            let place = name.place(entry);
            let more = place.is_some();
            places.extend(place);
            Ok(more)
        })?;
        Ok(places)
    }

    /// Whether nobody else holds it, or an iterator over it.
    pub(in crate::store) fn held_once(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    pub(in crate::store) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(in crate::store) fn known(&self) -> &KnownRecords {
        &self.inner.known
    }

    /// The record at a place, past the cache.
    pub(in crate::store) fn entry_at(&self, place: &Place) -> Result<Option<Entry>, Damage> {
        let page = page_of(&self.inner.database, Map::Records, place.bytes())?;
        page.value(place.bytes())?.map(|value| read_entry(Line::of(value)?.text)).transpose()
    }

    /// Where a name leads.
    pub(in crate::store) fn place_named(&self, name: &Name) -> Result<Option<Place>, Damage> {
        let mut found = None;
        each(&self.inner.database, Map::Index, name.bytes(), |entry, _| {
            found = name.place(entry);
            Ok(false)
        })?;
        Ok(found)
    }
}

pub(in crate::store) fn read_entry(text: &str) -> Result<Entry, Damage> {
    Entry::read(text).map_err(|error| Damage(format!("a record that cannot be read any more: {error}")))
}
