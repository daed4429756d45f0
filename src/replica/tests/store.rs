//! The store over restarts and damage.

use crate::model::coverage::Coverage;
use crate::model::freshness::DirectoryReplica as _;
use crate::model::loss_guard::LossGuard;
use crate::net::client::http_client::HttpClient;
use crate::replica::config::{FeedMode, ReplicaConfig};
use crate::replica::service::Replica;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::{FeedRelation, VerifyResult};
use crate::replica::tests::fake_primary::sync_secret;
use crate::replica::tests::test_replica::{
    STORE_OPTIONS, TIMING, TestReplica, alarm_message, delete_key, key_entry, put_entry, user_and_keys,
};
use crate::store::generations::generations_folder::GenerationsFolder;
use std::time::Duration;

#[test]
fn after_a_restart_hits_are_served_without_a_primary_with_their_true_age() {
    let mut env = TestReplica::start_synced(user_and_keys(1..=20));
    let head = env.wait_synced();
    env.stop();
    env.primary.update(|primary| primary.faults.changes_status = Some(503));
    env.start();
    let status = env.wait_until("the store is read through", |status| status.whole);
    assert_eq!((status.cursor, status.counted.resyncs), (Some(head), 0));
    assert!(env.has_key(20) && env.replica().read().caught_up);
    let age = env.age().unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    env.primary.update(|primary| primary.faults.changes_status = None);
    env.commit(vec![delete_key(20)]);
    env.wait_synced();
    assert_eq!(env.primary.state().snapshots_sent, 1);
}

#[test]
fn drift_is_remembered_over_a_restart_and_not_taken_for_a_restored_primary() {
    let mut env = TestReplica::start_synced(user_and_keys(1..=5));
    env.stop();
    let generation = env.open_stopped_store();
    let head = generation.head().unwrap();
    // A key that the primary never had: the store is sound, and unlike.
    generation.apply(&[put_entry(key_entry(77, "ghost"))], Some((head.epoch, head.seq))).unwrap();
    generation.flush().unwrap();
    drop(generation);
    crate::replica::follow::drift_marker::DriftMarker::in_store(&env.store_path()).write(head).unwrap();
    env.primary.update(|primary| primary.faults.snapshot_status = Some(503));
    env.start();
    env.commit(vec![delete_key(2)]);
    env.wait_until("it follows on", |status| status.following == FeedRelation::Drifted && status.lag == Some(1));
    env.wait_until("and what is revoked binds", |_| !env.has_key(2));
    assert_eq!(alarm_message(&env.replica().status(), Alarm::PrimaryWentBack), None);
    assert!(!env.view().unwrap().verified);
    env.primary.update(|primary| primary.faults.snapshot_status = None);
    env.wait_synced();
    assert!(!env.has_key(77));
    assert_eq!(crate::replica::follow::drift_marker::DriftMarker::in_store(&env.store_path()).read(), None);
}

#[test]
fn a_commit_half_applied_before_a_crash_is_completed_by_the_feed() {
    let mut env = TestReplica::start_synced(user_and_keys(1..=20));
    env.stop();
    let changes: Vec<_> = (21..=140).map(|number| put_entry(key_entry(number, "x"))).collect();
    let generation = env.open_stopped_store();
    generation.apply(&changes[..50], None).unwrap();
    generation.flush().unwrap();
    drop(generation);
    env.commit(changes);
    env.start();
    env.wait_synced();
    assert_eq!(env.primary.state().snapshots_sent, 1, "no new snapshot was needed");
    assert!(env.has_key(140) && env.view().unwrap().verified);
}

#[test]
fn a_damaged_store_goes_into_quarantine_and_is_built_anew() {
    let mut env = TestReplica::start_synced(user_and_keys(1..=200));
    env.stop();
    let current = GenerationsFolder::open(&env.store_path(), STORE_OPTIONS).unwrap().current_path().unwrap().unwrap();
    std::fs::write(current.join("db"), b"this is no database").unwrap();
    env.start();
    env.wait_synced();
    let status = env.replica().status();
    assert_eq!((status.counted.quarantines, status.counted.resyncs), (1, 1));
    assert!(env.has_key(200));
}

#[test]
fn an_unwritable_store_is_an_alarm_and_keeps_answering() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    let (generations, away) = (env.store_path().join("generations"), env.store_path().join("away"));
    std::fs::rename(&generations, &away).unwrap();
    std::fs::write(&generations, b"no folder").unwrap();
    env.replica().resync();
    env.wait_until("the alarm", |status| alarm_message(status, Alarm::Store).is_some());
    assert!(env.has_key(20));
    std::fs::remove_file(&generations).unwrap();
    std::fs::rename(&away, &generations).unwrap();
    env.wait_until("it is tried again", |status| status.counted.resyncs == 2);
    env.wait_synced();
    env.wait_until("the alarm is over", |status| alarm_message(status, Alarm::Store).is_none());
}

#[test]
fn verify_reports_an_equal_store() {
    let env = TestReplica::start_synced(user_and_keys(1..=20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let verified = runtime.block_on(env.replica().verify()).unwrap();
    assert_eq!((verified.finding, verified.scanned), (VerifyResult::Equal, env.primary.head().state));
}

#[test]
fn without_a_feed_no_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let replica = Replica::start(ReplicaConfig {
        store_path: store.clone(),
        store_options: STORE_OPTIONS,
        feed_client: HttpClient::new("http+unix:///nowhere", None, false).unwrap(),
        sync_secret: sync_secret(),
        host: "ssh-1".to_owned(),
        longest_max_stale: Duration::ZERO,
        loss_guard: LossGuard::default(),
        feed_mode: FeedMode::Disabled,
        unsaid_coverage: Coverage::default(),
        revocations: None,
        timing: TIMING,
    })
    .unwrap();
    assert!(replica.read().view.is_none() && replica.read().proven_at.is_none() && !store.exists());
    replica.stop();
}
