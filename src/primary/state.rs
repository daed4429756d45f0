//! The state of a primary that is open: its store, its secrets, and what it keeps in memory.

use std::path::PathBuf;
use std::sync::Arc;

use http::StatusCode;
use prometheus_client::registry::Registry;

use crate::api::alarm_metrics::AlarmMetrics;
use crate::api::blocking::run_blocking;
use crate::api::context::ApiContext;
use crate::api::daemon_metrics::DaemonMetrics;
use crate::api::error::ApiError;
use crate::api::last_reload::LastReload;
use crate::api::peer_policy::{PeerPolicy, PeerScope};
use crate::api::request::RequestTime;
use crate::api::request_metrics::RequestMetrics;
use crate::api::socket_health::SocketMetrics;
use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::net::server::counters::ServerCounters;
use crate::primary::alarm_kinds::{HOST_NOT_STORED, HOSTS_MISSING, INVALID_RECORDS, SHARED_HOST_NAME, SHARED_REPOSITORIES};
use crate::primary::apply::execute::ApplyTarget;
use crate::primary::apply::removed_users::OwnersInMemory;
use crate::primary::config::PrimaryOptions;
use crate::primary::credentials::last_used::LastUsed;
use crate::primary::credentials::reloadable_secret::ReloadableSecret;
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::maintenance::Maintenance;
use crate::primary::metrics::PrimaryMetrics;
use crate::primary::pushes::create_project::ProjectCreator;
use crate::primary::pushes::repositories::RepositoryCreator;
use crate::primary::replication::answers_under_way::AnswersUnderWay;
use crate::primary::replication::feed_buffer::FeedBuffer;
use crate::primary::replication::feed_clock::{FeedClock, own_boot_id};
use crate::primary::replication::follower_auth::FollowerAuth;
use crate::primary::replication::follower_stream::StreamSource;
use crate::primary::replication::host_record::HostKey;
use crate::primary::replication::host_table::SHARED_NAME;
use crate::primary::replication::hosts::HostRegistry;
use crate::primary::replication::missing_hosts::{MissingHosts, MissingReason};
use crate::primary::replication::propagation::PropagationMonitor;
use crate::primary::replication::shutdown::ShutdownSender;
use crate::primary::replication::snapshot_cache::SnapshotCache;
use crate::primary::start_repairs::StartRepairs;
use crate::primary::store_figures::StoreFigures;
use crate::primary::store_health::StoreHealth;
use crate::primary::store_watch::StoreWatch;
use crate::rules;
use crate::store::error::StoreError;
use crate::store::files::folder;
use crate::store::primary::init::PrimaryOpenError;
use crate::store::primary::primary_store::PrimaryStore;
use crate::wire::auth::credentials::CredentialVerifier;
use crate::wire::auth::secret::Secret;

/// How many good tokens of gitlab-shell are cached.
/// What the look-up of the watchdog looks for.
const PROBED_KEY: &[u8] = b"a key that nobody has";
const TOKEN_CACHE_ENTRIES: usize = 4096;

/// A primary that is open.
pub struct PrimaryState {
    /// What the front door needs.
    pub(super) api: ApiContext,
    /// Everything that is counted, as Prometheus reads it.
    pub(super) registry: Registry,
    pub(super) store: PrimaryStore,
    /// The only way to write to the directory.
    pub(super) writer: Arc<DirectoryWriter>,
    /// The folder of temporary files, inside the store's, so that they are as private.
    pub(super) temp_dir: PathBuf,
    pub(super) follower_auth: Arc<FollowerAuth>,
    pub(super) kas_secret: ReloadableSecret,
    pub(super) admin_token: ReloadableSecret,
    pub(super) error_tracking_token: ReloadableSecret,
    pub(super) fleet_token: ReloadableSecret,
    pub(super) loss_guard: LossGuard,
    pub(super) own_uid: u32,
    /// What creates the repositories of new projects.
    pub(super) repositories: RepositoryCreator,
    pub(super) feed: Arc<FeedBuffer>,
    pub(super) hosts: Arc<HostRegistry>,
    pub(super) missing_hosts: Arc<MissingHosts>,
    pub(super) answers: AnswersUnderWay,
    pub(super) snapshots: SnapshotCache,
    feed_clock: FeedClock,
    pub(super) last_used: Arc<LastUsed>,
    pub(super) metrics: Arc<PrimaryMetrics>,
    /// What the server counts, and whether clients find its sockets.
    pub(super) server_counters: Arc<ServerCounters>,
    /// What is told of the store to whoever watches.
    pub(super) figures: StoreFigures,
    pub(super) started_at: RequestTime,
    /// What came of the last reload.
    pub(super) last_reload: Arc<LastReload>,
    shutdown: ShutdownSender,
    store_watch: StoreWatch,
    _maintenance: Maintenance,
}

/// Why a primary could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PrimaryStartError {
    #[error(transparent)]
    Store(#[from] PrimaryOpenError),
    #[error(transparent)]
    Folder(#[from] folder::FileError),
    #[error(transparent)]
    Damage(#[from] StoreError),
    #[error("the primary's threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
}

impl PrimaryState {
    /// Opens the store and starts the threads beside requests. Blocks.
    pub fn open(options: PrimaryOptions) -> Result<Arc<Self>, PrimaryStartError> {
        Self::open_with_registry(options, Registry::default())
    }

    /// As [`Self::open`], with metrics beside those that somebody else has registered. Blocks.
    pub fn open_with_registry(options: PrimaryOptions, mut registry: Registry) -> Result<Arc<Self>, PrimaryStartError> {
        let now = RequestTime::now();
        let store = PrimaryStore::open(&options.store_path, options.store_options)?;
        let temp_dir = options.store_path.join("tmp");
        folder::ensure_private(&temp_dir)?;
        let feed = Arc::new(FeedBuffer::starting_at(store.head()));
        let hosts = Arc::new(HostRegistry::load(store.private_store(), options.longest_max_stale, now, own_boot_id())?);
        let missing_hosts = Arc::new(MissingHosts::load(store.private_store(), hosts.longest_bound(), now, own_boot_id())?);
        let last_used = Arc::new(LastUsed::default());
        let metrics = Arc::new(PrimaryMetrics::register(&mut registry));
        let last_reload = Arc::clone(&options.daemon.last_reload);
        DaemonMetrics::register(options.daemon, &mut registry);
        SocketMetrics::register(Arc::clone(&options.server_counters), &mut registry);
        let api = ApiContext::new(
            PeerPolicy::new(options.own_uid, PeerScope::DEFAULT.to_vec(), Vec::new()),
            Arc::new(CredentialVerifier::new(options.shell_secret, TOKEN_CACHE_ENTRIES)),
            options.accept_shared_secret,
            options.bounds,
            RequestMetrics::register(&mut registry),
        );
        if let Some(alarm) = store.directory().invalid_records().and_then(|invalid| invalid.alarm()) {
            metrics.record_alarm(INVALID_RECORDS);
            tracing::error!("{alarm}");
        }
        if let Some(alarm) = store.directory().shared_repositories().alarm() {
            metrics.record_alarm(SHARED_REPOSITORIES);
            tracing::error!("{alarm}");
        }
        let writer = Arc::new(DirectoryWriter::new(store.clone(), Arc::clone(&metrics)));
        let repairs = StartRepairs::begin(Arc::clone(&writer), &store)?;
        if let Some(period) = missing_hosts.current(now) {
            metrics.record_alarm(HOSTS_MISSING);
            tracing::warn!("hosts may be missing from those that are known until {}: {}", period.until, period.reason);
        }
        let store_watch = StoreWatch::start(store.clone(), Arc::clone(&metrics), repairs)?;
        let maintenance = Maintenance::start(&store, &feed, Arc::clone(&hosts), Arc::clone(&missing_hosts), Arc::clone(&last_used))?;
        Ok(Arc::new(Self {
            api,
            registry,
            snapshots: SnapshotCache::new(options.publication.covers),
            feed_clock: options.publication.clock,
            temp_dir,
            writer,
            store,
            follower_auth: Arc::new(FollowerAuth::new(options.sync_secret, now.wall)),
            kas_secret: ReloadableSecret::new(options.kas_secret),
            admin_token: ReloadableSecret::new(options.admin_token),
            error_tracking_token: ReloadableSecret::new(options.error_tracking_token),
            fleet_token: ReloadableSecret::new(options.fleet_token),
            loss_guard: options.loss_guard,
            own_uid: options.own_uid,
            repositories: RepositoryCreator::new(options.repositories),
            feed,
            hosts,
            missing_hosts,
            answers: AnswersUnderWay::default(),
            last_used,
            metrics,
            server_counters: options.server_counters,
            figures: StoreFigures::default(),
            started_at: now,
            last_reload,
            shutdown: ShutdownSender::default(),
            store_watch,
            _maintenance: maintenance,
        }))
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &PrimaryStore {
        &self.store
    }

    /// Returns what shows alarms in the metrics.
    #[must_use]
    pub fn alarm_metrics(&self) -> AlarmMetrics {
        self.metrics.alarms.clone()
    }

    /// Returns the only way to write to the directory.
    #[must_use]
    pub const fn writer(&self) -> &Arc<DirectoryWriter> {
        &self.writer
    }

    /// Ends what would go on for as long as somebody listens: the followers' streams, and waiting for hosts.
    pub fn shut_down(&self) {
        self.shutdown.shut_down();
    }

    /// Returns why the store cannot be closed, if its disk takes no writes: closing it would wait for the disk, or fail. What was confirmed is
    /// on disk all the same. Blocks.
    #[must_use]
    pub fn cannot_close(&self) -> Option<String> {
        let looked = || self.store.look_for_room(true).err().map(|StoreError(reason)| reason);
        self.store_health().message().or_else(looked)
    }

    /// Looks a key up as whoever asks for one does.
    pub fn probe_look_up(&self) {
        if let Err(error) = rules::authorized_keys::decide(&self.store.directory(), PROBED_KEY) {
            tracing::warn!(%error, "the look-up by which the watchdog is fed failed: {error}");
        }
    }

    /// Returns whether the store can be written.
    pub(super) fn store_health(&self) -> StoreHealth {
        self.store_watch.health()
    }

    /// Waits until the store has failed, and returns why: then the process must end without closing the store, and start again.
    pub async fn store_failed(&self) -> String {
        self.store_watch.failed().await
    }

    /// Returns what an apply works on.
    pub(super) fn apply_target(&self) -> ApplyTarget<'_> {
        let memory = OwnersInMemory { last_used: &self.last_used, rate_limiter: &self.api.rate_limiter };
        ApplyTarget { store: &self.store, writer: &self.writer, temp_dir: &self.temp_dir, loss_guard: self.loss_guard, memory }
    }

    /// Returns what creates the projects of pushes.
    pub(super) fn project_creator(&self) -> ProjectCreator<'_> {
        ProjectCreator { writer: &self.writer, store: &self.store, repositories: &self.repositories, metrics: &self.metrics }
    }

    /// Returns what a follower's stream reads from.
    pub(super) fn stream_source(&self) -> StreamSource {
        StreamSource {
            store: self.store.clone(),
            feed: Arc::clone(&self.feed),
            clock: self.feed_clock.clone(),
            follower_auth: Arc::clone(&self.follower_auth),
            metrics: Arc::clone(&self.metrics),
            shutdown: self.shutdown.signal(),
        }
    }

    /// Returns the monitor that says where a commit is in force.
    pub(super) fn propagation_monitor(&self) -> PropagationMonitor<'_> {
        PropagationMonitor {
            hosts: &self.hosts,
            missing_hosts: &self.missing_hosts,
            answers: &self.answers,
            store: &self.store,
            started_at: self.started_at.boot,
            shutdown: self.shutdown.signal(),
        }
    }

    /// Stores a host before it gets a line, or uses a larger bound.
    pub(super) async fn store_host(&self, key: &HostKey) -> Result<(), ApiError> {
        if self.hosts.is_covered_on_disk(key) {
            return Ok(());
        }
        let (hosts, private_store, key) = (Arc::clone(&self.hosts), self.store.private_store().clone(), key.clone());
        let stored = run_blocking(move || hosts.store_before_line(&key, &private_store, clock::boot_time())).await;
        stored.map_err(|_logged| {
            self.metrics.record_alarm(HOST_NOT_STORED);
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "This host could not be written to the primary's store, so it gets no feed: see the primary's log, and make room on its disk.",
            )
        })
    }

    /// Raises an alarm if two hosts that may still answer have this name.
    pub(super) fn warn_of_shared_name(&self, host: &str, now: RequestTime) {
        if self.hosts.is_name_shared(host, now.boot) {
            self.metrics.record_alarm(SHARED_HOST_NAME);
            tracing::error!(host, "host {host}: {SHARED_NAME}");
        }
    }

    /// Notes that a host has a state which this primary never had, so that the store was restored from a backup, and other hosts may be
    /// missing.
    pub(super) async fn notice_missing_hosts(&self) {
        let (missing, private_store) = (Arc::clone(&self.missing_hosts), self.store.private_store().clone());
        let longest_bound = self.hosts.longest_bound();
        let noticed =
            run_blocking(move || missing.notice(MissingReason::UnknownState, longest_bound, &private_store, RequestTime::now())).await;
        match noticed {
            Ok(true) => tracing::error!(
                "this store was restored from a backup: hosts that it does not know may follow; until {longest_bound} s from now no \
                 revocation is said to be in force everywhere"
            ),
            Ok(false) => {}
            Err(error) => tracing::error!("failed to store that hosts may be missing: {}", error.message),
        }
    }

    /// Replaces gitlab-shell's secret; the one before is accepted for its grace.
    pub fn rotate_shell_secret(&self, next: Secret) {
        self.api.credential_verifier.rotate(next, clock::wall_time());
    }

    /// Replaces the followers' secret; streams opened with the one before end within its grace.
    pub fn rotate_sync_secret(&self, next: Secret) {
        self.follower_auth.rotate(next, clock::wall_time());
    }

    /// Replaces KAS's secret, or removes it.
    pub fn rotate_kas_secret(&self, next: Option<Secret>) {
        self.kas_secret.rotate(next, clock::wall_time());
    }

    /// Replaces the token of the subscription endpoints, or removes it.
    pub fn rotate_admin_token(&self, next: Option<Secret>) {
        self.admin_token.rotate(next, clock::wall_time());
    }

    /// Replaces the token of the fleet page, or removes it.
    pub fn rotate_fleet_token(&self, next: Option<Secret>) {
        self.fleet_token.rotate(next, clock::wall_time());
    }

    /// Replaces the token of error tracking, or removes it.
    pub fn rotate_error_tracking_token(&self, next: Option<Secret>) {
        self.error_tracking_token.rotate(next, clock::wall_time());
    }
}
