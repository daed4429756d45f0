//! The fixture: a replica with its real store, and a primary on a Unix socket that misbehaves on demand.

use crate::model::change::{Change, Head};
use crate::model::clock;
use crate::model::coverage::Coverage;
use crate::model::entry::Entry;
use crate::model::freshness::{DirectoryReplica as _, DirectoryView};
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::loss_guard::LossGuard;
use crate::model::record_identity::RecordIdentity;
use crate::net::client::http_client::HttpClient;
use crate::replica::config::{FeedMode, ReplicaConfig, Timing};
use crate::replica::service::Replica;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::{FeedRelation, ReplicaStatus};
use crate::replica::tests::fake_primary::{FakePrimary, sync_secret};
use crate::replica::tests::fake_primary_state::FakePrimaryState;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const STORE_OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 16 << 20, record_cache_entries: 1024 };
pub const TIMING: Timing = Timing {
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

pub fn start_replica(store: &Path, socket: &Path) -> Arc<Replica> {
    start_replica_with(store, socket, TIMING)
}

pub fn start_replica_with(store: &Path, socket: &Path, timing: Timing) -> Arc<Replica> {
    Replica::start(ReplicaConfig {
        store_path: store.to_path_buf(),
        store_options: STORE_OPTIONS,
        feed_client: HttpClient::new(&format!("http+unix://{}", socket.display()), None, false).unwrap(),
        sync_secret: sync_secret(),
        host: "ssh-1".to_owned(),
        longest_max_stale: Duration::from_secs(86_400),
        loss_guard: LossGuard { share: 0.2, more_than: 10 },
        feed_mode: FeedMode::Follow,
        unsaid_coverage: Coverage::default(),
        revocations: None,
        timing,
    })
    .unwrap()
}

/// A primary, a folder, and a replica that has followed.
pub struct TestReplica {
    pub primary: FakePrimary,
    pub temp_folder: tempfile::TempDir,
    pub replica: Option<Arc<Replica>>,
}

impl TestReplica {
    pub fn start_synced(entries: impl IntoIterator<Item = Entry>) -> Self {
        let env = Self::start_unsynced(entries);
        env.wait_synced();
        env
    }

    pub fn start_unsynced(entries: impl IntoIterator<Item = Entry>) -> Self {
        let primary = FakePrimary::start(FakePrimaryState::with_entries(entries));
        let folder = tempfile::tempdir().unwrap();
        let replica = Some(start_replica(&folder.path().join("store"), &primary.socket));
        Self { primary, temp_folder: folder, replica }
    }

    pub fn replica(&self) -> &Arc<Replica> {
        self.replica.as_ref().unwrap()
    }

    pub fn view(&self) -> Option<DirectoryView> {
        self.replica().read().view
    }

    pub fn age(&self) -> Option<Duration> {
        self.replica().read().age(clock::boot_time())
    }

    pub fn store_path(&self) -> std::path::PathBuf {
        self.temp_folder.path().join("store")
    }

    pub fn stop(&mut self) {
        self.replica.take().unwrap().stop();
    }

    pub fn start(&mut self) {
        self.replica = Some(start_replica(&self.store_path(), &self.primary.socket));
    }

    pub fn wait_until(&self, what: &str, is_so: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        wait_until(self.replica(), what, is_so)
    }

    /// Waits until the replica equals the primary, proven and acknowledged.
    pub fn wait_synced(&self) -> Head {
        let head = self.primary.head();
        self.wait_until("it equals the primary", |status| {
            status.cursor == Some(head) && status.acknowledged == Some(head) && status.following == FeedRelation::True && status.caught_up
        });
        head
    }

    pub fn commit(&self, changes: Vec<Change>) -> Head {
        self.primary.update(|primary| primary.commit(changes))
    }

    pub fn has_key(&self, number: u64) -> bool {
        self.view().unwrap().directory.key_by_fingerprint(&fingerprint(number)).unwrap().is_some()
    }

    pub fn open_stopped_store(&self) -> Generation {
        match GenerationsFolder::open(&self.store_path(), STORE_OPTIONS).unwrap().open_current(TIMING.open_timeout).unwrap() {
            OpenedGeneration::Ready(generation) => generation,
            _ => panic!("the store is not there"),
        }
    }
}

/// Reads the status again and again until it is as wanted, for at most a minute.
pub fn wait_until(replica: &Replica, what: &str, is_so: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
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

pub fn alarm_message(status: &ReplicaStatus, alarm: Alarm) -> Option<&str> {
    status.alarms.iter().find(|standing| standing.alarm == alarm).map(|standing| standing.message.as_str())
}

pub fn public_key(number: u64) -> PublicKey {
    use base64::Engine as _;
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend(Fingerprint::of(&number.to_be_bytes()).0);
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob)).parse().unwrap()
}

pub fn fingerprint(number: u64) -> Fingerprint {
    public_key(number).fingerprint()
}

pub fn key_entry(number: u64, title: &str) -> Entry {
    let key = public_key(number);
    let line =
        format!(r#"{{"kind":"key","id":{number},"user_id":1,"title":"{title}","key":"{key}","created_at":"2026-01-31T12:00:00.000Z"}}"#);
    Entry::parse(&line).unwrap()
}

pub fn user_entry(state: &str) -> Entry {
    Entry::parse(&format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"Zoë"{state}}}"#)).unwrap()
}

pub fn user_and_keys(keys: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    std::iter::once(user_entry("")).chain(keys.map(|number| key_entry(number, "laptop"))).collect()
}

pub fn delete_key(number: u64) -> Change {
    Change::Delete(RecordIdentity::Key(Id::try_from(number).unwrap()))
}

pub fn put_entry(entry: Entry) -> Change {
    Change::Put(entry)
}
