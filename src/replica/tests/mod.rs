//! Trials: a replica with its real store against a primary on a Unix socket that misbehaves on demand.

mod crash;
pub(crate) mod fake_primary;
pub(crate) mod fake_primary_state;
pub(crate) mod model_based;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::model::change::{Change, Epoch, Head, RecordIdentity};
use crate::model::clock;
use crate::model::entry::Entry;
use crate::model::enums::UserState;
use crate::model::freshness::{DirectoryReplica as _, DirectoryView, FreshnessLimits};
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::loss_guard::LossGuard;
use crate::net::client::http_client::HttpClient;
use crate::replica::config::{FeedMode, ReplicaConfig, Timing};
use crate::replica::service::Replica;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::{FeedRelation, ReplicaStatus, VerifyResult};
use crate::replica::tests::fake_primary::{FakePrimary, sync_secret};
use crate::replica::tests::fake_primary_state::{BadSnapshot, FakePrimaryState};
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};

const STORE_OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 16 << 20, record_cache_entries: 1024 };
const TIMING: Timing = Timing {
    silence_timeout: Duration::from_millis(1000),
    response_timeout: Duration::from_secs(20),
    snapshot_timeout: Duration::from_secs(20),
    initial_backoff: Duration::from_millis(4),
    max_backoff: Duration::from_millis(60),
    max_resync_backoff: Duration::from_millis(60),
    ack_interval: Duration::from_millis(5),
    age_save_interval: Duration::from_secs(3600),
    open_timeout: Duration::from_secs(60),
    replaced_generation_ttl: Duration::from_millis(5),
};

fn start_replica(store: &Path, socket: &Path) -> Arc<Replica> {
    Replica::start(ReplicaConfig {
        store_path: store.to_path_buf(),
        store_options: STORE_OPTIONS,
        feed_client: HttpClient::new(&format!("http+unix://{}", socket.display()), None, false).unwrap(),
        sync_secret: sync_secret(),
        host: "ssh-1".to_owned(),
        key_limits: FreshnessLimits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(86_400) },
        loss_guard: LossGuard { share: 0.2, more_than: 10 },
        feed_mode: FeedMode::Follow,
        timing: TIMING,
    })
    .unwrap()
}

/// A primary, a folder, and a replica that has followed.
struct TestReplica {
    primary: FakePrimary,
    temp_folder: tempfile::TempDir,
    replica: Option<Arc<Replica>>,
}

impl TestReplica {
    fn start_synced(entries: impl IntoIterator<Item = Entry>) -> Self {
        let house = Self::start_unsynced(entries);
        house.wait_synced();
        house
    }

    fn start_unsynced(entries: impl IntoIterator<Item = Entry>) -> Self {
        let primary = FakePrimary::start(FakePrimaryState::with_entries(entries));
        let folder = tempfile::tempdir().unwrap();
        let replica = Some(start_replica(&folder.path().join("store"), &primary.socket));
        Self { primary, temp_folder: folder, replica }
    }

    fn replica(&self) -> &Arc<Replica> {
        self.replica.as_ref().unwrap()
    }

    fn view(&self) -> Option<DirectoryView> {
        self.replica().read().view
    }

    fn age(&self) -> Option<Duration> {
        self.replica().read().age(clock::boot_time())
    }

    fn store_path(&self) -> std::path::PathBuf {
        self.temp_folder.path().join("store")
    }

    fn stop(&mut self) {
        self.replica.take().unwrap().stop();
    }

    fn start(&mut self) {
        self.replica = Some(start_replica(&self.store_path(), &self.primary.socket));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        wait_until(self.replica(), what, is_so)
    }

    /// Waits until the replica equals the primary, proven and acknowledged.
    fn wait_synced(&self) -> Head {
        let head = self.primary.head();
        self.wait_until("it equals the primary", |status| {
            status.cursor == Some(head) && status.acknowledged == Some(head) && status.following == FeedRelation::True && status.caught_up
        });
        head
    }

    fn commit(&self, changes: Vec<Change>) -> Head {
        self.primary.update(|world| world.commit(changes))
    }

    fn has_key(&self, number: u64) -> bool {
        self.view().unwrap().directory.key_by_fingerprint(&fingerprint(number)).unwrap().is_some()
    }

    fn open_stopped_store(&self) -> Generation {
        match GenerationsFolder::open(&self.store_path(), STORE_OPTIONS).unwrap().open_current(TIMING.open_timeout).unwrap() {
            OpenedGeneration::Ready(generation) => generation,
            _ => panic!("the store is not there"),
        }
    }
}

/// Reads the status again and again until it is as wanted, for at most a minute.
fn wait_until(replica: &Replica, what: &str, is_so: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
    let began = clock::boot_time();
    loop {
        let status = replica.status();
        if is_so(&status) {
            return status;
        }
        assert!(clock::boot_time().since(began) < Duration::from_secs(60), "waited in vain: {what}: {status:#?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn alarm_message(status: &ReplicaStatus, alarm: Alarm) -> Option<&str> {
    status.alarms.iter().find(|standing| standing.alarm == alarm).map(|standing| standing.message.as_str())
}

fn public_key(number: u64) -> PublicKey {
    use base64::Engine as _;
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend(Fingerprint::of(&number.to_be_bytes()).0);
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob)).parse().unwrap()
}

fn fingerprint(number: u64) -> Fingerprint {
    public_key(number).fingerprint()
}

fn key_entry(number: u64, title: &str) -> Entry {
    let key = public_key(number);
    let line =
        format!(r#"{{"kind":"key","id":{number},"user_id":1,"title":"{title}","key":"{key}","created_at":"2026-01-31T12:00:00.000Z"}}"#);
    Entry::parse(&line).unwrap()
}

fn user_entry(state: &str) -> Entry {
    Entry::parse(&format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"Zoë"{state}}}"#)).unwrap()
}

fn user_and_keys(keys: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    std::iter::once(user_entry("")).chain(keys.map(|number| key_entry(number, "laptop"))).collect()
}

fn delete_key(number: u64) -> Change {
    Change::Delete(RecordIdentity::Key(Id::try_from(number).unwrap()))
}

fn put_entry(entry: Entry) -> Change {
    Change::Put(entry)
}

#[test]
fn an_empty_replica_syncs_and_acknowledges_under_its_host_name() {
    let house = TestReplica::start_synced(user_and_keys(1..=100));
    assert!(house.has_key(1) && house.has_key(100) && !house.has_key(101));
    let view = house.view().unwrap();
    assert!(view.verified && !view.has_unknown_records);
    assert!(house.age().is_some_and(|age| age < Duration::from_secs(60)));
    let head = house.primary.head();
    let (host, ack) = house.primary.state().acks.last().cloned().unwrap();
    assert_eq!((host.as_str(), ack.epoch, ack.seq, ack.digest), ("ssh-1", head.epoch, head.seq, head.state.digest));
    assert_eq!(ack.max_stale, 86_400);
    let status = house.replica().status();
    assert_eq!((status.lag, status.digest_equal, status.counts.get("key")), (Some(0), Some(true), Some(&100)));
}

#[test]
fn commits_of_any_size_apply_in_order() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    house.commit(vec![delete_key(1), put_entry(key_entry(6, "desk"))]);
    house.wait_synced();
    assert!(!house.has_key(1) && house.has_key(6));
    house.commit((7..=240).map(|number| put_entry(key_entry(number, "many"))).collect());
    house.wait_synced();
    assert!(house.has_key(240));
    assert!(house.view().unwrap().verified);
    house.commit(vec![]);
    house.wait_synced();
}

#[test]
fn duplicate_lines_change_nothing() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    house.primary.update(|world| world.faults.duplicate_lines = true);
    for number in 6..20 {
        house.commit(vec![delete_key(number - 5), put_entry(key_entry(number, "x"))]);
    }
    house.wait_synced();
    assert_eq!(house.replica().status().counted.disconnects, 0);
}

#[test]
fn a_commit_left_out_is_fetched_again() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    let next = house.primary.head().seq + 1;
    house.primary.update(|world| world.faults.skip_commit = Some(next));
    house.commit(vec![delete_key(1)]);
    house.commit(vec![delete_key(2)]);
    house.wait_synced();
    assert!(!house.has_key(1) && !house.has_key(2));
    assert_eq!(house.replica().status().counted.resyncs, 1, "only the first");
}

#[test]
fn a_truncated_line_is_never_applied_and_the_rest_follows() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    house.primary.update(|world| world.faults.cut_after_lines = Some(2));
    house.primary.disconnect_all();
    for number in 6..20 {
        house.commit(vec![put_entry(key_entry(number, "x"))]);
    }
    let head = house.primary.head();
    house.wait_until("the cursor comes through", |status| status.cursor == Some(head));
    assert!(house.replica().status().counted.disconnects > 2);
}

#[test]
fn a_wrong_digest_is_drift_and_a_snapshot_repairs_it() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    let next = house.primary.head().seq + 1;
    house.primary.update(|world| {
        world.faults.wrong_digest_at = Some(next);
        world.faults.snapshot_status = Some(503);
    });
    house.commit(vec![delete_key(1)]);
    let status = house.wait_until("the drift is seen", |status| alarm_message(status, Alarm::Drift).is_some());
    assert!(matches!(status.following, FeedRelation::Drifted | FeedRelation::True), "true again only by a heartbeat that is equal");
    assert!(!house.has_key(1), "what was revoked is revoked");
    house.primary.update(|world| world.faults = Default::default());
    house.wait_synced();
    house.wait_until("the alarm is over", |status| alarm_message(status, Alarm::Drift).is_none());
}

#[test]
fn drift_is_remembered_over_a_restart_and_not_taken_for_a_restored_primary() {
    let mut house = TestReplica::start_synced(user_and_keys(1..=5));
    house.stop();
    let generation = house.open_stopped_store();
    let head = generation.head().unwrap();
    // A key that the primary never had: the store is sound, and unlike.
    generation.apply(&[put_entry(key_entry(77, "ghost"))], Some((head.epoch, head.seq))).unwrap();
    generation.flush().unwrap();
    drop(generation);
    crate::replica::follow::drift_marker::DriftMarker::in_store(&house.store_path()).write(head).unwrap();
    house.primary.update(|world| world.faults.snapshot_status = Some(503));
    house.start();
    house.commit(vec![delete_key(2)]);
    house.wait_until("it follows on", |status| status.following == FeedRelation::Drifted && status.lag == Some(1));
    house.wait_until("and what is revoked binds", |_| !house.has_key(2));
    assert_eq!(alarm_message(&house.replica().status(), Alarm::PrimaryWentBack), None);
    assert!(!house.view().unwrap().verified);
    house.primary.update(|world| world.faults.snapshot_status = None);
    house.wait_synced();
    assert!(!house.has_key(77));
    assert_eq!(crate::replica::follow::drift_marker::DriftMarker::in_store(&house.store_path()).read(), None);
}

#[test]
fn a_snapshot_that_is_cut_or_does_not_add_up_is_never_installed() {
    for bad in BadSnapshot::NEVER_INSTALLED {
        let primary = FakePrimary::start(FakePrimaryState::with_entries(user_and_keys(1..=300)));
        primary.update(|world| {
            world.commit(vec![put_entry(key_entry(301, "tail"))]);
            world.faults.bad_snapshot = Some(bad);
        });
        let folder = tempfile::tempdir().unwrap();
        let replica = start_replica(&folder.path().join("store"), &primary.socket);
        let house = TestReplica { primary, temp_folder: folder, replica: Some(replica) };
        house.primary.wait_until("three tries", |world| world.snapshots_sent >= 3);
        let status = house.replica().status();
        assert_eq!((status.cursor, status.counted.resyncs), (None, 0), "{bad:?}");
        assert!(house.view().is_none() && status.last_error.is_some(), "{bad:?}");
        house.primary.update(|world| world.faults.bad_snapshot = None);
        house.wait_synced();
        assert!(house.has_key(301), "{bad:?}");
    }
}

#[test]
fn losing_half_the_keys_is_held_until_accepted_and_deletes_apply_meanwhile() {
    let house = TestReplica::start_synced(user_and_keys(1..=60));
    house.primary.update(|world| {
        world.faults.bad_snapshot = Some(BadSnapshot::HalfTheKeys);
        world.replace_all(user_and_keys(1..=30));
        world.faults.bad_snapshot = None;
    });
    let status = house.wait_until("the loss is held", |status| alarm_message(status, Alarm::LossHeld).is_some());
    let message = alarm_message(&status, Alarm::LossHeld).unwrap();
    assert!(message.contains("lacks 30 of the 60 keys") && message.contains("accept-loss"), "{message}");
    assert!(house.has_key(60), "it goes on serving");
    house.commit(vec![delete_key(1)]);
    house.wait_until("a delete binds", |_| !house.has_key(1));
    assert!(house.has_key(60));
    house.primary.update(|world| world.accept_loss = true);
    house.wait_synced();
    assert!(!house.has_key(60) && house.has_key(30));
    house.wait_until("the alarm is over", |status| alarm_message(status, Alarm::LossHeld).is_none());
}

#[test]
fn while_the_cursor_is_lost_only_access_reductions_apply() {
    let house = TestReplica::start_synced(user_and_keys(1..=20));
    house.primary.update(|world| {
        world.faults.snapshot_status = Some(503);
        let mut more = user_and_keys(1..=20);
        more.push(key_entry(21, "new in the gap"));
        world.replace_all(more);
    });
    house.wait_until("the cursor is lost", |status| status.following == FeedRelation::Lost && status.connected_since.is_some());
    house.commit(vec![delete_key(1), put_entry(user_entry(r#","state":"blocked""#)), put_entry(key_entry(22, "new after it"))]);
    house.wait_until("a delete binds", |_| !house.has_key(1));
    let user_now = house.view().unwrap().directory.user(Id::try_from(1).unwrap()).unwrap().unwrap();
    assert_eq!(user_now.state, UserState::Blocked);
    assert!(!house.has_key(21) && !house.has_key(22));
    assert!(!house.view().unwrap().verified, "a no must be asked for");
    assert!(!house.replica().read().caught_up);
    house.primary.update(|world| world.faults.snapshot_status = None);
    house.wait_synced();
    assert!(!house.has_key(1) && house.has_key(21) && house.has_key(22));
}

#[test]
fn a_cursor_lost_without_a_head_is_restored_by_a_snapshot() {
    let house = TestReplica::start_synced(user_and_keys(1..=20));
    house.primary.update(|world| {
        world.faults.gone_without_head = true;
        world.replace_all(user_and_keys(1..=19));
        world.commit(vec![delete_key(2)]);
    });
    house.wait_synced();
    assert!(!house.has_key(20) && !house.has_key(2));
}

#[test]
fn a_primary_restored_from_a_backup_is_not_followed_until_its_new_epoch() {
    let house = TestReplica::start_synced(user_and_keys(1..=20));
    let backup = house.primary.state().records.clone();
    house.commit(vec![delete_key(1)]);
    house.commit(vec![delete_key(2)]);
    let head = house.wait_synced();
    house.primary.update(|world| world.restore_backup(2, backup));
    let status = house.wait_until("it is seen", |status| alarm_message(status, Alarm::PrimaryWentBack).is_some());
    let message = alarm_message(&status, Alarm::PrimaryWentBack).unwrap();
    assert!(message.contains("new-epoch"), "{message}");
    assert_eq!(status.cursor, Some(head));
    assert!(!house.has_key(1), "what was revoked stays revoked");
    let tried = status.counted.snapshots_tried;
    house.replica().resync();
    let status =
        house.wait_until("an operator tries and is refused", |status| status.counted.snapshots_tried > tried && status.resyncing.is_none());
    assert_eq!((status.cursor, status.counted.resyncs), (Some(head), 1));
    assert!(alarm_message(&status, Alarm::PrimaryWentBack).unwrap().contains("new-epoch"));
    let age = house.age().unwrap();
    house.wait_until("its age grows", |_| house.age().unwrap() > age);
    house.primary.update(|world| world.new_epoch(Epoch(2)));
    house.wait_synced();
    assert!(house.has_key(1), "the primary's word counts again");
}

#[test]
fn an_old_snapshot_catches_up_before_it_serves() {
    let house = TestReplica::start_synced(user_and_keys(1..=20));
    let old = house.primary.state().snapshot();
    for number in 1..=10 {
        house.commit(vec![delete_key(number)]);
    }
    let head = house.wait_synced();
    house.primary.update(|world| world.faults.old_snapshot = Some(old));
    house.replica().resync();
    house.wait_until("the new one serves", |status| {
        assert_eq!(status.cursor, Some(head), "never backwards");
        status.counted.resyncs == 2
    });
    assert!(!house.has_key(10) && house.has_key(11));
}

#[test]
fn commits_are_applied_while_a_snapshot_is_loaded() {
    let house = TestReplica::start_synced(user_and_keys(1..=400));
    house.replica().resync();
    for number in 1..=40 {
        let head = house.commit(vec![delete_key(number), put_entry(key_entry(400 + number, "new"))]);
        house.wait_until("it binds", |status| status.cursor == Some(head));
        assert!(!house.has_key(number) && house.has_key(400 + number));
    }
    house.wait_until("the new one serves", |status| status.counted.resyncs == 2);
    house.wait_synced();
    assert!(house.view().unwrap().verified);
}

#[test]
fn silence_is_a_lost_connection_and_the_age_grows() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    house.primary.update(|world| world.faults.mute_streams = true);
    let status = house.wait_until("the silence is noticed", |status| status.counted.disconnects > 0);
    assert!(status.last_error.unwrap().message.contains("no line"));
    assert!(house.replica().read().caught_up, "it was, when contact was lost");
    assert!(house.has_key(1));
    house.primary.update(|world| world.faults.mute_streams = false);
    house.commit(vec![delete_key(1)]);
    house.wait_synced();
}

#[test]
fn after_a_restart_hits_are_served_without_a_primary_with_their_true_age() {
    let mut house = TestReplica::start_synced(user_and_keys(1..=20));
    let head = house.wait_synced();
    house.stop();
    house.primary.update(|world| world.faults.changes_status = Some(503));
    house.start();
    let status = house.wait_until("the store is read through", |status| status.whole);
    assert_eq!((status.cursor, status.counted.resyncs), (Some(head), 0));
    assert!(house.has_key(20) && house.replica().read().caught_up);
    let age = house.age().unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    house.primary.update(|world| world.faults.changes_status = None);
    house.commit(vec![delete_key(20)]);
    house.wait_synced();
    assert_eq!(house.primary.state().snapshots_sent, 1);
}

#[test]
fn a_commit_half_applied_before_a_crash_is_completed_by_the_feed() {
    let mut house = TestReplica::start_synced(user_and_keys(1..=20));
    house.stop();
    let changes: Vec<_> = (21..=140).map(|number| put_entry(key_entry(number, "x"))).collect();
    let generation = house.open_stopped_store();
    generation.apply(&changes[..50], None).unwrap();
    generation.flush().unwrap();
    drop(generation);
    house.commit(changes);
    house.start();
    house.wait_synced();
    assert_eq!(house.primary.state().snapshots_sent, 1, "no new snapshot was needed");
    assert!(house.has_key(140) && house.view().unwrap().verified);
}

#[test]
fn a_damaged_store_goes_into_quarantine_and_is_built_anew() {
    let mut house = TestReplica::start_synced(user_and_keys(1..=200));
    house.stop();
    let current = GenerationsFolder::open(&house.store_path(), STORE_OPTIONS).unwrap().current_path().unwrap().unwrap();
    std::fs::write(current.join("db"), b"this is no database").unwrap();
    house.start();
    house.wait_synced();
    let status = house.replica().status();
    assert_eq!((status.counted.quarantines, status.counted.resyncs), (1, 1));
    assert!(house.has_key(200));
}

#[test]
fn an_unwritable_store_is_an_alarm_and_keeps_answering() {
    let house = TestReplica::start_synced(user_and_keys(1..=20));
    let (generations, away) = (house.store_path().join("generations"), house.store_path().join("away"));
    std::fs::rename(&generations, &away).unwrap();
    std::fs::write(&generations, b"no folder").unwrap();
    house.replica().resync();
    house.wait_until("the alarm", |status| alarm_message(status, Alarm::Store).is_some());
    assert!(house.has_key(20));
    std::fs::remove_file(&generations).unwrap();
    std::fs::rename(&away, &generations).unwrap();
    house.wait_until("it is tried again", |status| status.counted.resyncs == 2);
    house.wait_synced();
    house.wait_until("the alarm is over", |status| alarm_message(status, Alarm::Store).is_none());
}

#[test]
fn verify_reports_an_equal_store() {
    let house = TestReplica::start_synced(user_and_keys(1..=20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let verified = runtime.block_on(house.replica().verify()).unwrap();
    assert_eq!((verified.finding, verified.scanned), (VerifyResult::Equal, house.primary.head().state));
}

#[test]
fn unknown_records_are_stored_and_flagged() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    let robot = Entry::parse(r#"{"kind":"robot","id":7,"arms":2}"#).unwrap();
    let identity = RecordIdentity::from_entry(&robot);
    house.commit(vec![put_entry(robot)]);
    house.wait_synced();
    assert!(house.view().unwrap().has_unknown_records && house.view().unwrap().verified);
    assert_eq!(house.replica().status().foreign, 1);
    house.commit(vec![Change::Delete(identity)]);
    house.wait_synced();
    assert!(!house.view().unwrap().has_unknown_records);
}

#[test]
fn another_sync_secret_is_an_alarm_until_it_is_renewed() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    house.primary.set_secret(b"another");
    let status = house.wait_until("it is refused", |status| alarm_message(status, Alarm::Forbidden).is_some());
    assert!(alarm_message(&status, Alarm::Forbidden).unwrap().contains("sync_secret_file"));
    house.replica().set_sync_secret(crate::wire::auth::secret::Secret::from_bytes(b"another").unwrap());
    house.commit(vec![delete_key(1)]);
    house.wait_synced();
    house.wait_until("the alarm is over", |status| alarm_message(status, Alarm::Forbidden).is_none());
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
        key_limits: FreshnessLimits { ttl: Duration::ZERO, max_stale: Duration::ZERO },
        loss_guard: LossGuard::default(),
        feed_mode: FeedMode::Disabled,
        timing: TIMING,
    })
    .unwrap();
    assert!(replica.read().view.is_none() && replica.read().proven_at.is_none() && !store.exists());
    replica.stop();
}

#[test]
fn the_metrics_match_the_status() {
    let house = TestReplica::start_synced(user_and_keys(1..=5));
    let mut registry = prometheus_client::registry::Registry::default();
    house.replica().register_metrics(&mut registry);
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
