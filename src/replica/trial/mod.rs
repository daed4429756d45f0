//! Trials: a replica with its real store against a primary on a Unix socket that misbehaves on demand.

mod crash;
mod primary;
mod random;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::model::change::{Change, Epoch, Head, Identity};
use crate::model::clock;
use crate::model::entry::Entry;
use crate::model::freshness::{Following as _, Limits};
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::level::UserState;
use crate::model::loss_guard::LossGuard;
use crate::net::client::Client;
use crate::replica::alarm::Alarm;
use crate::replica::service::Replica;
use crate::replica::setup::{Feeding, Pace, Setup};
use crate::replica::status::{Finding, Relation, Status};
use crate::replica::trial::primary::{Primary, secret};
use crate::replica::trial::world::{BadSnapshot, World};
use crate::store::generation::{Generation, Options};
use crate::store::generations::{Generations, Opened};

const OPTIONS: Options = Options { page_cache: 16 << 20, record_cache: 1024 };
const PACE: Pace = Pace {
    silence: Duration::from_millis(1000),
    answer: Duration::from_secs(20),
    snapshot: Duration::from_secs(20),
    first_pause: Duration::from_millis(4),
    longest_pause: Duration::from_millis(60),
    longest_resync_pause: Duration::from_millis(60),
    ack_every: Duration::from_millis(5),
    age_every: Duration::from_secs(3600),
    open: Duration::from_secs(60),
    linger: Duration::from_millis(5),
};

fn start(store: &Path, socket: &Path) -> Arc<Replica> {
    Replica::start(Setup {
        store: store.to_path_buf(),
        options: OPTIONS,
        client: Client::to(&format!("http+unix://{}", socket.display()), None, false).unwrap(),
        secret: secret(),
        host: "ssh-1".to_owned(),
        keys: Limits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(86_400) },
        loss_guard: LossGuard { share: 0.2, more_than: 10 },
        feeding: Feeding::Follow,
        pace: PACE,
    })
    .unwrap()
}

/// A primary, a folder, and a replica that has followed.
struct House {
    primary: Primary,
    folder: tempfile::TempDir,
    replica: Option<Arc<Replica>>,
}

impl House {
    fn with(entries: impl IntoIterator<Item = Entry>) -> Self {
        let house = Self::unstarted(entries);
        house.synced();
        house
    }

    fn unstarted(entries: impl IntoIterator<Item = Entry>) -> Self {
        let primary = Primary::start(World::of(entries));
        let folder = tempfile::tempdir().unwrap();
        let replica = Some(start(&folder.path().join("store"), &primary.socket));
        Self { primary, folder, replica }
    }

    fn replica(&self) -> &Arc<Replica> {
        self.replica.as_ref().unwrap()
    }

    fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    fn stop(&mut self) {
        self.replica.take().unwrap().stop();
    }

    fn start(&mut self) {
        self.replica = Some(start(&self.store(), &self.primary.socket));
    }

    fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        until(self.replica(), what, is_so)
    }

    /// Waits until the replica equals the primary, proven and acknowledged.
    fn synced(&self) -> Head {
        let head = self.primary.head();
        self.until("it equals the primary", |status| {
            status.cursor == Some(head) && status.acknowledged == Some(head) && status.following == Relation::True && status.caught_up
        });
        head
    }

    fn commit(&self, changes: Vec<Change>) -> Head {
        self.primary.change(|world| world.commit(changes))
    }

    fn knows(&self, number: u64) -> bool {
        self.replica().view().unwrap().directory.key_with(&fingerprint(number)).unwrap().is_some()
    }

    fn offline_store(&self) -> Generation {
        match Generations::at(&self.store(), OPTIONS).unwrap().open_current(PACE.open).unwrap() {
            Opened::Ready(generation) => generation,
            _ => panic!("the store is not there"),
        }
    }
}

fn until(replica: &Replica, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let mut changes = replica.changes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let so = async {
        loop {
            let status = replica.status();
            if is_so(&status) {
                return status;
            }
            changes.changed().await.unwrap();
        }
    };
    let came = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), so).await });
    came.unwrap_or_else(|_| panic!("waited in vain: {what}: {:#?}", replica.status()))
}

fn alarmed(status: &Status, alarm: Alarm) -> Option<&str> {
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

fn key(number: u64, title: &str) -> Entry {
    let key = public_key(number);
    let line =
        format!(r#"{{"kind":"key","id":{number},"user_id":1,"title":"{title}","key":"{key}","created_at":"2026-01-31T12:00:00.000Z"}}"#);
    Entry::read(&line).unwrap()
}

fn user(state: &str) -> Entry {
    Entry::read(&format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"Zoë"{state}}}"#)).unwrap()
}

fn people_and_keys(keys: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    std::iter::once(user("")).chain(keys.map(|number| key(number, "laptop"))).collect()
}

fn gone(number: u64) -> Change {
    Change::Delete(Identity::Key(Id::try_from(number).unwrap()))
}

fn put(entry: Entry) -> Change {
    Change::Put(entry)
}

#[test]
fn from_nothing_it_syncs_and_says_so_in_its_own_name() {
    let house = House::with(people_and_keys(1..=100));
    assert!(house.knows(1) && house.knows(100) && !house.knows(101));
    let view = house.replica().view().unwrap();
    assert!(view.whole && !view.foreign);
    assert!(house.replica().age(clock::boot()).is_some_and(|age| age < Duration::from_secs(60)));
    let head = house.primary.head();
    let (host, ack) = house.primary.world().acks.last().cloned().unwrap();
    assert_eq!((host.as_str(), ack.epoch, ack.seq, ack.digest), ("ssh-1", head.epoch, head.seq, head.state.digest));
    assert_eq!(ack.max_stale, 86_400);
    let status = house.replica().status();
    assert_eq!((status.lag, status.digest_equal, status.counts.get("key")), (Some(0), Some(true), Some(&100)));
}

#[test]
fn commits_bind_one_after_the_other_however_large() {
    let house = House::with(people_and_keys(1..=5));
    house.commit(vec![gone(1), put(key(6, "desk"))]);
    house.synced();
    assert!(!house.knows(1) && house.knows(6));
    house.commit((7..=240).map(|number| put(key(number, "many"))).collect());
    house.synced();
    assert!(house.knows(240));
    assert!(house.replica().view().unwrap().whole);
    house.commit(vec![]);
    house.synced();
}

#[test]
fn lines_said_twice_change_nothing() {
    let house = House::with(people_and_keys(1..=5));
    house.primary.change(|world| world.mischief.twice = true);
    for number in 6..20 {
        house.commit(vec![gone(number - 5), put(key(number, "x"))]);
    }
    house.synced();
    assert_eq!(house.replica().status().counted.disconnects, 0);
}

#[test]
fn a_commit_left_out_is_fetched_again() {
    let house = House::with(people_and_keys(1..=5));
    let next = house.primary.head().seq + 1;
    house.primary.change(|world| world.mischief.leave_out = Some(next));
    house.commit(vec![gone(1)]);
    house.commit(vec![gone(2)]);
    house.synced();
    assert!(!house.knows(1) && !house.knows(2));
    assert_eq!(house.replica().status().counted.resyncs, 1, "only the first");
}

#[test]
fn a_cut_line_is_never_taken_and_the_rest_follows() {
    let house = House::with(people_and_keys(1..=5));
    house.primary.change(|world| world.mischief.cut_after = Some(2));
    house.primary.kick();
    for number in 6..20 {
        house.commit(vec![put(key(number, "x"))]);
    }
    let head = house.primary.head();
    house.until("the cursor comes through", |status| status.cursor == Some(head));
    assert!(house.replica().status().counted.disconnects > 2);
}

#[test]
fn a_wrong_digest_is_drift_and_a_snapshot_heals_it() {
    let house = House::with(people_and_keys(1..=5));
    let next = house.primary.head().seq + 1;
    house.primary.change(|world| {
        world.mischief.lie_at = Some(next);
        world.mischief.snapshot_status = Some(503);
    });
    house.commit(vec![gone(1)]);
    let status = house.until("the drift is seen", |status| alarmed(status, Alarm::Drift).is_some());
    assert!(matches!(status.following, Relation::Drifted | Relation::True), "true again only by a heartbeat that is equal");
    assert!(!house.knows(1), "what was revoked is revoked");
    house.primary.change(|world| world.mischief = Default::default());
    house.synced();
    house.until("the alarm is over", |status| alarmed(status, Alarm::Drift).is_none());
}

#[test]
fn a_store_that_drifted_says_so_over_a_restart_and_not_that_the_primary_went_back() {
    let mut house = House::with(people_and_keys(1..=5));
    house.stop();
    let generation = house.offline_store();
    let head = generation.head().unwrap();
    // A key that the primary never had: the store is sound, and unlike.
    generation.apply(&[put(key(77, "ghost"))], Some((head.epoch, head.seq))).unwrap();
    generation.flush().unwrap();
    drop(generation);
    crate::replica::mark::Mark::within(&house.store()).set(head).unwrap();
    house.primary.change(|world| world.mischief.snapshot_status = Some(503));
    house.start();
    house.commit(vec![gone(2)]);
    house.until("it follows on", |status| status.following == Relation::Drifted && status.lag == Some(1));
    house.until("and what is revoked binds", |_| !house.knows(2));
    assert_eq!(alarmed(&house.replica().status(), Alarm::PrimaryWentBack), None);
    assert!(!house.replica().view().unwrap().whole);
    house.primary.change(|world| world.mischief.snapshot_status = None);
    house.synced();
    assert!(!house.knows(77));
    assert_eq!(crate::replica::mark::Mark::within(&house.store()).read(), None);
}

#[test]
fn a_snapshot_that_is_cut_or_does_not_add_up_is_never_installed() {
    for bad in BadSnapshot::NEVER_INSTALLED {
        let primary = Primary::start(World::of(people_and_keys(1..=300)));
        primary.change(|world| {
            world.commit(vec![put(key(301, "tail"))]);
            world.mischief.snapshot = Some(bad);
        });
        let folder = tempfile::tempdir().unwrap();
        let replica = start(&folder.path().join("store"), &primary.socket);
        let house = House { primary, folder, replica: Some(replica) };
        house.primary.until("three tries", |world| world.snapshots_sent >= 3);
        let status = house.replica().status();
        assert_eq!((status.cursor, status.counted.resyncs), (None, 0), "{bad:?}");
        assert!(house.replica().view().is_none() && status.last_error.is_some(), "{bad:?}");
        house.primary.change(|world| world.mischief.snapshot = None);
        house.synced();
        assert!(house.knows(301), "{bad:?}");
    }
}

#[test]
fn half_the_keys_lost_is_held_until_it_is_accepted_and_deletes_bind_meanwhile() {
    let house = House::with(people_and_keys(1..=60));
    house.primary.change(|world| {
        world.mischief.snapshot = Some(BadSnapshot::HalfTheKeys);
        world.replace(people_and_keys(1..=30));
        world.mischief.snapshot = None;
    });
    let status = house.until("the loss is held", |status| alarmed(status, Alarm::LossHeld).is_some());
    let message = alarmed(&status, Alarm::LossHeld).unwrap();
    assert!(message.contains("lacks 30 of the 60 keys") && message.contains("accept-loss"), "{message}");
    assert!(house.knows(60), "it goes on serving");
    house.commit(vec![gone(1)]);
    house.until("a delete binds", |_| !house.knows(1));
    assert!(house.knows(60));
    house.primary.change(|world| world.accept_loss = true);
    house.synced();
    assert!(!house.knows(60) && house.knows(30));
    house.until("the alarm is over", |status| alarmed(status, Alarm::LossHeld).is_none());
}

#[test]
fn while_the_cursor_is_lost_only_what_takes_away_binds() {
    let house = House::with(people_and_keys(1..=20));
    house.primary.change(|world| {
        world.mischief.snapshot_status = Some(503);
        let mut more = people_and_keys(1..=20);
        more.push(key(21, "new in the gap"));
        world.replace(more);
    });
    house.until("the cursor is lost", |status| status.following == Relation::Lost && status.connected_since.is_some());
    house.commit(vec![gone(1), put(user(r#","state":"blocked""#)), put(key(22, "new after it"))]);
    house.until("a delete binds", |_| !house.knows(1));
    let user_now = house.replica().view().unwrap().directory.user(Id::try_from(1).unwrap()).unwrap().unwrap();
    assert_eq!(user_now.state, UserState::Blocked);
    assert!(!house.knows(21) && !house.knows(22));
    assert!(!house.replica().view().unwrap().whole, "a no must be asked for");
    assert!(!house.replica().caught_up());
    house.primary.change(|world| world.mischief.snapshot_status = None);
    house.synced();
    assert!(!house.knows(1) && house.knows(21) && house.knows(22));
}

#[test]
fn a_cursor_lost_without_a_word_of_the_head_is_found_again_by_a_snapshot() {
    let house = House::with(people_and_keys(1..=20));
    house.primary.change(|world| {
        world.mischief.gone_without_head = true;
        world.replace(people_and_keys(1..=19));
        world.commit(vec![gone(2)]);
    });
    house.synced();
    assert!(!house.knows(20) && !house.knows(2));
}

#[test]
fn a_primary_restored_from_a_backup_is_not_believed_until_its_new_epoch() {
    let house = House::with(people_and_keys(1..=20));
    let backup = house.primary.world().records.clone();
    house.commit(vec![gone(1)]);
    house.commit(vec![gone(2)]);
    let head = house.synced();
    house.primary.change(|world| world.go_back(2, backup));
    let status = house.until("it is seen", |status| alarmed(status, Alarm::PrimaryWentBack).is_some());
    let message = alarmed(&status, Alarm::PrimaryWentBack).unwrap();
    assert!(message.contains("new-epoch"), "{message}");
    assert_eq!(status.cursor, Some(head));
    assert!(!house.knows(1), "what was revoked stays revoked");
    let snapshots = house.primary.world().snapshots_sent;
    house.replica().resync();
    house.primary.until("an operator tries", |world| world.snapshots_sent > snapshots);
    let status = house.until("and is refused", |status| {
        status.resyncing.is_none() && status.last_error.as_ref().is_some_and(|error| error.message.contains("new-epoch"))
    });
    assert_eq!(status.cursor, Some(head));
    let age = house.replica().age(clock::boot()).unwrap();
    house.until("its age grows", |_| house.replica().age(clock::boot()).unwrap() > age);
    house.primary.change(|world| world.new_epoch(Epoch(2)));
    house.synced();
    assert!(house.knows(1), "the primary's word counts again");
}

#[test]
fn an_old_snapshot_catches_up_before_it_serves() {
    let house = House::with(people_and_keys(1..=20));
    let old = house.primary.world().snapshot();
    for number in 1..=10 {
        house.commit(vec![gone(number)]);
    }
    let head = house.synced();
    house.primary.change(|world| world.mischief.old_snapshot = Some(old));
    house.replica().resync();
    house.until("the new one serves", |status| {
        assert_eq!(status.cursor, Some(head), "never backwards");
        status.counted.resyncs == 2
    });
    assert!(!house.knows(10) && house.knows(11));
}

#[test]
fn commits_go_on_binding_while_a_snapshot_is_loaded() {
    let house = House::with(people_and_keys(1..=400));
    house.replica().resync();
    for number in 1..=40 {
        let head = house.commit(vec![gone(number), put(key(400 + number, "new"))]);
        house.until("it binds", |status| status.cursor == Some(head));
        assert!(!house.knows(number) && house.knows(400 + number));
    }
    house.until("the new one serves", |status| status.counted.resyncs == 2);
    house.synced();
    assert!(house.replica().view().unwrap().whole);
}

#[test]
fn silence_is_a_lost_connection_and_the_age_runs() {
    let house = House::with(people_and_keys(1..=5));
    house.primary.change(|world| world.mischief.silent = true);
    let status = house.until("the silence is noticed", |status| status.counted.disconnects > 0);
    assert!(status.last_error.unwrap().message.contains("no line"));
    assert!(house.replica().caught_up(), "it was, when contact was lost");
    assert!(house.knows(1));
    house.primary.change(|world| world.mischief.silent = false);
    house.commit(vec![gone(1)]);
    house.synced();
}

#[test]
fn after_a_restart_hits_are_served_without_a_primary_and_are_as_old_as_they_are() {
    let mut house = House::with(people_and_keys(1..=20));
    let head = house.synced();
    house.stop();
    house.primary.change(|world| world.mischief.changes_status = Some(503));
    house.start();
    let status = house.until("the store is read through", |status| status.whole);
    assert_eq!((status.cursor, status.counted.resyncs), (Some(head), 0));
    assert!(house.knows(20) && house.replica().caught_up());
    let age = house.replica().age(clock::boot()).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    house.primary.change(|world| world.mischief.changes_status = None);
    house.commit(vec![gone(20)]);
    house.synced();
    assert_eq!(house.primary.world().snapshots_sent, 1);
}

#[test]
fn a_commit_torn_by_a_crash_is_made_whole_by_the_feed() {
    let mut house = House::with(people_and_keys(1..=20));
    house.stop();
    let changes: Vec<_> = (21..=140).map(|number| put(key(number, "x"))).collect();
    let generation = house.offline_store();
    generation.apply(&changes[..50], None).unwrap();
    generation.flush().unwrap();
    drop(generation);
    house.commit(changes);
    house.start();
    house.synced();
    assert_eq!(house.primary.world().snapshots_sent, 1, "no new snapshot was needed");
    assert!(house.knows(140) && house.replica().view().unwrap().whole);
}

#[test]
fn a_damaged_store_goes_into_quarantine_and_is_built_anew() {
    let mut house = House::with(people_and_keys(1..=200));
    house.stop();
    let current = Generations::at(&house.store(), OPTIONS).unwrap().current().unwrap().unwrap();
    std::fs::write(current.join("db"), b"this is no database").unwrap();
    house.start();
    house.synced();
    let status = house.replica().status();
    assert_eq!((status.counted.quarantines, status.counted.resyncs), (1, 1));
    assert!(house.knows(200));
}

#[test]
fn a_store_that_takes_nothing_new_is_an_alarm_and_answers_go_on() {
    let house = House::with(people_and_keys(1..=20));
    let (generations, away) = (house.store().join("generations"), house.store().join("away"));
    std::fs::rename(&generations, &away).unwrap();
    std::fs::write(&generations, b"no folder").unwrap();
    house.replica().resync();
    house.until("the alarm", |status| alarmed(status, Alarm::Store).is_some());
    assert!(house.knows(20));
    std::fs::remove_file(&generations).unwrap();
    std::fs::rename(&away, &generations).unwrap();
    house.until("it is tried again", |status| status.counted.resyncs == 2);
    house.synced();
    house.until("the alarm is over", |status| alarmed(status, Alarm::Store).is_none());
}

#[test]
fn verify_tells_equal_from_unlike() {
    let house = House::with(people_and_keys(1..=20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let verified = runtime.block_on(house.replica().verify()).unwrap();
    assert_eq!((verified.finding, verified.scanned), (Finding::Equal, house.primary.head().state));
}

#[test]
fn what_a_newer_primary_sends_is_kept_and_marked() {
    let house = House::with(people_and_keys(1..=5));
    let robot = Entry::read(r#"{"kind":"robot","id":7,"arms":2}"#).unwrap();
    let identity = Identity::of(&robot);
    house.commit(vec![put(robot)]);
    house.synced();
    assert!(house.replica().view().unwrap().foreign && house.replica().view().unwrap().whole);
    assert_eq!(house.replica().status().foreign, 1);
    house.commit(vec![Change::Delete(identity)]);
    house.synced();
    assert!(!house.replica().view().unwrap().foreign);
}

#[test]
fn another_sync_secret_is_an_alarm_until_it_is_renewed() {
    let house = House::with(people_and_keys(1..=5));
    house.primary.change_secret(b"another");
    let status = house.until("it is refused", |status| alarmed(status, Alarm::Forbidden).is_some());
    assert!(alarmed(&status, Alarm::Forbidden).unwrap().contains("sync_secret_file"));
    house.replica().renew(crate::wire::secret::Secret::of(b"another").unwrap());
    house.commit(vec![gone(1)]);
    house.synced();
    house.until("the alarm is over", |status| alarmed(status, Alarm::Forbidden).is_none());
}

#[test]
fn without_a_feed_nothing_is_opened_and_nothing_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let replica = Replica::start(Setup {
        store: store.clone(),
        options: OPTIONS,
        client: Client::to("http+unix:///nowhere", None, false).unwrap(),
        secret: secret(),
        host: "ssh-1".to_owned(),
        keys: Limits { ttl: Duration::ZERO, max_stale: Duration::ZERO },
        loss_guard: LossGuard::default(),
        feeding: Feeding::Nothing,
        pace: PACE,
    })
    .unwrap();
    assert!(replica.view().is_none() && replica.age(clock::boot()).is_none() && !store.exists());
    replica.stop();
}

#[test]
fn the_metrics_say_what_the_status_says() {
    let house = House::with(people_and_keys(1..=5));
    let mut registry = prometheus_client::registry::Registry::default();
    house.replica().register(&mut registry);
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
