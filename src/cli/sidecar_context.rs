//! What a sidecar is built of by its configuration: the clients, the secrets, and what its replica and its state are started with.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use nix::unistd::Uid;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::config::serve::{FeedOrigin, ServeConfig};
use crate::cli::exit_status::CommandError;
use crate::cli::ids;
use crate::cli::revocation_relay::RevocationRelay;
use crate::cli::secrets;
use crate::model::coverage::Coverage;
use crate::model::freshness::DirectoryReplica;
use crate::model::kept_answer::KeptAnswerStore;
use crate::model::revocation_listener::RevocationListener;
use crate::net::client::http_client::HttpClient;
use crate::net::server::counters::ServerCounters;
use crate::replica::config::{FeedMode, ReplicaConfig, Timing};
use crate::replica::service::Replica;
use crate::sidecar::config::{
    CheckIp, FollowerTokenFn, FreshnessPolicy, KeptBounds, KeptConfig, KeptMode, MirrorConfig, ReplicaControl, SidecarConfig,
};
use crate::sidecar::version_cache::VERSIONS_FILE;
use crate::store::kept::kept_store::KeptStore;
use crate::wire::auth::credentials::CredentialVerifier;
use crate::wire::auth::jwt::{self, Issuer};
use crate::wire::auth::secret::Secret;

/// How many verified tokens of callers are cached.
const TOKEN_CACHE_ENTRIES: usize = 8192;

/// Values that the replica and the sidecar share.
pub struct SharedContext {
    pub host: String,
    /// At each address of the primary, the preferred one first.
    client: HttpClient,
    other_clients: Vec<HttpClient>,
    /// At the mirror whose feed is followed; `None` without one.
    mirror_client: Option<HttpClient>,
    pub caller_auth: Arc<CredentialVerifier>,
    pub signer: Arc<CredentialVerifier>,
    /// The secret that followers sign with, if the primary has a feed; the sidecar signs its reports of usage with it.
    sync_secret: Arc<ArcSwapOption<Secret>>,
}

impl SharedContext {
    /// Reads the secrets, and opens the clients.
    pub fn from_config(config: &ServeConfig) -> Result<Self, CommandError> {
        let mut clients = config.primary.open_clients().map_err(CommandError::new)?.into_iter();
        Ok(Self {
            host: config.host.clone().map_or_else(ids::hostname, Ok)?,
            client: clients.next().ok_or_else(|| CommandError("primary.url names no URL".to_owned()))?,
            other_clients: clients.collect(),
            mirror_client: config.feed.open_client(&config.primary).map_err(CommandError::new)?,
            caller_auth: Arc::new(CredentialVerifier::new(
                secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?,
                TOKEN_CACHE_ENTRIES,
            )),
            signer: Arc::new(CredentialVerifier::new(load_signing_secret(config)?, 1)),
            sync_secret: Arc::new(ArcSwapOption::from_pointee(load_sync_secret(config)?)),
        })
    }

    /// Returns what the replica is started with.
    pub fn replica_setup(&self, config: &ServeConfig, relay: &Arc<RevocationRelay>) -> Result<ReplicaConfig, CommandError> {
        let (feed_mode, unsaid_coverage) = match config.feed_origin() {
            FeedOrigin::Primary => (FeedMode::Follow, Coverage::default()),
            FeedOrigin::Mirror => (FeedMode::Follow, Coverage::logins()),
            FeedOrigin::None => (FeedMode::Disabled, Coverage::nothing()),
        };
        let keeps_answers = config.feed_origin() == FeedOrigin::Mirror;
        Ok(ReplicaConfig {
            store_path: config.store.common.path.clone(),
            store_options: config.store.common.options(),
            feed_client: self.mirror_client.as_ref().unwrap_or(&self.client).clone(),
            sync_secret: load_sync_secret(config)?.map_or_else(|| load_signing_secret(config), Ok)?,
            host: self.host.clone(),
            longest_max_stale: config.freshness.longest_max_stale(),
            loss_guard: config.freshness.loss_guard,
            feed_mode,
            unsaid_coverage,
            revocations: keeps_answers.then(|| Arc::clone(relay) as Arc<dyn RevocationListener>),
            timing: Timing::default(),
        })
    }

    /// Returns what the sidecar is started with.
    pub fn sidecar_setup(
        &self,
        config: &ServeConfig,
        replica: &Arc<Replica>,
        counters: &Arc<ServerCounters>,
        daemon: DaemonFacts,
        kept_store: Option<&Arc<KeptStore>>,
    ) -> Result<SidecarConfig, CommandError> {
        Ok(SidecarConfig {
            host: self.host.clone(),
            accept_shared_secret: config.auth.accept_shared_secret,
            freshness_policy: FreshnessPolicy {
                keys: config.freshness.keys,
                reads: config.freshness.reads,
                push_precheck: config.freshness.push_precheck,
                hedge: config.freshness.hedge,
            },
            follows_feed: config.feed_origin() == FeedOrigin::Primary,
            mirror: self.mirror_setup(config),
            versions_file: config.store.common.path.join(VERSIONS_FILE),
            timeout: config.primary.timeout,
            forward_timeout: config.primary.forward_timeout,
            operations_per_minute: config.primary.operations_per_minute,
            bounds: config.limits.server_limits(),
            server_counters: Arc::clone(counters),
            daemon,
            scopes: ids::resolve_peer_policy(Uid::effective().as_raw(), &config.socket.default_scopes, &config.peer)?,
            credential_verifier: Arc::clone(&self.caller_auth),
            token_signer: Arc::clone(&self.signer),
            follower_token: self.follower_token_source(),
            primary_client: self.client.clone(),
            other_clients: self.other_clients.clone(),
            replica: Arc::clone(replica) as Arc<dyn DirectoryReplica>,
            replica_control: replica_admin(replica),
            kept: kept_store.map(|store| kept_setup(config, store)),
        })
    }

    fn mirror_setup(&self, config: &ServeConfig) -> Option<MirrorConfig> {
        let client = self.mirror_client.clone()?;
        Some(MirrorConfig { url: client.display_name(), client, misses_per_second: config.freshness.misses_per_second })
    }

    /// Returns the function that issues this host's token as a follower; it issues none if no feed is followed.
    fn follower_token_source(&self) -> FollowerTokenFn {
        let (host, secret) = (self.host.clone(), Arc::clone(&self.sync_secret));
        Box::new(move |now| secret.load().as_ref().map(|secret| jwt::issue_token(Issuer::Follower, Some(&host), secret, now)))
    }

    /// Replaces the secret that followers sign with; `None`, without a feed, changes nothing.
    pub fn set_sync_secret(&self, secret: Option<Secret>, replica: &Replica) {
        if let Some(secret) = secret {
            replica.set_sync_secret(secret.clone());
            self.sync_secret.store(Some(Arc::new(secret)));
        }
    }
}

/// Returns the functions of the replica that the admin endpoints of the sidecar call.
fn replica_admin(replica: &Arc<Replica>) -> ReplicaControl {
    let share = || Arc::clone(replica);
    let (status, resync, verify, alarms, metrics) = (share(), share(), share(), share(), share());
    ReplicaControl {
        status: Box::new(move || serde_json::to_value(status.status()).unwrap_or_default()),
        resync: Box::new(move || resync.resync()),
        verify: Box::new(move || {
            let replica = Arc::clone(&verify);
            Box::pin(async move {
                let report = replica.verify().await.map_err(|error| error.to_string())?;
                serde_json::to_value(report).map_err(|error| error.to_string())
            })
        }),
        alarms: Box::new(move || alarms.alarm_counts().into_iter().map(|count| (count.kind, count.active, count.raised)).collect()),
        register_metrics: Box::new(move |registry| metrics.register_metrics(registry)),
    }
}

fn kept_setup(config: &ServeConfig, store: &Arc<KeptStore>) -> KeptConfig {
    KeptConfig {
        bounds: KeptBounds { answers: config.store.kept_answers, bytes: config.store.kept_bytes },
        negative_ttl: config.freshness.negative_ttl,
        check_ip: if config.freshness.check_ip { CheckIp::Matters } else { CheckIp::Ignored },
        mode: if config.primary.shadow { KeptMode::Shadow } else { KeptMode::Answer },
        mass_negative: config.freshness.mass_negative,
        store: Arc::clone(store) as Arc<dyn KeptAnswerStore>,
    }
}

/// Loads the secret that requests to the primary are signed with.
pub fn load_signing_secret(config: &ServeConfig) -> Result<Secret, CommandError> {
    match &config.primary.shell_secret_file {
        Some(file) => secrets::load_secret("primary.shell_secret_file", file),
        None => secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file),
    }
}

/// Returns the file of the secret that followers sign with, and the setting that names it; `None` where no feed is followed.
pub fn sync_secret_file(config: &ServeConfig) -> Option<(&'static str, &Path)> {
    match config.feed_origin() {
        FeedOrigin::Primary => config.primary.sync_secret_file.as_deref().map(|file| ("primary.sync_secret_file", file)),
        FeedOrigin::Mirror => config.feed.sync_secret_file(&config.primary),
        FeedOrigin::None => None,
    }
}

/// Loads the secret that followers sign with; `None` where no feed is followed.
pub fn load_sync_secret(config: &ServeConfig) -> Result<Option<Secret>, CommandError> {
    sync_secret_file(config).map(|(key, file)| secrets::load_secret(key, file)).transpose()
}
