//! When a new generation is built, when it is refused, and what is applied meanwhile.

use std::time::Duration;

use crate::model::change::Epoch;
use crate::model::directory::Container;
use crate::model::entry::Entry;
use crate::model::enums::UserState;
use crate::model::freshness::DirectoryReplica as _;
use crate::model::id::Id;
use crate::replica::config::Timing;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::FeedRelation;
use crate::replica::tests::fake_primary::FakePrimary;
use crate::replica::tests::fake_primary_state::{BadSnapshot, FakePrimaryState};
use crate::replica::tests::test_replica::{
    TIMING, TestReplica, alarm_message, delete_key, key_entry, put_entry, start_replica, start_replica_with, user_and_keys, user_entry,
};

fn entry(line: &str) -> Entry {
    Entry::parse(line).unwrap()
}

#[test]
fn a_snapshot_that_is_cut_or_does_not_add_up_is_never_installed() {
    for bad in BadSnapshot::NEVER_INSTALLED {
        let primary = FakePrimary::start(FakePrimaryState::with_entries(user_and_keys(1..=300)));
        primary.update(|primary| {
            primary.commit(vec![put_entry(key_entry(301, "tail"))]);
            primary.faults.bad_snapshot = Some(bad);
        });
        let folder = tempfile::tempdir().unwrap();
        let replica = start_replica(&folder.path().join("store"), &primary.socket);
        let env = TestReplica { primary, temp_folder: folder, replica: Some(replica) };
        env.primary.wait_until("three tries", |primary| primary.snapshots_sent >= 3);
        let status = env.replica().status();
        assert_eq!((status.cursor, status.counted.resyncs), (None, 0), "{bad:?}");
        assert!(env.view().is_none() && status.last_error.is_some(), "{bad:?}");
        env.primary.update(|primary| primary.faults.bad_snapshot = None);
        env.wait_synced();
        assert!(env.has_key(301), "{bad:?}");
    }
}

#[test]
fn losing_half_the_keys_is_held_until_accepted_and_deletes_apply_meanwhile() {
    let env = TestReplica::start_synced(user_and_keys(1..=60));
    env.primary.update(|primary| {
        primary.faults.bad_snapshot = Some(BadSnapshot::HalfTheKeys);
        primary.replace_all(user_and_keys(1..=30));
        primary.faults.bad_snapshot = None;
    });
    let status = env.wait_until("the loss is held", |status| alarm_message(status, Alarm::LossHeld).is_some());
    let message = alarm_message(&status, Alarm::LossHeld).unwrap();
    assert!(message.contains("lacks 30 of the 60 keys") && message.contains("accept-loss"), "{message}");
    assert!(env.has_key(60), "it goes on serving");
    env.commit(vec![delete_key(1)]);
    env.wait_until("a delete binds", |_| !env.has_key(1));
    assert!(env.has_key(60));
    env.primary.update(|primary| primary.accept_loss = true);
    env.wait_synced();
    assert!(!env.has_key(60) && env.has_key(30));
    env.wait_until("the alarm is over", |status| alarm_message(status, Alarm::LossHeld).is_none());
}

#[test]
fn while_the_cursor_is_lost_only_restrictions_apply() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    env.primary.update(|primary| {
        primary.faults.snapshot_status = Some(503);
        let mut more = user_and_keys(1..=20);
        more.push(key_entry(21, "new in the gap"));
        primary.replace_all(more);
    });
    env.wait_until("the cursor is lost", |status| status.following == FeedRelation::Lost && status.connected_since.is_some());
    env.commit(vec![delete_key(1), put_entry(user_entry(r#","state":"blocked""#)), put_entry(key_entry(22, "new after it"))]);
    env.wait_until("a delete binds", |_| !env.has_key(1));
    let user_now = env.view().unwrap().directory.user(Id::try_from(1).unwrap()).unwrap().unwrap();
    assert_eq!(user_now.state, UserState::Blocked);
    assert!(!env.has_key(21) && !env.has_key(22));
    assert!(!env.view().unwrap().verified, "a no must be asked for");
    assert!(!env.replica().read().caught_up);
    env.primary.update(|primary| primary.faults.snapshot_status = None);
    env.wait_synced();
    assert!(!env.has_key(1) && env.has_key(21) && env.has_key(22));
}

#[test]
fn while_the_cursor_is_lost_everything_binds_that_is_not_known_only_to_give_access() {
    let project = |fields: &str| {
        entry(&format!(r#"{{"kind":"project","id":7,"namespace_id":3,"path":"g/p","name":"p","relative_path":"p.git"{fields}}}"#))
    };
    let group = |fields: &str| entry(&format!(r#"{{"kind":"namespace","id":3,"type":"group","path":"g","name":"g"{fields}}}"#));
    let mut entries = user_and_keys(1..=3);
    entries.extend([group(""), project(""), entry(r#"{"kind":"user","id":2,"username":"kim","name":"K","ldap":true}"#)]);
    let env = TestReplica::start_synced(entries.clone());
    env.primary.update(|primary| {
        primary.faults.snapshot_status = Some(503);
        primary.replace_all(entries.into_iter().chain([key_entry(9, "new in the gap")]));
    });
    env.wait_until("the cursor is lost", |status| status.following == FeedRelation::Lost && status.connected_since.is_some());
    env.commit(vec![
        put_entry(entry(r#"{"kind":"member","project_id":7,"user_id":1,"access_level":30}"#)),
        put_entry(entry(r#"{"kind":"settings","http_enabled":false,"two_factor_for_cli":true}"#)),
        put_entry(user_entry(r#","two_factor":true"#)),
        put_entry(entry(r#"{"kind":"user","id":2,"username":"kim","name":"K","bot":true}"#)),
        put_entry(group(r#","allowed_ips":["10.0.0.0/8"]"#)),
        put_entry(project(r#","repository_exists":false,"lfs_enabled":false"#)),
        put_entry(entry(r#"{"kind":"protected_branch","project_id":7,"pattern":"main","push":"noone"}"#)),
        put_entry(entry(r#"{"kind":"redirect","from":"g/old","project_id":7}"#)),
        delete_key(1),
    ]);
    // Deletes come first, and a commit of this size is one batch.
    env.wait_until("the commit binds", |_| !env.has_key(1));
    let (directory, id) = (env.view().unwrap().directory, |number: u64| Id::try_from(number).unwrap());
    let settings = directory.settings().unwrap();
    assert!(!settings.http_enabled && settings.two_factor_for_cli);
    assert!(directory.user(id(1)).unwrap().unwrap().two_factor);
    let kim = directory.user(id(2)).unwrap().unwrap();
    assert!(kim.bot && !kim.ldap);
    assert_eq!(directory.namespace(id(3)).unwrap().unwrap().allowed_ips.len(), 1);
    let project = directory.project(id(7)).unwrap().unwrap();
    assert!(!project.repository_exists && !project.lfs_enabled);
    assert_eq!(directory.protected_branches(id(7)).unwrap().len(), 1);
    assert!(directory.project_by_former_path("g/old").unwrap().is_some());
    assert!(directory.member(Container::Project(id(7)), id(1)).unwrap().is_none(), "what only gives waits for the snapshot");
    env.primary.update(|primary| primary.faults.snapshot_status = None);
    env.wait_synced();
}

#[test]
fn without_a_head_in_the_answer_what_restricts_binds_from_the_head_of_the_snapshot_on() {
    let env = TestReplica::start_synced(user_and_keys(1..=60));
    env.primary.update(|primary| {
        primary.faults.gone_without_head = true;
        primary.replace_all(user_and_keys(1..=30));
    });
    env.wait_until("the snapshot is held back", |status| alarm_message(status, Alarm::LossHeld).is_some());
    env.commit(vec![delete_key(1)]);
    env.wait_until("a delete binds", |_| !env.has_key(1));
    assert!(env.has_key(60), "it goes on serving");
    env.primary.update(|primary| primary.accept_loss = true);
    env.wait_synced();
}

#[test]
fn a_revocation_binds_while_a_candidate_waits_for_a_line_to_catch_up() {
    let primary = FakePrimary::start(FakePrimaryState::with_entries(user_and_keys(1..=20)));
    let folder = tempfile::tempdir().unwrap();
    // Longer than any wait of this test.
    let timing = Timing { silence_timeout: Duration::from_secs(300), ..TIMING };
    let replica = Some(start_replica_with(&folder.path().join("store"), &primary.socket, timing));
    let env = TestReplica { primary, temp_folder: folder, replica };
    env.wait_synced();
    env.primary.update(|primary| primary.faults.next_stream_late = true);
    env.replica().resync();
    env.primary.wait_until("the candidate's stream is open", |primary| !primary.faults.next_stream_late);
    let head = env.commit(vec![delete_key(1)]);
    env.wait_until("the serving generation has it", |status| status.cursor == Some(head));
    // The candidate is offered behind that commit, asks the primary again, and hears nothing.
    env.primary.update(|primary| {
        primary.faults.next_stream_silent = true;
        primary.faults.late_stream_released = true;
    });
    env.primary.wait_until("the primary was asked again", |primary| !primary.faults.next_stream_silent);
    let head = env.commit(vec![delete_key(2)]);
    env.wait_until("a revocation binds meanwhile and is acknowledged", |status| !env.has_key(2) && status.acknowledged == Some(head));
    assert_eq!(env.replica().status().counted.resyncs, 1, "the candidate still waits");
}

#[test]
fn keys_that_are_added_while_a_candidate_falls_behind_are_no_loss() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    env.primary.update(|primary| primary.faults.next_stream_late = true);
    env.replica().resync();
    env.primary.wait_until("the candidate's stream is open", |primary| !primary.faults.next_stream_late);
    let head = env.commit((21..=60).map(|number| put_entry(key_entry(number, "new"))).collect());
    env.wait_until("the serving generation has them", |status| status.cursor == Some(head));
    env.primary.update(|primary| primary.faults.late_stream_released = true);
    env.wait_until("the new one serves", |status| status.counted.resyncs == 2);
    assert_eq!(env.primary.state().snapshots_sent, 2, "the first snapshot of the resync was taken");
}

#[test]
fn nothing_of_a_new_generation_is_acknowledged_before_a_restart_would_open_it() {
    let mut env = TestReplica::start_synced(user_and_keys(1..=20));
    // CURRENT cannot be replaced.
    let obstacle = env.store_path().join("CURRENT.new");
    std::fs::create_dir(&obstacle).unwrap();
    let before = env.primary.head();
    env.replica().resync();
    env.wait_until("the new generation serves", |status| status.counted.resyncs == 2);
    env.commit(vec![delete_key(1)]);
    let status = env.wait_until("the revocation binds and is held", |status| !env.has_key(1) && status.unstored.is_some());
    assert_eq!(status.acknowledged, Some(before));
    assert!(alarm_message(&status, Alarm::Unstored).unwrap().contains("make room"), "{status:#?}");
    env.primary.update(|primary| primary.faults.changes_status = Some(503));
    env.stop();
    env.start();
    env.wait_until("the store is read through", |status| status.whole || status.counted.quarantines > 0);
    assert!(!env.has_key(1), "the generation of before serves, and the revocation binds");
    std::fs::remove_dir(&obstacle).unwrap();
    env.primary.update(|primary| primary.faults.changes_status = None);
    env.wait_synced();
    env.wait_until("nothing is held any more", |status| status.unstored.is_none() && alarm_message(status, Alarm::Unstored).is_none());
    assert!(!env.has_key(1) && env.has_key(2));
}

#[test]
fn a_cursor_lost_without_a_head_is_restored_by_a_snapshot() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    env.primary.update(|primary| {
        primary.faults.gone_without_head = true;
        primary.replace_all(user_and_keys(1..=19));
        primary.commit(vec![delete_key(2)]);
    });
    env.wait_synced();
    assert!(!env.has_key(20) && !env.has_key(2));
}

#[test]
fn a_primary_restored_from_a_backup_is_not_followed_until_its_new_epoch() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    let backup = env.primary.state().records.clone();
    env.commit(vec![delete_key(1)]);
    env.commit(vec![delete_key(2)]);
    let head = env.wait_synced();
    env.primary.update(|primary| primary.restore_backup(2, backup));
    let status = env.wait_until("it is seen", |status| alarm_message(status, Alarm::PrimaryWentBack).is_some());
    let message = alarm_message(&status, Alarm::PrimaryWentBack).unwrap();
    assert!(message.contains("new-epoch"), "{message}");
    assert_eq!(status.cursor, Some(head));
    assert!(!env.has_key(1), "what was revoked stays revoked");
    let tried = status.counted.snapshots_tried;
    env.replica().resync();
    let status =
        env.wait_until("an operator tries and is refused", |status| status.counted.snapshots_tried > tried && status.resyncing.is_none());
    assert_eq!((status.cursor, status.counted.resyncs), (Some(head), 1));
    assert!(alarm_message(&status, Alarm::PrimaryWentBack).unwrap().contains("new-epoch"));
    let age = env.age().unwrap();
    env.wait_until("its age grows", |_| env.age().unwrap() > age);
    env.primary.update(|primary| primary.new_epoch(Epoch(2)));
    env.wait_synced();
    assert!(env.has_key(1), "the primary's word counts again");
}

#[test]
fn an_old_snapshot_catches_up_before_it_serves() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    let old = env.primary.state().snapshot();
    for number in 1..=10 {
        env.commit(vec![delete_key(number)]);
    }
    let head = env.wait_synced();
    env.primary.update(|primary| primary.faults.old_snapshot = Some(old));
    env.replica().resync();
    env.wait_until("the new one serves", |status| {
        assert_eq!(status.cursor, Some(head), "never backwards");
        status.counted.resyncs == 2
    });
    assert!(!env.has_key(10) && env.has_key(11));
}

#[test]
fn commits_are_applied_while_a_snapshot_is_loaded() {
    let env = TestReplica::start_synced(user_and_keys(1..=400));
    env.replica().resync();
    for number in 1..=40 {
        let head = env.commit(vec![delete_key(number), put_entry(key_entry(400 + number, "new"))]);
        env.wait_until("it binds", |status| status.cursor == Some(head));
        assert!(!env.has_key(number) && env.has_key(400 + number));
    }
    env.wait_until("the new one serves", |status| status.counted.resyncs == 2);
    env.wait_synced();
    assert!(env.view().unwrap().verified);
}

#[test]
fn heartbeats_that_come_late_do_not_say_that_the_primary_went_back() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    env.primary.update(|primary| primary.faults.next_stream_late = true);
    env.replica().resync();
    env.primary.wait_until("the candidate's stream is open", |primary| !primary.faults.next_stream_late);
    let head = env.commit(vec![delete_key(1)]);
    env.wait_until("the serving generation has it", |status| status.cursor == Some(head));
    env.primary.update(|primary| primary.faults.late_stream_released = true);
    let status = env.wait_until("the new one serves", |status| status.counted.resyncs == 2);
    assert_eq!((alarm_message(&status, Alarm::PrimaryWentBack), env.wait_synced()), (None, head));
    assert!(!env.has_key(1));
}
