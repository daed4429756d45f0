//! When a new generation is built, when it is refused, and what is applied meanwhile.

use crate::model::change::Epoch;
use crate::model::enums::UserState;
use crate::model::freshness::DirectoryReplica as _;
use crate::model::id::Id;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::FeedRelation;
use crate::replica::tests::fake_primary::FakePrimary;
use crate::replica::tests::fake_primary_state::{BadSnapshot, FakePrimaryState};
use crate::replica::tests::test_replica::{
    TestReplica, alarm_message, delete_key, key_entry, put_entry, start_replica, user_and_keys, user_entry,
};

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
fn while_the_cursor_is_lost_only_access_reductions_apply() {
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
