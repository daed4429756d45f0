//! The state of a mirror that is open.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use prometheus_client::registry::Registry;

use crate::mirror::alarms::Alarms;
use crate::mirror::config::{COVERED_KINDS, MirrorOptions, WalkIntervals};
use crate::mirror::directory::mirrored::MirroredDirectory;
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::clock::{Clock, SystemClock};
use crate::mirror::hooks::pending::PendingHooks;
use crate::mirror::hooks::untold::UntoldChanges;
use crate::mirror::metrics::MirrorMetrics;
use crate::mirror::proof::GitlabProof;
use crate::mirror::questions::Questions;
use crate::mirror::settle::Settler;
use crate::mirror::skipped::SkippedRecords;
use crate::mirror::task_thread::MirrorTasks;
use crate::mirror::verification::Verification;
use crate::mirror::walk::full::FullWalk;
use crate::mirror::walk::recent::RecentWalk;
use crate::model::clock;
use crate::primary::config::Publication;
use crate::primary::credentials::reloadable_secret::ReloadableSecret;
use crate::primary::replication::feed_clock::FeedClock;
use crate::primary::state::{PrimaryStartError, PrimaryState};
use crate::wire::auth::secret::Secret;

/// A mirror that is open.
pub struct MirrorState {
    /// The store, the feed, the hosts, and the operator's commands.
    pub(super) publisher: Arc<PrimaryState>,
    pub(super) gitlab_url: String,
    pub(super) client: Arc<GitlabClient>,
    pub(super) hook_token: ReloadableSecret,
    pub(super) intervals: WalkIntervals,
    pub(super) alarms: Arc<Alarms>,
    pub(super) proof: Arc<GitlabProof>,
    pub(super) skipped: Arc<SkippedRecords>,
    pub(super) questions: Arc<Questions>,
    pub(super) settler: Arc<Settler>,
    pub(super) pending: Arc<PendingHooks>,
    pub(super) verification: Arc<Verification>,
    pub(super) full_walk: Arc<FullWalk>,
    pub(super) recent_walk: Arc<RecentWalk>,
    pub(super) metrics: MirrorMetrics,
    pub(super) tasks: MirrorTasks,
}

impl MirrorState {
    /// Opens the store, and starts what goes on beside requests. Blocks.
    pub fn open(options: MirrorOptions) -> Result<Arc<Self>, PrimaryStartError> {
        let MirrorOptions { mut publisher, gitlab: client, gitlab_url, hook_token, intervals } = options;
        let mut registry = Registry::default();
        let metrics = MirrorMetrics::register(&mut registry);
        // The proof is kept in the store, and the store is opened with what dates its feed.
        let proof_of_feed: Arc<OnceLock<Arc<GitlabProof>>> = Arc::default();
        let for_feed = Arc::clone(&proof_of_feed);
        publisher.publication = Publication {
            covers: Some(COVERED_KINDS),
            clock: FeedClock::Proof(Arc::new(move || for_feed.get().and_then(|proof| proof.reading()))),
        };
        let guard = publisher.loss_guard;
        let publisher = PrimaryState::open_with_registry(publisher, registry)?;
        let alarms = Arc::new(Alarms::new(publisher.alarm_metrics()));
        let store = publisher.store();
        let private_store = store.private_store();
        let proof = Arc::clone(proof_of_feed.get_or_init(|| Arc::new(GitlabProof::unheard(private_store, intervals.recent))));
        proof.load_last()?;
        let directory = Arc::new(MirroredDirectory::load(store.clone(), Arc::clone(publisher.writer()), guard)?);
        let skipped = Arc::new(SkippedRecords::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let questions = Arc::new(Questions::new(Arc::clone(&client), clock, Arc::clone(&alarms), Arc::clone(&proof), Arc::clone(&skipped)));
        let settler = Arc::new(Settler {
            directory,
            questions: Arc::clone(&questions),
            alarms: Arc::clone(&alarms),
            untold: Mutex::new(UntoldChanges::default()),
            counts_untold: AtomicBool::new(false),
            sampled: Mutex::default(),
        });
        let pending = Arc::new(PendingHooks::load(private_store)?);
        let verification = Arc::new(Verification::new(Arc::clone(&settler), intervals.verify_every));
        let full_walk = Arc::new(FullWalk::load(Arc::clone(&settler), private_store)?);
        let recent_walk = Arc::new(RecentWalk::load(Arc::clone(&settler), Arc::clone(&proof), Arc::clone(&full_walk), private_store)?);
        Ok(Arc::new(Self {
            hook_token: ReloadableSecret::new(hook_token),
            tasks: MirrorTasks::default(),
            publisher,
            gitlab_url,
            client,
            intervals,
            alarms,
            proof,
            skipped,
            questions,
            settler,
            pending,
            verification,
            full_walk,
            recent_walk,
            metrics,
        }))
    }

    /// Ends what would go on for as long as somebody listens.
    pub fn shut_down(&self) {
        self.tasks.stop();
        self.publisher.shut_down();
    }

    /// Returns why the store cannot be closed, if its disk takes no writes. Blocks.
    #[must_use]
    pub fn cannot_close(&self) -> Option<String> {
        self.publisher.cannot_close()
    }

    /// Waits until the store has failed, and returns why: then the process must end without closing the store, and start again.
    pub async fn store_failed(&self) -> String {
        self.publisher.store_failed().await
    }

    /// Replaces the followers' secret.
    pub fn rotate_sync_secret(&self, next: Secret) {
        self.publisher.rotate_sync_secret(next);
    }

    /// Replaces the token of the fleet page, or removes it.
    pub fn rotate_fleet_token(&self, next: Option<Secret>) {
        self.publisher.rotate_fleet_token(next);
    }

    /// Replaces the token of GitLab's hooks; the one before is accepted for its grace.
    pub fn rotate_hook_token(&self, next: Option<Secret>) {
        self.hook_token.rotate(next, clock::wall_time());
    }
}
