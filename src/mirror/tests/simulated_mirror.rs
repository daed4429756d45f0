//! A mirror of a GitLab in memory, on simulated time and a real store, without sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{load_directory, open_store};
use crate::api::alarm_metrics::AlarmMetrics;
use crate::mirror::alarms::Alarms;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::gitlab::tests::instance::records::Instance;
use crate::mirror::gitlab::tests::instance::rest::ApiVersion;
use crate::mirror::gitlab::tests::simulated_gitlab::Simulation;
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::hooks::untold::UntoldChanges;
use crate::mirror::proof::GitlabProof;
use crate::mirror::questions::Questions;
use crate::mirror::settle::Settler;
use crate::mirror::walk::full::FullWalk;
use crate::mirror::walk::recent::RecentWalk;
use crate::model::loss_guard::LossGuard;
use crate::model::record::Record;
use crate::store::primary::primary_store::PrimaryStore;
use crate::wire::gitlab::hook::HookEvent;

/// The parts of a mirror that ask and publish.
pub struct SimulatedMirror {
    pub simulation: Simulation,
    pub store: PrimaryStore,
    pub alarms: Arc<Alarms>,
    pub settler: Arc<Settler>,
    pub full: Arc<FullWalk>,
    pub recent: Arc<RecentWalk>,
    _folder: tempfile::TempDir,
}

impl SimulatedMirror {
    pub fn new(instance: Instance, version: ApiVersion, requests_per_second: u32, guard: LossGuard) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(folder.path());
        let simulation = Simulation::new(instance, version, requests_per_second, Duration::from_millis(20));
        let alarms = Arc::new(Alarms::new(AlarmMetrics::default()));
        let proof = Arc::new(GitlabProof::unheard(store.private_store(), Duration::from_secs(30)));
        let questions = Questions::new(
            Arc::new(simulation.client.clone()),
            Arc::clone(&simulation.clock) as _,
            Arc::clone(&alarms),
            Arc::clone(&proof),
            Arc::default(),
        );
        let settler = Arc::new(Settler {
            directory: Arc::new(load_directory(&store, guard)),
            questions: Arc::new(questions),
            alarms: Arc::clone(&alarms),
            untold: Mutex::new(UntoldChanges::default()),
            counts_untold: AtomicBool::new(false),
            sampled: Mutex::default(),
        });
        let full = Arc::new(FullWalk::load(Arc::clone(&settler), store.private_store()).unwrap());
        let recent = Arc::new(RecentWalk::load(Arc::clone(&settler), proof, Arc::clone(&full), store.private_store()).unwrap());
        Self { simulation, store, alarms, settler, full, recent, _folder: folder }
    }

    /// Does what follows from a hook: at once what binds at once, then asks.
    pub async fn take_hook(settler: Arc<Settler>, hook: String) {
        match HookEvent::parse(hook.as_bytes()).unwrap() {
            HookEvent::KeyCreated(named) => {
                settler.key(&named.key.unwrap(), Source::Hook, Priority::Hook).await.unwrap();
            }
            HookEvent::KeyDestroyed(named) => {
                let key = named.key.unwrap();
                let destroyed = Finding::NoKey { id: named.id, fingerprint: key.fingerprint() };
                settler.directory.publish(Source::Told, vec![(destroyed, None)]).await.unwrap();
                settler.key(&key, Source::Hook, Priority::Hook).await.unwrap();
            }
            HookEvent::UserCreated(user)
            | HookEvent::UserDestroyed(user)
            | HookEvent::UserRenamed(user)
            | HookEvent::UserFailedLogin(user) => {
                settler.user(user.id, Source::Hook, Priority::Hook).await.unwrap();
            }
            HookEvent::Ignored(_) => {}
        }
    }

    /// Compares what is published with what GitLab has.
    pub fn assert_equal(&self) {
        let instance = self.simulation.gitlab.instance.lock().unwrap();
        let (mut users, mut keys) = (BTreeMap::new(), BTreeSet::new());
        for entry in self.store.directory().entries() {
            match entry.unwrap().record().unwrap().as_ref() {
                Record::User(user) => drop(users.insert(user.id.number(), (user.username.to_string(), user.state))),
                Record::Key(key) => drop(keys.insert((key.id.number(), key.user_id.map(u64::from), key.key.to_string()))),
                Record::Settings(_) => {}
                other => panic!("a mirror publishes no {}", other.kind()),
            }
        }
        let names: BTreeMap<u64, String> = users.iter().map(|(id, (name, _))| (*id, name.clone())).collect();
        assert_eq!(names, instance.users().map(|user| (user.id, user.username.clone())).collect());
        for user in instance.users() {
            let active = users[&user.id].1 == crate::model::enums::UserState::Active;
            assert_eq!(active, user.state == "active", "user {} is {} at GitLab", user.id, user.state);
        }
        let owner = |key: &crate::mirror::gitlab::tests::instance::records::ApiKey| key.user.filter(|_| key.deploy.is_none());
        let expected = instance.keys().filter(|key| instance.is_login_key(key.id)).map(|key| (key.id, owner(key), key.line.clone()));
        assert_eq!(keys, expected.collect());
    }
}
