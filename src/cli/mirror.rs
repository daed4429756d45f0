//! `sidegate mirror`: starts and stops the mirror. The steps of both are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::Uid;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::allocator;
use crate::cli::certificates;
use crate::cli::config::file;
use crate::cli::config::mirror::{HooksConfig, MirrorConfig};
use crate::cli::config::primary::ListenConfig;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::hardening;
use crate::cli::lifecycle::{self, LifecycleEvents};
use crate::cli::logging;
use crate::cli::metrics_server;
use crate::cli::mirror_progress;
use crate::cli::secrets;
use crate::cli::shutdown::{self, ExitDeadline};
use crate::cli::sockets;
use crate::mirror::config::{MirrorOptions, WalkIntervals};
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::clock::{Clock, SystemClock};
use crate::mirror::gitlab::pacer::Pacer;
use crate::mirror::gitlab::transport::{HttpTransport, PrivateToken};
use crate::mirror::routes::HookHandler;
use crate::mirror::state::MirrorState;
use crate::model::clock;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen;
use crate::primary::config::{PrimaryOptions, Publication, RepositoryCreation};
use crate::wire::auth::credentials::CredentialVerifier;
use crate::wire::auth::secret::Secret;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The threads that answer hooks: GitLab sends few at a time.
const HOOK_THREADS: usize = 1;
/// How many verified tokens are remembered: none is verified, the verifier only signs.
const SIGNED_TOKENS: usize = 1;

/// What shows GitLab that we may ask.
pub struct GitlabCredentials {
    token: Arc<PrivateToken>,
    signer: Arc<CredentialVerifier>,
}

/// Runs the mirror until it is told to end.
pub fn run(path: &Path) -> CommandResult {
    let inherited = listen::inherited_sockets().map_err(CommandError::new)?;
    let config: MirrorConfig = file::load(path).map_err(CommandError::new)?;
    hardening::disable_core_dumps()?;
    hardening::raise_open_file_limit();
    allocator::use_single_arena();
    let log = logging::start(config.log)?;
    let counters = Arc::new(ServerCounters::default());
    let credentials = GitlabCredentials::load(&config)?;
    let daemon = DaemonFacts { name: "mirror", log_lines_dropped: log.dropped_lines(), ..DaemonFacts::default() };
    note_certificates(&config, &daemon);
    let options = build_options(&config, &credentials, Arc::clone(&counters), daemon)?;
    let state = MirrorState::open(options).map_err(CommandError::new)?;
    state.show_endpoints();
    let runtime = lifecycle::start_runtime()?;
    let deadline = ExitDeadline::prepare()?;
    let mut events = LifecycleEvents::subscribe(&runtime, secret_files(&config))?;
    let limits = config.limits.server_limits();
    let sockets = sockets::open(inherited, &config.socket, config.listen.as_ref())?;
    let metrics_socket = sockets::open_metrics(&config.metrics)?;
    let server = HttpServer::start(sockets, Arc::clone(&state), limits, 0, counters).map_err(CommandError::new)?;
    let others = [start_hooks(&config, &state)?, metrics_server::start(metrics_socket, &state)?];
    state.start_tasks().map_err(CommandError::new)?;
    tracing::info!(version = VERSION, "mirror of {} started, version {VERSION}", config.gitlab.url);
    let end = runtime.block_on(async {
        tokio::select! {
            () = events.reload_until_terminated(|| reload_secrets(&config, &credentials, &state)) => None,
            reason = state.store_failed() => Some(reason),
            () = mirror_progress::report(&state) => None,
        }
    });
    if let Some(reason) = end {
        shutdown::end_with_failed_store(log, &reason);
    }
    deadline.begin(limits.shutdown_time + shutdown::CLOSE_TIME);
    state.shut_down();
    others.into_iter().flatten().for_each(HttpServer::stop);
    server.stop();
    if let Some(reason) = state.cannot_close() {
        shutdown::end_without_closing(log, &reason);
    }
    tracing::info!("mirror stopped");
    log.shutdown();
    Ok(Completion::Complete)
}

impl GitlabCredentials {
    /// Loads both from their files.
    pub fn load(config: &MirrorConfig) -> Result<Self, CommandError> {
        Self::new(&load_token(config)?, load_shell_secret(config)?)
    }

    /// Returns both from their secrets.
    pub fn new(token: &Secret, shell_secret: Secret) -> Result<Self, CommandError> {
        let token = PrivateToken::new(token).map_err(|error| CommandError::with_context("gitlab.token_file", error))?;
        Ok(Self { token: Arc::new(token), signer: Arc::new(CredentialVerifier::new(shell_secret, SIGNED_TOKENS)) })
    }
}

fn load_token(config: &MirrorConfig) -> Result<Secret, CommandError> {
    secrets::load_secret("gitlab.token_file", &config.gitlab.token_file)
}

/// Loads the secret that questions to the internal API are signed with.
fn load_shell_secret(config: &MirrorConfig) -> Result<Secret, CommandError> {
    match &config.gitlab.shell_secret_file {
        Some(file) => secrets::load_secret("gitlab.shell_secret_file", file),
        None => secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file),
    }
}

/// Loads the token of GitLab's hooks, if any are taken.
fn load_hook_token(config: &MirrorConfig) -> Result<Option<Secret>, CommandError> {
    config.hooks.as_ref().map(|hooks| secrets::load_secret("hooks.token_file", &hooks.token_file)).transpose()
}

/// Returns the options with the secrets as their files are now.
fn build_options(
    config: &MirrorConfig,
    credentials: &GitlabCredentials,
    counters: Arc<ServerCounters>,
    daemon: DaemonFacts,
) -> Result<MirrorOptions, CommandError> {
    let publisher = PrimaryOptions {
        store_path: config.store.path.clone(),
        store_options: config.store.options(),
        shell_secret: load_shell_secret(config)?,
        sync_secret: secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?,
        kas_secret: None,
        admin_token: None,
        error_tracking_token: None,
        accept_shared_secret: false,
        loss_guard: config.sync.loss_guard,
        longest_max_stale: config.sync.longest_max_stale,
        repositories: RepositoryCreation::ByOthers,
        publication: Publication::of_primary(),
        own_uid: Uid::effective().as_raw(),
        bounds: config.limits.server_limits(),
        server_counters: counters,
        daemon,
    };
    let walk = config.walk;
    Ok(MirrorOptions {
        publisher,
        gitlab: Arc::new(gitlab_client(config, credentials)?),
        gitlab_url: config.gitlab.url.clone(),
        hook_token: load_hook_token(config)?,
        intervals: WalkIntervals { full: walk.full, recent: walk.recent, verify_every: walk.verify_every },
    })
}

/// Returns what asks the GitLab of the configuration. Asks nothing yet.
pub fn gitlab_client(config: &MirrorConfig, credentials: &GitlabCredentials) -> Result<GitlabClient, CommandError> {
    let gitlab = &config.gitlab;
    let (token, signer) = (Arc::clone(&credentials.token), Arc::clone(&credentials.signer));
    let transport = HttpTransport::new(&gitlab.url, gitlab.ca_file.as_deref(), token, signer)
        .map_err(|error| CommandError::with_context("gitlab.url", error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let pacer = Arc::new(Pacer::new(gitlab.requests_per_second, Arc::clone(&clock)));
    Ok(GitlabClient::new(Arc::new(transport), clock, pacer))
}

/// Starts what answers at the address of hooks, if there is one.
fn start_hooks(config: &MirrorConfig, state: &Arc<MirrorState>) -> Result<Option<HttpServer>, CommandError> {
    let Some(hooks) = &config.hooks else { return Ok(None) };
    let tls = hooks.tls().map(|(chain, key)| listen::load_tls_config(chain, key)).transpose().map_err(CommandError::new)?;
    let sockets = vec![listen::bind_tcp(hooks.listen, tls).map_err(CommandError::new)?];
    let handler = Arc::new(HookHandler(Arc::clone(state)));
    HttpServer::start(sockets, handler, config.limits.server_limits(), HOOK_THREADS, Arc::default()).map(Some).map_err(CommandError::new)
}

fn note_certificates(config: &MirrorConfig, daemon: &DaemonFacts) {
    let own = [config.listen.as_ref().and_then(ListenConfig::tls), config.hooks.as_ref().and_then(HooksConfig::tls)];
    own.into_iter().flatten().for_each(|(chain, _)| certificates::note_own_chain(daemon, chain));
    if let Some(file) = &config.gitlab.ca_file {
        certificates::note_trusted(daemon, file);
    }
}

fn secret_files(config: &MirrorConfig) -> Vec<PathBuf> {
    let optional = [config.gitlab.shell_secret_file.as_ref(), config.hooks.as_ref().map(|hooks| &hooks.token_file)];
    let files = [&config.auth.shell_secret_file, &config.auth.sync_secret_file, &config.gitlab.token_file];
    files.into_iter().chain(optional.into_iter().flatten()).map(|file| secrets::secret_path(file)).collect()
}

/// Reloads all secrets. If one cannot be loaded, all stay as they are, and the log says so.
fn reload_secrets(config: &MirrorConfig, credentials: &GitlabCredentials, state: &MirrorState) {
    let load = || {
        let sync_secret = secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?;
        let (token, shell_secret, hook_token) = (load_token(config)?, load_shell_secret(config)?, load_hook_token(config)?);
        credentials.token.replace(&token).map_err(|error| CommandError::with_context("gitlab.token_file", error))?;
        credentials.signer.rotate(shell_secret, clock::wall_time());
        state.rotate_sync_secret(sync_secret);
        state.rotate_hook_token(hook_token);
        Ok::<(), CommandError>(())
    };
    match load() {
        Ok(()) => tracing::info!("reloaded the secrets"),
        Err(error) => tracing::error!(reason = %error, "failed to reload a secret, all stay as they are: {error}"),
    }
}
