//! What becomes of findings, in any order, and after restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{NO_GUARD, id, key, load_directory, open_store, public_key, user};
use crate::api::request::RequestTime;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::directory::held_ids::HeldIds;
use crate::mirror::directory::mirrored::MirroredDirectory;
use crate::mirror::directory::removals::{RecentRemovals, RemovedKind};
use crate::model::loss_guard::LossGuard;
use crate::model::record::{Key, Record, User};
use crate::model::time::{BootTime, Time};
use crate::store::primary::primary_store::PrimaryStore;

fn publish(directory: &MirroredDirectory, source: Source, findings: Vec<Finding>) -> crate::mirror::directory::finding::Published {
    let question = Arc::new(directory.clock.ask());
    let asked: Vec<_> = findings.into_iter().map(|finding| (finding, Some(Arc::clone(&question)))).collect();
    directory.publish_now(source, &asked).unwrap()
}

fn no_key(number: u64, byte: u8) -> Finding {
    Finding::NoKey { id: id(number), fingerprint: public_key(byte).fingerprint() }
}

fn put_user(number: u64, name: &str) -> Finding {
    Finding::User(Box::new(user(number, name)))
}

fn put_key(number: u64, byte: u8, owner: Option<u64>) -> Finding {
    Finding::Key(Box::new(key(number, byte, owner)))
}

/// All that is published.
fn contents(store: &PrimaryStore) -> (BTreeMap<u64, User>, BTreeMap<u64, Key>) {
    let (mut users, mut keys) = (BTreeMap::new(), BTreeMap::new());
    for entry in store.directory().entries() {
        match entry.unwrap().record().unwrap().as_ref() {
            Record::User(user) => drop(users.insert(user.id.number(), user.clone())),
            Record::Key(key) => drop(keys.insert(key.id.number(), key.clone())),
            Record::Settings(_) => {}
            other => panic!("a mirror publishes no {}", other.kind()),
        }
    }
    (users, keys)
}

fn names(store: &PrimaryStore) -> Vec<(u64, String)> {
    contents(store).0.into_iter().map(|(id, user)| (id, user.username.to_string())).collect()
}

#[test]
fn a_key_that_was_destroyed_while_its_page_was_under_way_does_not_come_back_with_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, NO_GUARD);
    publish(&directory, Source::FullWalk, vec![put_user(1, "zoe"), put_key(10, 1, Some(1))]);
    let page = Arc::new(directory.clock.ask());
    directory.publish_now(Source::Told, &[(no_key(10, 1), None)]).unwrap();
    let of_page = directory.publish_now(Source::FullWalk, &[(put_key(10, 1, Some(1)), Some(page))]).unwrap();
    assert_eq!((of_page.outdated, contents(&store).1.len()), (1, 0));
    publish(&directory, Source::Hook, vec![put_key(10, 1, Some(1))]);
    assert_eq!(contents(&store).1.len(), 1, "GitLab has it after all, asked later");
}

#[test]
fn an_older_answer_does_not_undo_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, NO_GUARD);
    let (first, second) = (Arc::new(directory.clock.ask()), Arc::new(directory.clock.ask()));
    directory.publish_now(Source::RecentWalk, &[(put_user(1, "new"), Some(second))]).unwrap();
    directory.publish_now(Source::FullWalk, &[(put_user(1, "old"), Some(first))]).unwrap();
    assert_eq!(names(&store), [(1, "new".to_owned())]);
}

#[test]
fn a_name_that_another_user_holds_is_not_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, NO_GUARD);
    publish(&directory, Source::FullWalk, vec![put_user(1, "zoe"), put_user(2, "max")]);
    let published = publish(&directory, Source::Hook, vec![put_user(2, "Zoe")]);
    assert_eq!((published.name_holders, published.changes), (vec![id(1)], 0), "1 has to be asked for first");
    publish(&directory, Source::Hook, vec![put_user(1, "max"), put_user(2, "zoe")]);
    assert_eq!(names(&store), [(1, "max".to_owned()), (2, "zoe".to_owned())]);
    publish(&directory, Source::Hook, vec![Finding::NoUser(id(1)), put_user(2, "max")]);
    assert_eq!(names(&store), [(2, "max".to_owned())]);
}

#[test]
fn a_user_goes_with_all_keys_and_a_key_without_its_owner_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, NO_GUARD);
    publish(&directory, Source::FullWalk, vec![put_user(1, "zoe"), put_key(10, 1, Some(1)), put_key(11, 2, Some(1)), put_key(12, 3, None)]);
    assert_eq!(publish(&directory, Source::Hook, vec![put_key(13, 4, Some(7))]).ownerless, 1);
    publish(&directory, Source::Hook, vec![Finding::NoUser(id(1))]);
    assert_eq!(contents(&store).1.into_keys().collect::<Vec<_>>(), [12], "a deploy key is nobody's");
}

#[test]
fn the_same_key_under_another_id_replaces_it_and_the_old_id_denies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, NO_GUARD);
    publish(&directory, Source::FullWalk, vec![put_user(1, "zoe"), put_user(2, "max"), put_key(10, 1, Some(1))]);
    publish(&directory, Source::Hook, vec![put_key(20, 1, Some(2))]);
    directory.publish_now(Source::Told, &[(no_key(10, 1), None)]).unwrap();
    let keys = contents(&store).1;
    assert_eq!((keys.len(), keys[&20].user_id), (1, Some(id(2))));
    assert_eq!((directory.key_ids_of(Some(id(1))), directory.key_ids_of(Some(id(2)))), (vec![], vec![id(20)]));
}

#[test]
fn removals_one_by_one_are_held_back_once_they_are_too_many_and_what_gitlab_told_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, LossGuard { share: 0.2, more_than: 3 });
    let keys = (0..20).map(|number| put_key(100 + number, u8::try_from(number).unwrap(), Some(1)));
    publish(&directory, Source::FullWalk, std::iter::once(put_user(1, "zoe")).chain(keys).collect());
    let remove = |number: u64| no_key(100 + number, u8::try_from(number).unwrap());
    directory.publish_now(Source::Told, &[(remove(0), None)]).unwrap();
    for number in 1..4 {
        assert!(publish(&directory, Source::Verification, vec![remove(number)]).held_back.is_empty(), "{number}");
    }
    let held_back = publish(&directory, Source::Verification, vec![remove(4), put_user(1, "zoe2")]).held_back;
    assert_eq!((held_back[0].0, held_back[0].1.lost, held_back[0].1.total), (RemovedKind::Key, 5, 20));
    assert_eq!((contents(&store).1.len(), names(&store)[0].1.as_str()), (16, "zoe2"), "the rest is published");
    assert!(!directory.excessive_losses(0, 1).unwrap().is_empty());
    directory.publish_now(Source::Told, &[(remove(4), None)]).unwrap();
    assert_eq!(contents(&store).1.len(), 15);
}

#[test]
fn what_was_removed_before_a_restart_counts_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let guard = LossGuard { share: 0.2, more_than: 3 };
    let remove = |number: u64| no_key(100 + number, u8::try_from(number).unwrap());
    {
        let store = open_store(folder.path());
        let directory = load_directory(&store, guard);
        let keys = (0..20).map(|number| put_key(100 + number, u8::try_from(number).unwrap(), Some(1)));
        publish(&directory, Source::FullWalk, std::iter::once(put_user(1, "zoe")).chain(keys).collect());
        assert!(publish(&directory, Source::Verification, (0..4).map(remove).collect()).held_back.is_empty());
    }
    let store = open_store(folder.path());
    let directory = load_directory(&store, guard);
    let held_back = publish(&directory, Source::Verification, vec![remove(4)]).held_back;
    assert_eq!(held_back.first().map(|(kind, loss)| (*kind, loss.lost, loss.total)), Some((RemovedKind::Key, 5, 20)));
}

#[test]
fn removals_of_a_process_before_count_by_the_wall_clock_until_they_are_a_day_old() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let at = |boot: Duration, since: Duration| RequestTime { boot: BootTime(boot), wall: Time::EPOCH.plus(since) };
    let mut before = RecentRemovals::default();
    before.record(1, 3, BootTime(hours(100)));
    before.store(store.private_store(), at(hours(101), hours(1))).unwrap();
    // The host has booted meanwhile.
    let mut after = RecentRemovals::load(store.private_store(), at(hours(0), hours(20))).unwrap();
    let count =
        |removals: &mut RecentRemovals, boot| [RemovedKind::User, RemovedKind::Key].map(|kind| removals.count(kind, BootTime(boot)));
    assert_eq!((count(&mut after, hours(0)), count(&mut after, hours(4))), ([1, 3], [1, 3]));
    assert_eq!(count(&mut after, hours(5)), [0, 0]);
}

#[test]
fn the_keys_of_another_gitlab_under_the_same_ids_do_not_take_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, LossGuard { share: 0.2, more_than: 3 });
    let keys = |from: u8| (0..20_u8).map(move |number| put_key(100 + u64::from(number), from + number, Some(1)));
    publish(&directory, Source::FullWalk, std::iter::once(put_user(1, "zoe")).chain(keys(0)).collect());
    let before = contents(&store);
    let published = publish(&directory, Source::FullWalk, keys(100).collect());
    assert_eq!((published.held_back[0].1.lost, published.changes), (20, 0), "a wrong database");
    assert_eq!(contents(&store), before);
    publish(&directory, Source::Hook, keys(100).take(1).collect());
    assert_eq!(contents(&store).1[&100].key, public_key(100), "one may be");
}

#[test]
fn settings_are_published_once_and_again_only_if_gitlab_shows_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(folder.path());
    let directory = load_directory(&store, NO_GUARD);
    let settings = |host: &str| match Record::parse(&format!(r#"{{"kind":"settings","host":"{host}"}}"#)).unwrap() {
        Record::Settings(settings) => settings,
        _ => unreachable!(),
    };
    assert_eq!(directory.settings().unwrap(), None);
    let published = ["a.example", "a.example", "b.example"].map(|host| directory.publish_settings_now(settings(host)).unwrap());
    assert_eq!((published, store.head().seq), ([true, false, true], 2));
    assert_eq!(directory.settings().unwrap(), Some(settings("b.example")));
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<(u8, u64, u8, u64)>),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let finding = (0_u8..4, 1_u64..6, 0_u8..6, 1_u64..6);
    prop_oneof![9 => proptest::collection::vec(finding, 1..5).prop_map(Step::Publish), 1 => Just(Step::Restart)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is found, nobody has a name that another one has, no key is without its owner, no key is there twice, and what is known
    /// beside the records is what a restart would read.
    #[test]
    fn the_directory_is_whole_after_any_findings(steps in proptest::collection::vec(step(), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open_store(folder.path());
        let mut directory = load_directory(&store, NO_GUARD);
        for step in steps {
            match step {
                Step::Restart => {
                    drop(directory);
                    drop(store);
                    store = open_store(folder.path());
                    directory = load_directory(&store, NO_GUARD);
                }
                Step::Publish(findings) => {
                    let findings = findings.into_iter().map(|(kind, number, byte, owner)| match kind {
                        0 => put_user(number, &format!("name{owner}")),
                        1 => Finding::NoUser(id(number)),
                        2 => put_key(10 + number, byte, (owner < 5).then_some(owner)),
                        _ => no_key(10 + number, byte),
                    });
                    publish(&directory, Source::Hook, findings.collect());
                }
            }
            let (users, keys) = contents(&store);
            let names: BTreeSet<_> = users.values().map(|user| user.username.to_lowercase()).collect();
            prop_assert_eq!(names.len(), users.len());
            let blobs: BTreeSet<_> = keys.values().map(|key| key.key.fingerprint()).collect();
            prop_assert_eq!(blobs.len(), keys.len());
            prop_assert!(keys.values().all(|key| key.user_id.is_none_or(|owner| users.contains_key(&owner.number()))));
            let held = HeldIds::load(&store.directory()).unwrap();
            for user in 1..6 {
                prop_assert_eq!(held.keys_of(Some(id(user))).iter().copied().collect::<BTreeSet<_>>(), directory.key_ids_of(Some(id(user))).into_iter().collect());
                prop_assert_eq!(directory.has_user(id(user)), users.contains_key(&user));
            }
            prop_assert_eq!((held.user_count(), held.key_count()), (directory.user_count(), directory.key_count()));
        }
    }
}
