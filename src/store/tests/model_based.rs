//! A generation compared with a plain map: random changes to few records, with pages so small that they split and merge all the
//! time, and every lookup made after every batch. Also readers beside a writer, and damaged files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use crate::model::change::{Change, Epoch};
use crate::model::digest::DirectoryDigest;
use crate::model::directory::{Container, Directory};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::model::memory_directory::ed25519_public_key;
use crate::model::record_grammar::{self, is_answerable};
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::pages::page::PageLimits;
use crate::store::pages::page_transaction::MapPageLimits;
use crate::store::tests::sample_records::{ReferenceModel, any_change, any_record_line, entry, key_line};

const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 4 << 20, record_cache_entries: 64 };

const TINY_PAGE: PageLimits = PageLimits { fill_items: 3, fill_bytes: 600, max_items: 5, max_bytes: 900 };
const TINY_PAGES: MapPageLimits = MapPageLimits { records: TINY_PAGE, index: TINY_PAGE };

fn id(number: u64) -> Id {
    number.try_into().unwrap()
}

macro_rules! matching_records {
    ($model:expr, $kind:ident, $test:expr) => {
        matching_records!($model, $kind, $test, is_answerable)
    };
    ($model:expr, $kind:ident, $test:expr, $counts:expr) => {
        $model.records(|record| match record {
            Record::$kind(found) if $test(found) && $counts(record) => Some(found),
            _ => None,
        })
    };
}

macro_rules! assert_same_record {
    ($left:expr, $model:expr, $kind:ident, $test:expr) => {
        let found = $left.unwrap();
        let all = matching_records!($model, $kind, $test);
        prop_assert_eq!(found.as_deref(), all.first());
    };
}

macro_rules! assert_same_records {
    ($left:expr, $model:expr, $kind:ident, $test:expr) => {
        let found: Vec<_> = $left.unwrap().iter().map(|found| found.as_ref().clone()).collect();
        prop_assert_eq!(found, matching_records!($model, $kind, $test))
    };
}

/// Compares the results of all lookups.
fn assert_matches_model(generation: &Generation, model: &ReferenceModel) -> Result<(), TestCaseError> {
    use crate::model::record::*;
    prop_assert_eq!(generation.state(), model.state());
    let invalid = model.0.values().filter(|entry| entry.record().is_some_and(|record| record_grammar::check(record).is_err())).count();
    let counted = generation.invalid_records().map(|counted| counted.count());
    prop_assert!(counted.is_none_or(|counted| counted == invalid as u64), "counted with each change");
    prop_assert!(generation.is_intact().unwrap());
    prop_assert_eq!(generation.invalid_records().unwrap().count(), invalid as u64);
    let entries: Vec<Entry> = generation.entries().map(Result::unwrap).collect();
    prop_assert!(entries.iter().eq(model.0.values()));
    prop_assert_eq!(generation.counts_by_kind().values().sum::<u64>(), model.0.len() as u64);
    for number in 1..16 {
        let id = id(number);
        assert_same_record!(generation.user(id), model, User, |user: &User| user.id == id);
        assert_same_record!(generation.key(id), model, Key, |key: &Key| key.id == id);
        let print = ed25519_public_key(number).parse::<PublicKey>().unwrap().fingerprint();
        assert_same_record!(generation.key_by_fingerprint(&print), model, Key, |key: &Key| key.key.fingerprint() == print);
        assert_same_record!(generation.namespace(id), model, Namespace, |namespace: &Namespace| namespace.id == id);
        assert_same_record!(generation.project(id), model, Project, |project: &Project| project.id == id);
        let inside = matching_records!(model, Project, |project: &Project| project.namespace_id == id, |_| true).len() as u64;
        prop_assert_eq!(generation.count_projects_in(id), Ok(inside));
        assert_same_records!(generation.deploy_grants(id), model, DeployGrant, |grant: &DeployGrant| grant.key_id == id);
        assert_same_records!(generation.protected_branches(id), model, ProtectedBranch, |branch: &ProtectedBranch| branch.project_id == id);
        assert_same_records!(generation.protected_tags(id), model, ProtectedTag, |tag: &ProtectedTag| tag.project_id == id);
        for container in [Container::Namespace(id), Container::Project(id)] {
            let here = |namespace: Option<Id>, project: Option<Id>| {
                namespace.map(Container::Namespace).or(project.map(Container::Project)) == Some(container)
            };
            assert_same_records!(generation.shares(container), model, Share, |share: &Share| here(share.namespace_id, share.project_id));
            for user in (1..6).map(self::id) {
                let own = |member: &Member| member.user_id == user && here(member.namespace_id, member.project_id);
                assert_same_record!(generation.member(container, user), model, Member, own);
            }
        }
    }
    for name in ["a", "B", "bB", "C/D", "none"] {
        assert_same_record!(generation.user_by_username(name), model, User, |user: &User| user.username.eq_ignore_ascii_case(name));
        assert_same_record!(generation.namespace_by_path(name), model, Namespace, |namespace: &Namespace| namespace
            .path
            .eq_ignore_ascii_case(name));
        assert_same_record!(generation.project_by_path(name), model, Project, |project: &Project| project.path.eq_ignore_ascii_case(name));
        let redirect = matching_records!(model, Redirect, |redirect: &Redirect| redirect.from.eq_ignore_ascii_case(name));
        let redirected = redirect.first().and_then(|redirect| generation.project(redirect.project_id).unwrap());
        prop_assert_eq!(generation.project_by_former_path(name), Ok(redirected));
    }
    let settings = matching_records!(model, Settings, |_: &Settings| true);
    prop_assert_eq!(generation.settings().unwrap().ssh_enabled, settings.first().is_none_or(|settings| settings.ssh_enabled));
    Ok(())
}

fn create_generation(folder: &Path, model: &ReferenceModel, limits: MapPageLimits) -> Generation {
    let entries = model.0.values().cloned().map(Ok::<_, StoreError>);
    Generation::create_with_limits(folder, &OPTIONS, limits, entries).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_generation_is_the_map_that_the_changes_make(
        first in prop::collection::vec(any_record_line(), 0..40),
        batches in prop::collection::vec(prop::collection::vec(any_change(), 0..30), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut model = ReferenceModel::default();
        for line in first {
            model.apply(&Change::Put(entry(&line)));
        }
        let generation = create_generation(folder.path(), &model, TINY_PAGES);
        assert_matches_model(&generation, &model)?;
        for (seq, batch) in (1..).zip(&batches) {
            for change in batch {
                model.apply(change);
            }
            prop_assert_eq!(generation.apply(batch, Some((Epoch(7), seq))).unwrap(), model.state());
            assert_matches_model(&generation, &model)?;
        }
        let head = generation.head().unwrap();
        prop_assert_eq!((head.seq, head.state), (batches.len() as u64, model.state()));
        generation.flush().unwrap();
        drop(generation);
        let generation = Generation::open(folder.path(), &OPTIONS).unwrap();
        prop_assert_eq!(generation.head(), Some(head));
        assert_matches_model(&generation, &model)?;
    }

    /// The snapshot is read while commits are made: each record as it was at some moment. Replaying all commits over it ends in
    /// the state of the primary, exactly.
    #[test]
    fn replaying_commits_over_a_snapshot_read_meanwhile_is_exact(
        first in prop::collection::vec(any_record_line(), 0..30),
        changes in prop::collection::vec(any_change(), 0..60),
        moments in prop::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let mut states = vec![ReferenceModel::default()];
        for line in first {
            states[0].apply(&Change::Put(entry(&line)));
        }
        for change in &changes {
            let mut next = states.last().unwrap().clone();
            next.apply(change);
            states.push(next);
        }
        let places: BTreeSet<&SortKey> = states.iter().flat_map(|state| state.0.keys()).collect();
        let seen = places.into_iter().zip(moments.iter().cycle()).filter_map(|(place, moment)| {
            moment.get(&states).0.get(place).map(|entry| (place.clone(), entry.clone()))
        });
        let snapshot = ReferenceModel(seen.collect());
        let folder = tempfile::tempdir().unwrap();
        let generation = create_generation(folder.path(), &snapshot, TINY_PAGES);
        generation.apply(&changes, None).unwrap();
        assert_matches_model(&generation, states.last().unwrap())?;
    }
}

#[test]
fn a_put_of_what_is_there_and_a_delete_of_what_is_not_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let line = entry(&key_line(1, 1, "t"));
    let generation = Generation::create(folder.path(), &OPTIONS, [Ok::<_, StoreError>(line.clone())].into_iter()).unwrap();
    let before = generation.state();
    let changes = [
        Change::Put(line),
        Change::Delete(RecordIdentity::Key(id(9))),
        Change::Delete(RecordIdentity::Other(SortKey::user(id(1)), "{}".into())),
    ];
    assert_eq!(generation.apply(&changes, None), Ok(before));
    assert_eq!(generation.head(), None);
}

#[test]
fn a_key_whose_blob_is_replaced_is_not_found_by_the_old_blob() {
    let folder = tempfile::tempdir().unwrap();
    let generation = Generation::create(folder.path(), &OPTIONS, [Ok::<_, StoreError>(entry(&key_line(5, 1, "old")))].into_iter()).unwrap();
    let print = |number| ed25519_public_key(number).parse::<PublicKey>().unwrap().fingerprint();
    assert!(generation.key_by_fingerprint(&print(1)).unwrap().is_some());
    generation.apply(&[Change::Put(entry(&key_line(5, 2, "new")))], None).unwrap();
    assert_eq!(generation.key_by_fingerprint(&print(1)), Ok(None));
    assert_eq!(generation.key(id(5)).unwrap().unwrap().title.as_str(), "new");
    assert_eq!(generation.state(), DirectoryDigest::default().with_record(key_line(5, 2, "new").as_bytes()));
}

#[test]
fn a_fingerprint_taken_by_another_id_leaves_the_old_id_empty() {
    let folder = tempfile::tempdir().unwrap();
    let generation = Generation::create(folder.path(), &OPTIONS, [Ok::<_, StoreError>(entry(&key_line(5, 1, "old")))].into_iter()).unwrap();
    assert!(generation.key(id(5)).unwrap().is_some());
    generation.apply(&[Change::Put(entry(&key_line(6, 1, "new")))], None).unwrap();
    assert_eq!(generation.key(id(5)), Ok(None));
    assert_eq!(generation.key(id(6)).unwrap().unwrap().title.as_str(), "new");
    // The old id is deleted late, as in a replay: the key that has moved on stays.
    generation.apply(&[Change::Delete(RecordIdentity::Key(id(5)))], None).unwrap();
    assert!(generation.key(id(6)).unwrap().is_some());
    assert!(generation.is_intact().unwrap());
}

#[test]
fn the_cursor_keeps_the_state_it_was_moved_at() {
    let folder = tempfile::tempdir().unwrap();
    let generation = Generation::create(folder.path(), &OPTIONS, std::iter::empty::<Result<_, StoreError>>()).unwrap();
    let first = generation.apply(&[Change::Put(entry(&key_line(1, 1, "t")))], Some((Epoch(1), 4))).unwrap();
    let second = generation.apply(&[Change::Put(entry(&key_line(2, 2, "t")))], None).unwrap();
    assert_ne!(first, second);
    assert_eq!((generation.head().unwrap().state, generation.state()), (first, second));
}

#[test]
fn entries_out_of_order_are_refused_and_an_unfinished_generation_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = vec![entry(&key_line(1, 1, "t")), entry(&key_line(2, 2, "t"))];
    lines.sort_by(|one, other| other.sort_key().cmp(one.sort_key()));
    let refused = Generation::create(folder.path(), &OPTIONS, lines.into_iter().map(Ok::<_, StoreError>));
    assert!(refused.err().unwrap().0.contains("order of a snapshot"));
    let unfinished = Generation::open(folder.path(), &OPTIONS).err().unwrap();
    assert!(unfinished.0.contains("never finished"), "{unfinished}");
}

#[test]
fn an_iteration_over_all_entries_continues_while_pages_split_and_merge() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = ReferenceModel::default();
    for number in 1..200 {
        model.apply(&Change::Put(entry(&key_line(number, number, "t"))));
    }
    let generation = create_generation(folder.path(), &model, TINY_PAGES);
    let mut seen = Vec::new();
    for (step, found) in generation.entries().enumerate() {
        seen.push(found.unwrap().sort_key().clone());
        let other = 1_000 + step as u64 % 50;
        let change = if step % 100 < 50 {
            Change::Put(entry(&key_line(other, other, "passing")))
        } else {
            Change::Delete(RecordIdentity::Key(id(other)))
        };
        generation.apply(&[change], None).unwrap();
    }
    assert!(seen.is_sorted());
    assert!(model.0.keys().all(|place| seen.binary_search(place).is_ok()), "what was there all the time was missed");
}

#[test]
fn readers_never_see_data_older_than_a_finished_change() {
    let folder = tempfile::tempdir().unwrap();
    let user = |version: u64| entry(&format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"{version}"}}"#));
    let generation = Generation::create(folder.path(), &OPTIONS, [Ok::<_, StoreError>(user(0))].into_iter()).unwrap();
    let (finished, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (generation, finished, stop) = (&generation, &finished, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let least = finished.load(Ordering::Acquire);
                    let found = if reader == 0 { generation.user_by_username("ZOE") } else { generation.user(id(1)) };
                    let version: u64 = found.unwrap().unwrap().name.parse().unwrap();
                    assert!(version >= least, "{version} was said after {least} was done");
                }
            });
        }
        for version in 1..400 {
            generation.apply(&[Change::Put(user(version))], None).unwrap();
            finished.store(version, Ordering::Release);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_username_that_moves_between_users_is_always_found() {
    let folder = tempfile::tempdir().unwrap();
    let user = |id: u64, name: &str| entry(&format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"N"}}"#));
    let generation = Generation::create(folder.path(), &OPTIONS, [Ok::<_, StoreError>(user(1, "zoe"))].into_iter()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(generation.user_by_username("zoe").unwrap().is_some());
            }
        });
        for round in 0..400_u64 {
            let (old, new) = (1 + round % 2, 2 - round % 2);
            generation.apply(&[Change::Put(user(old, "other")), Change::Put(user(new, "zoe"))], None).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// The database file is damaged at many offsets: it does not open, or a scan finds it, or it changed nothing, or the last batch is
/// missing and the cursor with it; and no lookup is ever wrong.
#[test]
fn damage_is_detected_and_never_gives_a_wrong_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = ReferenceModel::default();
    for number in 1..300 {
        model.apply(&Change::Put(entry(&key_line(number, number, "t"))));
    }
    let generation = create_generation(folder.path(), &model, MapPageLimits::DEFAULT);
    generation.apply(&[Change::Put(entry(&key_line(999, 999, "t")))], Some((Epoch(1), 1))).unwrap();
    model.apply(&Change::Put(entry(&key_line(999, 999, "t"))));
    generation.flush().unwrap();
    drop(generation);
    let (mut refused, mut found) = (0, 0);
    for round in 0..60_usize {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
            }
        }
        if round % 2 == 0 {
            for file in std::fs::read_dir(copy.path()).unwrap() {
                let path = file.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
        let mut bytes = std::fs::read(copy.path().join("db")).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let at = used * (round + 1) / 61;
        let length = if round % 3 == 0 { 1 } else { 700 };
        for byte in bytes.iter_mut().skip(at).take(length) {
            *byte = if round % 3 == 1 { 0 } else { *byte ^ 0x55 };
        }
        std::fs::write(copy.path().join("db"), bytes).unwrap();
        let Ok(generation) = Generation::open(copy.path(), &OPTIONS) else {
            refused += 1;
            continue;
        };
        let whole = generation.is_intact();
        if whole != Ok(true) {
            found += 1;
        }
        for number in (1..300).chain([999]) {
            let print = ed25519_public_key(number).parse::<PublicKey>().unwrap().fingerprint();
            match generation.key_by_fingerprint(&print) {
                Ok(Some(key)) => assert_eq!(key.id, id(number)),
                Ok(None) if number == 999 && generation.head().is_none() => {}
                Ok(None) => assert!(whole != Ok(true), "key {number} is lost, and the scan says all is well"),
                Err(_) => {}
            }
        }
    }
    assert!(refused + found > 10, "{refused} refused, {found} found: the damage was not done");
}
