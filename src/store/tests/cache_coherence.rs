//! The cache of decoded records beside the pages, one step at a time: what a lookup finds that begins, or ends, at the worst moment of a
//! change.

use std::sync::Arc;

use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::memory_directory::ed25519_public_key;
use crate::model::record::Key;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::apply::{AppliedChanges, apply_changes};
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::invalid_records::InvalidRecords;
use crate::store::generations::record_cache::{CachedRecord, RecordCacheKey};
use crate::store::pages::header::StoreHeader;
use crate::store::pages::page_transaction::MapPageLimits;
use crate::store::tests::sample_records::{entry, key_line};

const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 64 };

/// A generation with key 11 of user 1, which are both in the cache.
fn generation() -> (tempfile::TempDir, Generation) {
    let folder = tempfile::tempdir().unwrap();
    let entries = [user(""), entry(&key_line(11, 11, "t"))];
    let generation = Generation::create(folder.path(), &OPTIONS, entries.into_iter().map(Ok::<_, StoreError>)).unwrap();
    assert!(has_key(&generation) && state(&generation).contains("Active"));
    (folder, generation)
}

fn user(more: &str) -> Entry {
    entry(&format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"Zoe"{more}}}"#))
}

fn id(number: u64) -> Id {
    number.try_into().unwrap()
}

fn fingerprint() -> Fingerprint {
    ed25519_public_key(11).parse::<PublicKey>().unwrap().fingerprint()
}

/// By its blob and by its id.
fn has_key(generation: &Generation) -> bool {
    let by_blob = generation.key_by_fingerprint(&fingerprint()).unwrap().is_some();
    assert_eq!(by_blob, generation.key(id(11)).unwrap().is_some());
    by_blob
}

/// By id and by name.
fn state(generation: &Generation) -> String {
    let states = [generation.user(id(1)), generation.user_by_username("zoe")].map(|user| format!("{:?}", user.unwrap().unwrap().state));
    assert_eq!(states[0], states[1]);
    states[0].clone()
}

fn revocation() -> [Change; 2] {
    [Change::Delete(RecordIdentity::Key(id(11))), Change::Put(user(r#","state":"blocked""#))]
}

#[test]
fn a_lookup_that_begins_when_a_change_can_be_read_does_not_find_what_was_cached_before() {
    let (_folder, generation) = generation();
    let header = StoreHeader::load(generation.database()).unwrap();
    let AppliedChanges { writes, invalidated, .. } =
        apply_changes(generation.database(), &MapPageLimits::DEFAULT, header, InvalidRecords::default(), &revocation()).unwrap();
    let mut seen = None;
    generation.write_batch(writes, invalidated, || seen = Some((has_key(&generation), state(&generation)))).unwrap();
    assert_eq!(seen, Some((false, "Blocked".to_owned())), "the batch can be read, so it binds in every lookup");
    assert_eq!((has_key(&generation), state(&generation)), (false, "Blocked".to_owned()));
}

#[test]
fn a_lookup_that_is_overtaken_by_a_change_caches_nothing_of_what_it_has_read() {
    let (_folder, generation) = generation();
    let sort_key = SortKey::key(&fingerprint());
    let cache_key = RecordCacheKey::Record(sort_key.clone());
    // Not in the cache, so that the lookup reads.
    drop(generation.record_cache().begin_change(vec![cache_key.clone()]));
    let read_then_overtaken = || {
        let read = generation.load_entry(&sort_key)?;
        generation.apply(&revocation(), None)?;
        Ok(read.and_then(|entry| entry.record().map(|record| CachedRecord::from_record(record))))
    };
    let found: Option<Arc<Key>> = generation.cached_record(cache_key, read_then_overtaken).unwrap();
    assert!(found.is_some(), "it began before the change");
    assert_eq!((has_key(&generation), state(&generation)), (false, "Blocked".to_owned()), "but no later one");
}

#[test]
fn a_batch_that_could_not_be_written_leaves_nothing_in_the_cache_that_it_may_have_changed() {
    let (_folder, generation) = generation();
    let affected = vec![RecordCacheKey::Record(SortKey::key(&fingerprint()))];
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        generation.write_batch(Vec::new(), affected.clone(), || panic!("after the pages were reached"))
    }));
    assert!(failed.is_err());
    assert!(generation.record_cache().get(&affected[0]).is_none());
    assert!(has_key(&generation), "it is read again");
}
