//! Commits, journal, generations and restarts of a primary's store, with small limits.

use std::fs;
use std::path::Path;

use crate::model::change::{Change, Head};
use crate::model::directory::Directory as _;
use crate::model::record_identity::RecordIdentity;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::generations::generation::StoreOptions;
use crate::store::pages::page_map::PageMap;
use crate::store::primary::journal::JournalLimits;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore, StoreLimits};
use crate::store::tests::sample_records::{entry, key_line};

const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 64 };
const SMALL: StoreLimits = StoreLimits { changes: 10, bytes: 100_000, journal: JournalLimits { max_commits: 5, max_bytes: 1 << 20 } };

fn open(folder: &Path) -> PrimaryStore {
    PrimaryStore::open_with_limits(folder, OPTIONS, SMALL).unwrap()
}

fn put(number: u64) -> Change {
    Change::Put(entry(&key_line(number, number, "t")))
}

fn delete(number: u64) -> Change {
    Change::Delete(RecordIdentity::Key(number.try_into().unwrap()))
}

fn commit(store: &PrimaryStore, changes: Vec<Change>) -> Head {
    store.commit(|_| Ok::<_, StoreError>((changes, ()))).unwrap().0
}

fn after(store: &PrimaryStore, head: Head, limit: usize) -> CommitsAfter {
    store.commits_after(head.epoch, head.seq, head.state.digest, limit).unwrap()
}

fn numbers(after: CommitsAfter) -> Vec<u64> {
    match after {
        CommitsAfter::Commits(commits) => commits.iter().map(|commit| commit.seq).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn epoch_and_seed_are_made_with_the_store_and_stay() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, another) = (open(folder.path()), open(other.path()));
    let (head, seed) = (store.head(), store.token_seed());
    assert_eq!((head.seq, head.state.count), (0, 0));
    assert_ne!(head.epoch, another.head().epoch);
    assert_ne!(seed, another.token_seed());
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.head(), store.token_seed()), (head, seed));
}

#[test]
fn commits_are_in_the_journal_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let start = store.head();
    let first = commit(&store, vec![put(1), delete(7), put(2)]);
    let second = commit(&store, vec![delete(1)]);
    let CommitsAfter::Commits(commits) = after(&store, start, 10) else { panic!() };
    assert_eq!(commits[0].changes, [delete(7), put(1), put(2)], "deletes come first");
    assert_eq!((commits[1].seq, commits[1].state), (second.seq, second.state));
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.head(), second);
    assert_eq!(after(&store, start, 10), CommitsAfter::Commits(commits));
    assert_eq!(numbers(after(&store, start, 1)), [1]);
    assert_eq!(numbers(after(&store, first, 10)), [2]);
    assert_eq!(after(&store, second, 10), CommitsAfter::Commits(Vec::new()));
}

#[test]
fn what_makes_no_difference_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let head = commit(&store, vec![put(1)]);
    assert_eq!(commit(&store, vec![]), head);
    assert_eq!(commit(&store, vec![put(1), delete(5)]), head);
    assert_eq!(store.replace_directory([Ok::<_, StoreError>(entry(&key_line(1, 1, "t")))].into_iter()), Ok(head));
    let refused = store.commit(|_| Err::<(Vec<Change>, ()), _>(StoreError("no".to_owned())));
    assert_eq!(refused, Err(StoreError("no".to_owned())));
    assert_eq!(store.head(), head);
}

#[test]
fn a_cursor_before_the_journal_or_of_another_epoch_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let start = store.head();
    let heads: Vec<_> = (1..=8).map(|number| commit(&store, vec![put(number)])).collect();
    assert_eq!(after(&store, start, 10), CommitsAfter::Gone);
    assert_eq!(after(&store, heads[1], 10), CommitsAfter::Gone);
    assert_eq!(numbers(after(&store, heads[2], 10)), [4, 5, 6, 7, 8]);
    let renewed = store.start_new_epoch().unwrap();
    assert_eq!((renewed.seq, renewed.state), (heads[7].seq, heads[7].state));
    assert_eq!(after(&store, heads[7], 10), CommitsAfter::Gone);
    assert_eq!(after(&store, renewed, 10), CommitsAfter::Commits(Vec::new()));
    commit(&store, vec![put(9)]);
    assert_eq!(numbers(after(&store, renewed, 10)), [9]);
    drop(store);
    assert_eq!(numbers(after(&open(folder.path()), renewed, 10)), [9]);
}

#[test]
fn a_cursor_ahead_or_with_another_digest_has_diverged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let start = store.head();
    let first = commit(&store, vec![put(1)]);
    let head = commit(&store, vec![put(2)]);
    assert_eq!(after(&store, Head { seq: 9, ..head }, 10), CommitsAfter::Diverged(head));
    assert_eq!(after(&store, Head { seq: 0, ..head }, 10), CommitsAfter::Diverged(head));
    assert_eq!(after(&store, Head { state: head.state, ..first }, 10), CommitsAfter::Diverged(head));
    assert_eq!(after(&store, Head { state: start.state, ..head }, 10), CommitsAfter::Diverged(head));
}

#[test]
fn changes_too_large_for_a_commit_become_a_new_generation_with_a_new_journal() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = commit(&store, vec![put(1), put(2)]);
    let before = store.directory();
    let mut changes: Vec<_> = (3..40).map(put).collect();
    changes.extend([delete(1), Change::Put(entry(&key_line(2, 99, "moved")))]);
    let head = commit(&store, changes);
    assert_eq!((head.seq, head.state.count), (first.seq + 1, 38));
    assert_eq!(store.directory().state(), head.state);
    assert!(store.directory().is_intact().unwrap());
    assert_eq!(store.directory().key(2.try_into().unwrap()).unwrap().unwrap().title.as_str(), "moved");
    assert_eq!(after(&store, first, 10), CommitsAfter::Gone);
    assert_eq!(after(&store, head, 10), CommitsAfter::Commits(Vec::new()));
    // A reader of the replaced generation reads on; after that it is removed.
    assert_eq!(before.state(), first.state);
    assert_eq!(before.entries().count(), 2);
    let generations = || fs::read_dir(folder.path().join("generations")).unwrap().count();
    assert_eq!(generations(), 2);
    drop(before);
    after(&store, head, 10);
    assert_eq!(generations(), 1);
    let next = commit(&store, vec![put(50)]);
    assert_eq!(numbers(after(&store, head, 10)), [next.seq]);
    drop(store);
    assert_eq!(open(folder.path()).head(), next);
}

#[test]
fn replacing_the_directory_replaces_all_of_it_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = commit(&store, vec![put(1)]);
    let broken = [Ok(entry(&key_line(5, 5, "t"))), Err(StoreError("the file ends here".to_owned()))];
    assert!(store.replace_directory(broken.into_iter()).is_err());
    assert_eq!((store.head(), store.directory().state()), (first, first.state));
    let head = store.replace_directory([Ok::<_, StoreError>(entry(&key_line(5, 5, "t")))].into_iter()).unwrap();
    assert_eq!((head.epoch, head.seq), (first.epoch, first.seq + 1));
    assert!(store.directory().key(1.try_into().unwrap()).unwrap().is_none());
    assert_eq!(after(&store, first, 10), CommitsAfter::Gone);
}

#[test]
fn the_head_that_is_watched_moves_when_the_commit_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let watch = store.watch_head();
    assert!(!watch.has_changed().unwrap());
    let head = commit(&store, vec![put(1)]);
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow(), head);
}

#[test]
fn a_damaged_directory_is_refused_with_a_remedy_and_left_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, vec![put(1)]);
    drop(store);
    let current = folder.path().join("generations/1");
    let database = Database::open(&current, 1 << 20).unwrap();
    database.write_batch(vec![(PageMap::Records.page_key(&[]), None)]).unwrap();
    database.flush().unwrap();
    drop(database);
    for _ in 0..2 {
        let refused = PrimaryStore::open(folder.path(), OPTIONS).err().unwrap().to_string();
        assert!(refused.contains("restore the store's folder from a backup"), "{refused}");
    }
    assert!(current.exists() && folder.path().join("CURRENT").exists());
}
