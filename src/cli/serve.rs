//! `sidegate serve`: the sidecar of a host, put together. The steps of its start and of its end are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::cli::allocator;
use crate::cli::config::upstream::FeedKind;
use crate::cli::config::{self, ServeConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::hardening;
use crate::cli::ids;
use crate::cli::lifecycle::{LifecycleEvent, LifecycleEvents};
use crate::cli::logging;
use crate::cli::secrets;
use crate::model::clock;
use crate::model::freshness::DirectoryReplica;
use crate::net::client::http_client::HttpClient;
use crate::net::notify;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen::{self, BoundSocket};
use crate::replica::config as follower;
use crate::replica::service::Replica;
use crate::sidecar::SidecarState;
use crate::sidecar::config::{FollowerTokenFn, FreshnessPolicy, ReplicaControl, SidecarConfig};
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::credentials::CredentialVerifier;
use crate::wire::auth::jwt::{self, Issuer};
use crate::wire::auth::secret::Secret;

/// How many tokens of callers are remembered as good.
const TOKEN_CACHE_ENTRIES: usize = 8192;

/// Runs the sidecar until it is told to end.
pub fn run(file: &Path) -> CommandResult {
    let inherited = listen::inherited_sockets().map_err(CommandError::new)?;
    let config: ServeConfig = config::load(file).map_err(CommandError::new)?;
    hardening::disable_core_dumps()?;
    hardening::raise_open_file_limit();
    allocator::use_single_arena();
    let log = logging::start(config.log)?;
    let parts = SharedContext::from_config(&config)?;
    let sockets = open_sockets(inherited, &config)?;
    let replica = Replica::start(parts.replica_setup(&config)?).map_err(CommandError::new)?;
    let sidecar = SidecarState::new(parts.sidecar_setup(&config, &replica)?);
    let server = HttpServer::start(sockets, Arc::clone(&sidecar), config.limits.bounds(), 0, Arc::new(ServerCounters::default()))
        .map_err(CommandError::new)?;
    tracing::info!(host = parts.host, version = env!("CARGO_PKG_VERSION"), "sidegate serves");
    let ended = run_until_stopped(&config, &parts, &replica, sidecar);
    notify::stopping();
    server.stop();
    replica.stop();
    tracing::info!("sidegate has ended");
    log.shutdown();
    ended
}

/// What several rooms share.
struct SharedContext {
    host: String,
    client: HttpClient,
    caller_auth: Arc<CredentialVerifier>,
    signer: Arc<CredentialVerifier>,
    /// The followers' secret, if there is a feed: for reports of use.
    sync_secret: Arc<ArcSwapOption<Secret>>,
}

impl SharedContext {
    fn from_config(config: &ServeConfig) -> Result<Self, CommandError> {
        let upstream = &config.primary;
        Ok(Self {
            host: config.host.clone().map_or_else(ids::hostname, Ok)?,
            client: HttpClient::new(&upstream.url, upstream.ca_file.as_deref(), upstream.insecure_http).map_err(CommandError::new)?,
            caller_auth: Arc::new(CredentialVerifier::new(
                secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?,
                TOKEN_CACHE_ENTRIES,
            )),
            signer: Arc::new(CredentialVerifier::new(load_signing_secret(config)?, 1)),
            sync_secret: Arc::new(ArcSwapOption::from_pointee(load_sync_secret(config)?)),
        })
    }

    fn replica_setup(&self, config: &ServeConfig) -> Result<follower::ReplicaConfig, CommandError> {
        let feeding = match config.primary.feed {
            FeedKind::Sidegate => follower::FeedMode::Follow,
            FeedKind::None => follower::FeedMode::Disabled,
        };
        Ok(follower::ReplicaConfig {
            store_path: config.store.path.clone(),
            store_options: StoreOptions {
                page_cache_bytes: config.store.page_cache as u64,
                record_cache_entries: config.store.record_cache,
            },
            feed_client: self.client.clone(),
            sync_secret: load_sync_secret(config)?.map_or_else(|| load_signing_secret(config), Ok)?,
            host: self.host.clone(),
            key_limits: config.freshness.keys,
            loss_guard: config.freshness.loss_guard,
            feed_mode: feeding,
            timing: follower::Timing::default(),
        })
    }

    fn sidecar_setup(&self, config: &ServeConfig, replica: &Arc<Replica>) -> Result<SidecarConfig, CommandError> {
        Ok(SidecarConfig {
            host: self.host.clone(),
            accept_shared_secret: config.auth.accept_shared_secret,
            freshness_policy: FreshnessPolicy {
                keys: config.freshness.keys,
                reads: config.freshness.reads,
                push_precheck: config.freshness.push_precheck,
            },
            timeout: config.primary.timeout,
            forward_timeout: config.primary.forward_timeout,
            bounds: config.limits.bounds(),
            scopes: ids::resolve_peer_scopes(&config.peer)?,
            credential_verifier: Arc::clone(&self.caller_auth),
            token_signer: Arc::clone(&self.signer),
            follower_token: self.follower_token_source(),
            primary_client: self.client.clone(),
            replica: Arc::clone(replica) as Arc<dyn DirectoryReplica>,
            replica_control: replica_admin(replica),
        })
    }
}

impl SharedContext {
    /// Makes the token that this host shows as a follower; none without a feed.
    fn follower_token_source(&self) -> FollowerTokenFn {
        let (host, secret) = (self.host.clone(), Arc::clone(&self.sync_secret));
        Box::new(move |now| secret.load().as_ref().map(|secret| jwt::issue_token(Issuer::Follower, Some(&host), secret, now)))
    }
}

fn replica_admin(replica: &Arc<Replica>) -> ReplicaControl {
    let of = || Arc::clone(replica);
    let (status, resync, verify, metrics) = (of(), of(), of(), of());
    ReplicaControl {
        status: Box::new(move || serde_json::to_value(status.status()).unwrap_or_default()),
        resync: Box::new(move || resync.resync()),
        verify: Box::new(move || {
            let replica = Arc::clone(&verify);
            Box::pin(async move {
                let found = replica.verify().await.map_err(|error| error.to_string())?;
                serde_json::to_value(found).map_err(|error| error.to_string())
            })
        }),
        register_metrics: Box::new(move |registry| metrics.register_metrics(registry)),
    }
}

/// The sockets that systemd handed over, else our own.
fn open_sockets(inherited: Vec<BoundSocket>, config: &ServeConfig) -> Result<Vec<BoundSocket>, CommandError> {
    if !inherited.is_empty() {
        return Ok(inherited);
    }
    let group = config.socket.group.as_deref().map(ids::group_id).transpose()?;
    Ok(vec![listen::bind_unix(&config.socket.path, config.socket.mode, group).map_err(CommandError::new)?])
}

fn load_signing_secret(config: &ServeConfig) -> Result<Secret, CommandError> {
    match &config.primary.shell_secret_file {
        Some(file) => secrets::load_secret("primary.shell_secret_file", file),
        None => secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file),
    }
}

fn load_sync_secret(config: &ServeConfig) -> Result<Option<Secret>, CommandError> {
    match (&config.primary.sync_secret_file, config.primary.feed) {
        (Some(file), FeedKind::Sidegate) => secrets::load_secret("primary.sync_secret_file", file).map(Some),
        _ => Ok(None),
    }
}

/// Serves until told to end; reads the secrets again when told to, or when a file has changed.
fn run_until_stopped(config: &ServeConfig, parts: &SharedContext, replica: &Arc<Replica>, sidecar: Arc<SidecarState>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
    runtime.block_on(async {
        let mut signals = LifecycleEvents::subscribe(secret_files(config))?;
        tokio::spawn(sidecar.report_usage());
        notify::ready();
        loop {
            let told = signals.next().await;
            match told {
                LifecycleEvent::Terminate => return Ok(Completion::Complete),
                LifecycleEvent::Reload => {
                    notify::reloading();
                    reload_secrets(config, parts, replica);
                    notify::ready();
                }
                LifecycleEvent::SecretFileChanged => reload_secrets(config, parts, replica),
            }
        }
    })
}

fn secret_files(config: &ServeConfig) -> Vec<PathBuf> {
    let files = [Some(&config.auth.shell_secret_file), config.primary.shell_secret_file.as_ref(), config.primary.sync_secret_file.as_ref()];
    files.into_iter().flatten().map(|file| secrets::secret_path(file)).collect()
}

/// Takes the secrets anew. One that cannot be read leaves the old one in force, and says so.
fn reload_secrets(config: &ServeConfig, parts: &SharedContext, replica: &Replica) {
    let now = clock::wall_time();
    let renewed =
        secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file).map(|secret| parts.caller_auth.rotate(secret, now));
    let signing = load_signing_secret(config).map(|secret| parts.signer.rotate(secret, now));
    let sync = reload_sync_secret(config, parts, replica);
    match [renewed, signing, sync].into_iter().collect::<Result<Vec<()>, CommandError>>() {
        Ok(_) => tracing::info!("the secrets were read again"),
        Err(failure) => tracing::error!(reason = %failure, "a secret could not be read again; the one before stays in force"),
    }
}

fn reload_sync_secret(config: &ServeConfig, parts: &SharedContext, replica: &Replica) -> Result<(), CommandError> {
    if let (Some(following), reporting) = (load_sync_secret(config)?, load_sync_secret(config)?) {
        replica.set_sync_secret(following);
        parts.sync_secret.store(reporting.map(Arc::new));
    }
    Ok(())
}
