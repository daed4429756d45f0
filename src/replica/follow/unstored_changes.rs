//! Changes that restrict and that the store does not have on disk yet.
//!
//! Each is remembered from before it is applied until a flush has written it. If the store cannot take it (the disk is full), what is
//! remembered is *held*: it binds in answers on top of what the store has, and lies in a file whose space was allocated before
//! ([`crate::store::files::change_log`]), so that it binds again after a restart. While something is held the host is not fresh and
//! acknowledges nothing. It ends when the store has taken all, or another generation has.
//!
//! The memory is bounded by the size of the file. What no longer fits, and what cannot be written or read again, is not forgotten silently:
//! then it is not known what this host may still say yes to, so nothing is answered from here without the primary, also after a restart
//! (the age of the data is removed).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::change::{Change, Commit, Head};
use crate::model::changed_directory::ChangeSet;
use crate::model::time::Time;
use crate::replica::follow::age_keeper::AgeKeeper;
use crate::replica::state::serving::HeldChanges;
use crate::store::files::change_log::{ChangeLog, LogContent, entries_capacity, entry_bytes};
use crate::wire::directory::feed_lines::{FeedLine, encode_commit, parse_feed_line};

/// The name of the file in the store's folder.
const LOG_NAME: &str = "unstored_changes";

/// The changes of one store. Shared by who applies and who flushes.
pub struct UnstoredChanges {
    inner: Mutex<Inner>,
    age_keeper: AgeKeeper,
}

/// A moment in the sequence of what is recorded and applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorePosition(u64);

struct Inner {
    /// `None` if there was no room for it.
    log: Option<ChangeLog>,
    commits: Vec<UnstoredCommit>,
    /// Counts what is recorded and applied, so that a flush knows what came before it.
    position: u64,
    held: Option<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    since: Time,
    survives_restart: bool,
}

/// The restrictions of one commit.
struct UnstoredCommit {
    seq: u64,
    /// `None` if they did not fit, or cannot be read.
    changes: Option<Vec<Change>>,
    /// The entry of the file.
    content: Vec<u8>,
    /// 0 for what was in the file at the start.
    recorded_at: u64,
    applied_at: Option<u64>,
    is_logged: bool,
}

impl UnstoredChanges {
    /// Opens the file in the store's folder. What is in it is held from now on. Blocks.
    #[must_use]
    pub fn open(folder: &Path, now: Time) -> Self {
        let mut inner = Inner { log: None, commits: Vec::new(), position: 0, held: None };
        match ChangeLog::open(&folder.join(LOG_NAME)) {
            Ok((log, content)) => {
                inner.log = Some(log);
                inner.take_logged(content, now);
            }
            // What it has in it is not known.
            Err(error) if folder.join(LOG_NAME).symlink_metadata().is_ok() => {
                tracing::error!("failed to read what the store had not taken: {error}");
                return Self::unreadable(folder, now);
            }
            Err(error) => tracing::warn!(
                "failed to reserve room for changes that the store cannot take: {error}; make room on this disk and restart: a restart on a full disk may find that nothing can be answered without the primary"
            ),
        }
        Self { inner: Mutex::new(inner), age_keeper: AgeKeeper::in_store(folder) }
    }

    /// As [`UnstoredChanges::open`], where the file cannot be read: something unknown is held.
    #[must_use]
    pub fn unreadable(folder: &Path, now: Time) -> Self {
        let mut inner = Inner { log: None, commits: Vec::new(), position: 0, held: None };
        inner.take_logged(LogContent::Damaged, now);
        Self { inner: Mutex::new(inner), age_keeper: AgeKeeper::in_store(folder) }
    }

    /// Remembers the restrictions of the next commit, which is about to be applied.
    pub fn record(&self, head: Head, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.lock().record(head, changes);
        }
    }

    /// Notes that the store has a commit's changes, though not on disk.
    pub fn mark_applied(&self, seq: u64) {
        let mut inner = self.lock();
        inner.position += 1;
        let position = inner.position;
        for commit in inner.commits.iter_mut().filter(|commit| commit.seq == seq && commit.recorded_at > 0) {
            commit.applied_at = Some(position);
        }
    }

    /// Returns the present position: what was applied before it is on disk after a flush that begins now.
    #[must_use]
    pub fn position(&self) -> StorePosition {
        StorePosition(self.lock().position)
    }

    /// Forgets what was applied up to `applied`, which is on disk, and what was recorded up to `superseded`, after which the store was
    /// found equal to the primary. Returns whether what was held is held no more. Blocks.
    pub fn on_stored(&self, applied: StorePosition, superseded: Option<StorePosition>) -> bool {
        let mut inner = self.lock();
        inner.commits.retain(|commit| {
            let is_stored = commit.applied_at.is_some_and(|at| at <= applied.0);
            let is_superseded = superseded.is_some_and(|superseded| commit.recorded_at <= superseded.0);
            !is_stored && !is_superseded
        });
        if inner.held.is_none() || !inner.commits.is_empty() {
            return false;
        }
        if let Some(Err(error)) = inner.log.as_mut().map(ChangeLog::clear) {
            tracing::warn!(
                "failed to clear the file of unstored changes: {error}; after a restart they bind again until the feed is heard"
            );
        }
        inner.held = None;
        true
    }

    /// Holds what is remembered, and writes what is not in the file yet. Returns whether anything is held. Blocks.
    pub fn hold(&self, now: Time) -> bool {
        let mut inner = self.lock();
        if inner.commits.is_empty() && inner.held.is_none() {
            return false;
        }
        let survives_restart = inner.write_log();
        let since = inner.held.map_or(now, |held| held.since);
        inner.held = Some(Held { since, survives_restart });
        drop(inner);
        if !survives_restart && let Err(error) = self.age_keeper.forget() {
            tracing::error!(
                "failed to remove the saved age: {error}; after a restart this host may accept what was revoked until it hears the primary"
            );
        }
        true
    }

    /// Returns whether something is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lock().held.is_some()
    }

    /// Returns what is held, for answers; `None` if nothing is.
    #[must_use]
    pub fn held(&self) -> Option<HeldChanges> {
        let inner = self.lock();
        let Held { since, survives_restart } = inner.held?;
        let (mut changes, mut count) = (ChangeSet::default(), 0);
        for change in inner.commits.iter().filter_map(|commit| commit.changes.as_ref()).flatten() {
            changes.add(change);
            count += 1;
        }
        let is_complete = inner.commits.iter().all(|commit| commit.changes.is_some());
        Some(HeldChanges { changes: Arc::new(changes), count, since, is_complete, survives_restart })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Holds what was in the file at the start.
    fn take_logged(&mut self, content: LogContent, now: Time) {
        let logged = |seq, changes, content| UnstoredCommit { seq, changes, content, recorded_at: 0, applied_at: None, is_logged: true };
        self.commits = match content {
            LogContent::Damaged => vec![logged(0, None, Vec::new())],
            LogContent::Entries(entries) => {
                let commits = entries.into_iter().map(|entry| match parse_entry(&entry) {
                    Some(Commit { seq, changes, .. }) => logged(seq, Some(changes), entry),
                    None => logged(0, None, entry),
                });
                commits.collect()
            }
        };
        if !self.commits.is_empty() {
            tracing::warn!("{} commits that the store had not taken before the last stop bind until it has", self.commits.len());
            self.held = Some(Held { since: now, survives_restart: true });
        }
    }

    fn record(&mut self, head: Head, changes: Vec<Change>) {
        self.position += 1;
        let content = encode_commit(&Commit { seq: head.seq, state: head.state, changes: changes.clone() }).into_bytes();
        let bytes: usize = self.commits.iter().map(|commit| entry_bytes(commit.content.len())).sum();
        let fits = bytes.saturating_add(entry_bytes(content.len())) <= entries_capacity();
        let (changes, content) = if fits { (Some(changes), content) } else { (None, Vec::new()) };
        if !fits {
            // One stands for all that do not fit: it is gone when the last of them is stored.
            self.commits.retain(|commit| commit.changes.is_some() || commit.recorded_at == 0);
        }
        let commit = UnstoredCommit { seq: head.seq, changes, content, recorded_at: self.position, applied_at: None, is_logged: false };
        self.commits.push(commit);
    }

    /// Writes what is not in the file yet; returns whether all that is remembered is in it.
    fn write_log(&mut self) -> bool {
        let Some(log) = &mut self.log else { return false };
        for commit in self.commits.iter_mut().filter(|commit| commit.changes.is_some() && !commit.is_logged) {
            match log.append(&commit.content) {
                Ok(()) => commit.is_logged = true,
                Err(error) => tracing::error!("failed to write what the store cannot take: {error}"),
            }
        }
        self.commits.iter().all(|commit| commit.is_logged)
    }
}

fn parse_entry(entry: &[u8]) -> Option<Commit> {
    match parse_feed_line(std::str::from_utf8(entry).ok()?) {
        Ok(FeedLine::Commit(commit)) => Some(commit),
        Ok(FeedLine::Heartbeat { .. }) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::UnstoredChanges;
    use crate::model::change::{Change, Epoch, Head};
    use crate::model::changed_directory::ChangedDirectory;
    use crate::model::digest::DirectoryDigest;
    use crate::model::directory::Directory;
    use crate::model::memory_directory::MemoryDirectory;
    use crate::model::time::Time;
    use crate::replica::tests::test_replica::{delete_key, fingerprint, key_entry, put_entry};
    use crate::store::files::change_log::LOG_BYTES;

    fn head(seq: u64) -> Head {
        Head { epoch: Epoch(1), seq, state: DirectoryDigest::default() }
    }

    fn open(folder: &Path) -> UnstoredChanges {
        UnstoredChanges::open(folder, Time::EPOCH)
    }

    /// Whether key 1, which a directory has, is still found through what is held.
    fn has_key(unstored: &UnstoredChanges) -> bool {
        let directory = MemoryDirectory::from_records([key_entry(1, "t").record().unwrap().as_ref().clone()]);
        let changes = unstored.held().map(|held| held.changes).unwrap_or_default();
        ChangedDirectory::new(std::sync::Arc::new(directory), changes).key_by_fingerprint(&fingerprint(1)).unwrap().is_some()
    }

    #[test]
    fn what_a_flush_has_written_is_forgotten_and_nothing_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let unstored = open(folder.path());
        unstored.record(head(2), vec![delete_key(1)]);
        unstored.mark_applied(2);
        let position = unstored.position();
        unstored.record(head(3), vec![delete_key(2)]);
        unstored.mark_applied(3);
        assert!(!unstored.on_stored(position, None));
        assert!(unstored.hold(Time::EPOCH), "the last one is not on disk");
        assert_eq!(unstored.held().unwrap().count, 1);
        assert!(unstored.on_stored(unstored.position(), None) && !unstored.is_held());
        assert!(!unstored.hold(Time::EPOCH), "there is nothing to hold");
        assert!(open(folder.path()).held().is_none());
    }

    #[test]
    fn what_is_held_binds_again_after_a_restart_until_the_store_equals_the_primary() {
        let folder = tempfile::tempdir().unwrap();
        let unstored = open(folder.path());
        assert!(has_key(&unstored));
        unstored.record(head(2), vec![delete_key(1)]);
        assert!(unstored.hold(Time::EPOCH) && !has_key(&unstored));
        drop(unstored);
        let unstored = open(folder.path());
        let held = unstored.held().unwrap();
        assert!(!has_key(&unstored) && held.is_complete && held.survives_restart);
        // The feed brings a later commit, the one that is held never: a flush of the store alone does not have it.
        unstored.record(head(9), vec![delete_key(5)]);
        unstored.mark_applied(9);
        assert!(!unstored.on_stored(unstored.position(), None) && !has_key(&unstored));
        assert!(unstored.on_stored(unstored.position(), Some(unstored.position())) && has_key(&unstored));
        assert!(open(folder.path()).held().is_none());
    }

    #[test]
    fn a_commit_that_fails_to_apply_after_the_store_was_found_equal_stays_held() {
        let folder = tempfile::tempdir().unwrap();
        let unstored = open(folder.path());
        let position = unstored.position();
        unstored.record(head(2), vec![delete_key(1)]);
        assert!(unstored.hold(Time::EPOCH));
        assert!(!unstored.on_stored(position, Some(position)) && !has_key(&unstored));
    }

    #[test]
    fn what_does_not_fit_is_reported_and_leaves_no_age_for_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("age"), "an age").unwrap();
        let unstored = open(folder.path());
        let large = "x".repeat(usize::try_from(LOG_BYTES).unwrap() / 3);
        for seq in 2..4 {
            unstored.record(head(seq), vec![put_entry(key_entry(seq, &large))]);
        }
        assert!(unstored.hold(Time::EPOCH));
        assert!(unstored.held().is_some_and(|held| held.is_complete && held.survives_restart));
        assert!(folder.path().join("age").exists());
        unstored.record(head(4), vec![put_entry(key_entry(4, &large)), delete_key(1)]);
        assert!(unstored.hold(Time::EPOCH));
        assert!(unstored.held().is_some_and(|held| !held.is_complete && !held.survives_restart));
        assert!(!folder.path().join("age").exists());
        assert!(unstored.on_stored(unstored.position(), Some(unstored.position())), "until the store has all");
    }

    #[test]
    fn a_damaged_file_means_that_something_unknown_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let unstored = open(folder.path());
        unstored.record(head(2), vec![delete_key(1)]);
        unstored.hold(Time::EPOCH);
        let path = folder.path().join(super::LOG_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096 + 50] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let unstored = open(folder.path());
        assert!(unstored.held().is_some_and(|held| !held.is_complete));
        assert!(unstored.on_stored(unstored.position(), Some(unstored.position())));
        assert!(open(folder.path()).held().is_none());
    }

    #[test]
    fn without_a_file_it_binds_and_a_restart_knows_no_age() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(super::LOG_NAME).with_extension("new")).unwrap();
        std::fs::write(folder.path().join("age"), "an age").unwrap();
        let unstored = open(folder.path());
        let change: Change = delete_key(1);
        unstored.record(head(2), vec![change]);
        assert!(unstored.hold(Time::EPOCH) && !has_key(&unstored));
        assert!(unstored.held().is_some_and(|held| held.is_complete && !held.survives_restart));
        assert!(!folder.path().join("age").exists());
    }

    #[test]
    fn a_file_that_cannot_be_read_means_that_something_unknown_is_held() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(super::LOG_NAME)).unwrap();
        assert!(open(folder.path()).held().is_some_and(|held| !held.is_complete));
    }
}
