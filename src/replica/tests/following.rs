//! What the feed does to a replica: commits, gaps, doubled and cut lines, silence, drift, another secret.

use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::freshness::DirectoryReplica as _;
use crate::model::record_identity::RecordIdentity;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::FeedRelation;
use crate::replica::tests::test_replica::{TestReplica, alarm_message, delete_key, key_entry, put_entry, user_and_keys};
use std::time::Duration;

#[test]
fn an_empty_replica_syncs_and_acknowledges_under_its_host_name() {
    let env = TestReplica::start_synced(user_and_keys(1..=100));
    assert!(env.has_key(1) && env.has_key(100) && !env.has_key(101));
    let view = env.view().unwrap();
    assert!(view.verified && !view.has_unknown_records);
    assert!(env.age().is_some_and(|age| age < Duration::from_secs(60)));
    let head = env.primary.head();
    let (host, ack) = env.primary.state().acks.last().cloned().unwrap();
    assert_eq!((host.as_str(), ack.epoch, ack.seq, ack.digest), ("ssh-1", head.epoch, head.seq, head.state.digest));
    assert_eq!(ack.max_stale, 86_400);
    let status = env.replica().status();
    assert_eq!((status.lag, status.digest_equal, status.counts.get("key")), (Some(0), Some(true), Some(&100)));
}

#[test]
fn commits_of_any_size_apply_in_order() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    env.commit(vec![delete_key(1), put_entry(key_entry(6, "desk"))]);
    env.wait_synced();
    assert!(!env.has_key(1) && env.has_key(6));
    env.commit((7..=240).map(|number| put_entry(key_entry(number, "many"))).collect());
    env.wait_synced();
    assert!(env.has_key(240));
    assert!(env.view().unwrap().verified);
    env.commit(vec![]);
    env.wait_synced();
}

#[test]
fn duplicate_lines_change_nothing() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    env.primary.update(|primary| primary.faults.duplicate_lines = true);
    for number in 6..20 {
        env.commit(vec![delete_key(number - 5), put_entry(key_entry(number, "x"))]);
    }
    env.wait_synced();
    assert_eq!(env.replica().status().counted.disconnects, 0);
}

#[test]
fn a_commit_left_out_is_fetched_again() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    let next = env.primary.head().seq + 1;
    env.primary.update(|primary| primary.faults.skip_commit = Some(next));
    env.commit(vec![delete_key(1)]);
    env.commit(vec![delete_key(2)]);
    env.wait_synced();
    assert!(!env.has_key(1) && !env.has_key(2));
    assert_eq!(env.replica().status().counted.resyncs, 1, "only the first");
}

#[test]
fn a_truncated_line_is_never_applied_and_the_rest_follows() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    env.primary.update(|primary| primary.faults.cut_after_lines = Some(2));
    env.primary.disconnect_all();
    for number in 6..20 {
        env.commit(vec![put_entry(key_entry(number, "x"))]);
    }
    let head = env.primary.head();
    env.wait_until("the cursor comes through", |status| status.cursor == Some(head));
    assert!(env.replica().status().counted.disconnects > 2);
}

#[test]
fn a_wrong_digest_is_drift_and_a_snapshot_repairs_it() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    let next = env.primary.head().seq + 1;
    env.primary.update(|primary| {
        primary.faults.wrong_digest_at = Some(next);
        primary.faults.snapshot_status = Some(503);
    });
    env.commit(vec![delete_key(1)]);
    // The next heartbeat is equal again and ends the alarm, perhaps before anybody looks: what was counted stays.
    let status = env.wait_until("the drift is seen", |status| status.counted.drifts == 1 && status.counted.alarms == 1);
    assert!(matches!(status.following, FeedRelation::Drifted | FeedRelation::True), "true again only by a heartbeat that is equal");
    assert!(!env.has_key(1), "what was revoked is revoked");
    env.primary.update(|primary| primary.faults = Default::default());
    env.wait_synced();
    env.wait_until("the alarm is over", |status| alarm_message(status, Alarm::Drift).is_none());
}

#[test]
fn silence_is_a_lost_connection_and_the_age_grows() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    env.primary.update(|primary| primary.faults.mute_streams = true);
    let status = env.wait_until("the silence is noticed", |status| status.counted.disconnects > 0);
    assert!(status.last_error.unwrap().message.contains("no line"));
    assert!(env.replica().read().caught_up, "it was, when contact was lost");
    assert!(env.has_key(1));
    env.primary.update(|primary| primary.faults.mute_streams = false);
    env.commit(vec![delete_key(1)]);
    env.wait_synced();
}

#[test]
fn unknown_records_are_stored_and_flagged() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    let robot = Entry::parse(r#"{"kind":"robot","id":7,"arms":2}"#).unwrap();
    let identity = RecordIdentity::from_entry(&robot);
    env.commit(vec![put_entry(robot)]);
    env.wait_synced();
    assert!(env.view().unwrap().has_unknown_records && env.view().unwrap().verified);
    assert_eq!(env.replica().status().foreign, 1);
    env.commit(vec![Change::Delete(identity)]);
    env.wait_synced();
    assert!(!env.view().unwrap().has_unknown_records);
}

#[test]
fn records_that_break_their_grammar_are_followed_and_counted_and_answer_nothing() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    assert_eq!(env.replica().status().invalid_records, Some(0));
    let put = |line: &str| put_entry(Entry::parse(line).unwrap());
    let of_nobody = key_entry(3, "desk").text().replace(r#","user_id":1"#, "");
    let changes = vec![put(r#"{"kind":"user","id":9,"username":"a/b","name":"N"}"#), put(&of_nobody)];
    env.commit(changes);
    env.wait_synced();
    let status = env.replica().status();
    assert_eq!((status.digest_equal, status.invalid_records), (Some(true), Some(2)));
    assert!(!env.has_key(3) && env.has_key(4), "a key of nobody lets nobody in");
    env.replica().resync();
    env.wait_until("the new one serves", |status| status.counted.resyncs == 2);
    assert_eq!(env.replica().status().invalid_records, Some(2), "counted in a new generation too");
    assert!(!env.has_key(3));
    env.commit(vec![put_entry(key_entry(3, "desk"))]);
    env.wait_synced();
    assert_eq!(env.replica().status().invalid_records, Some(1));
    assert!(env.has_key(3));
}

#[test]
fn another_sync_secret_is_an_alarm_until_it_is_renewed() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    env.primary.set_secret(b"another");
    let status = env.wait_until("it is refused", |status| alarm_message(status, Alarm::Forbidden).is_some());
    assert!(alarm_message(&status, Alarm::Forbidden).unwrap().contains("sync_secret_file"));
    env.replica().set_sync_secret(crate::wire::auth::secret::Secret::from_bytes(b"another").unwrap());
    env.commit(vec![delete_key(1)]);
    env.wait_synced();
    env.wait_until("the alarm is over", |status| alarm_message(status, Alarm::Forbidden).is_none());
}

#[test]
fn the_metrics_match_the_status() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    let mut registry = prometheus_client::registry::Registry::default();
    env.replica().register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "sidegate_feed_connected 1.0",
        "sidegate_store_records{kind=\"key\"} 5",
        "sidegate_feed_resyncs_total 1",
        "sidegate_feed_lag_commits 0.0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
