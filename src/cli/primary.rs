//! `sidegate primary`: starts and stops the primary. The steps of both are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::Uid;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::allocator;
use crate::cli::certificates;
use crate::cli::config::creation::{CreationConfig, REPOSITORY_TIME_LIMIT, RepositoryMaker};
use crate::cli::config::file;
use crate::cli::config::primary::{ListenConfig, PrimaryConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::hardening;
use crate::cli::lifecycle::{self, LifecycleEvents};
use crate::cli::logging;
use crate::cli::metrics_server;
use crate::cli::secrets;
use crate::cli::shutdown::{self, ExitDeadline};
use crate::cli::sockets;
use crate::net::gitaly::client::GitalyClient;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen;
use crate::primary::config::{PrimaryOptions, Publication, RepositoryCreation};
use crate::primary::state::PrimaryState;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the primary until it is told to end.
pub fn run(path: &Path) -> CommandResult {
    let inherited = listen::inherited_sockets().map_err(CommandError::new)?;
    let config: PrimaryConfig = file::load(path).map_err(CommandError::new)?;
    hardening::disable_core_dumps()?;
    hardening::raise_open_file_limit();
    allocator::use_single_arena();
    let log = logging::start(config.log)?;
    let counters = Arc::new(ServerCounters::default());
    let daemon = DaemonFacts { name: "primary", log_lines_dropped: log.dropped_lines(), ..DaemonFacts::default() };
    note_certificates(&config, &daemon);
    let options = build_options(&config, Arc::clone(&counters))?;
    let state =
        PrimaryState::open(PrimaryOptions { repositories: repository_creation(&config)?, daemon, ..options }).map_err(CommandError::new)?;
    state.show_endpoints();
    let runtime = lifecycle::start_runtime()?;
    let deadline = ExitDeadline::prepare()?;
    let mut events = LifecycleEvents::subscribe(&runtime, secret_files(&config))?;
    let sockets = sockets::open(inherited, &config.socket, config.listen.as_ref())?;
    let metrics_socket = sockets::open_metrics(&config.metrics)?;
    let server = HttpServer::start(sockets, Arc::clone(&state), config.limits.server_limits(), 0, counters).map_err(CommandError::new)?;
    let metrics_server = metrics_server::start(metrics_socket, &state)?;
    tracing::info!(version = VERSION, "primary started, version {VERSION}");
    let end = runtime.block_on(async {
        tokio::select! {
            () = events.reload_until_terminated(|| reload_secrets(&config, &state)) => None,
            reason = state.store_failed() => Some(reason),
        }
    });
    if let Some(reason) = end {
        shutdown::end_with_failed_store(log, &reason);
    }
    deadline.begin(config.limits.server_limits().shutdown_time + shutdown::CLOSE_TIME);
    state.shut_down();
    server.stop();
    metrics_server.into_iter().for_each(HttpServer::stop);
    if let Some(reason) = state.cannot_close() {
        shutdown::end_without_closing(log, &reason);
    }
    tracing::info!("primary stopped");
    log.shutdown();
    Ok(Completion::Complete)
}

/// Returns what creates the repositories of new projects. Reads the file of certificates, if one is configured.
pub fn repository_creation(config: &PrimaryConfig) -> Result<RepositoryCreation, CommandError> {
    let CreationConfig { repositories, ca_file } = &config.creation;
    match repositories {
        RepositoryMaker::None => Ok(RepositoryCreation::ByOthers),
        RepositoryMaker::Gitaly => {
            let client = GitalyClient::new(ca_file.as_deref()).map_err(|reason| CommandError(format!("creation.ca_file: {reason}")))?;
            Ok(RepositoryCreation::Gitaly { client, time_limit: REPOSITORY_TIME_LIMIT })
        }
    }
}

/// Returns the options with the secrets as their files are now, and without what creates repositories.
fn build_options(config: &PrimaryConfig, counters: Arc<ServerCounters>) -> Result<PrimaryOptions, CommandError> {
    let auth = &config.auth;
    Ok(PrimaryOptions {
        store_path: config.store.path.clone(),
        store_options: config.store.options(),
        shell_secret: secrets::load_secret("auth.shell_secret_file", &auth.shell_secret_file)?,
        sync_secret: secrets::load_secret("auth.sync_secret_file", &auth.sync_secret_file)?,
        kas_secret: auth.kas_secret_file.as_ref().map(|file| secrets::load_kas_secret("auth.kas_secret_file", file)).transpose()?,
        admin_token: secrets::load_optional_secret("auth.admin_token_file", auth.admin_token_file.as_deref())?,
        error_tracking_token: secrets::load_optional_secret("auth.error_tracking_token_file", auth.error_tracking_token_file.as_deref())?,
        accept_shared_secret: auth.accept_shared_secret,
        loss_guard: config.sync.loss_guard,
        longest_max_stale: config.sync.longest_max_stale,
        repositories: RepositoryCreation::ByOthers,
        publication: Publication::of_primary(),
        own_uid: Uid::effective().as_raw(),
        bounds: config.limits.server_limits(),
        server_counters: counters,
        daemon: DaemonFacts::default(),
    })
}

fn note_certificates(config: &PrimaryConfig, daemon: &DaemonFacts) {
    if let Some((chain, _)) = config.listen.as_ref().and_then(ListenConfig::tls) {
        certificates::note_own_chain(daemon, chain);
    }
    if let Some(file) = &config.creation.ca_file {
        certificates::note_trusted(daemon, file);
    }
}

fn secret_files(config: &PrimaryConfig) -> Vec<PathBuf> {
    let auth = &config.auth;
    let optional = [&auth.kas_secret_file, &auth.admin_token_file, &auth.error_tracking_token_file];
    let files = [&auth.shell_secret_file, &auth.sync_secret_file].into_iter().chain(optional.into_iter().flatten());
    files.map(|file| secrets::secret_path(file)).collect()
}

/// Reloads all secrets. If one cannot be loaded, all stay as they are, and the log says so.
fn reload_secrets(config: &PrimaryConfig, state: &PrimaryState) {
    match build_options(config, Arc::default()) {
        Ok(options) => {
            state.rotate_shell_secret(options.shell_secret);
            state.rotate_sync_secret(options.sync_secret);
            state.rotate_kas_secret(options.kas_secret);
            state.rotate_admin_token(options.admin_token);
            state.rotate_error_tracking_token(options.error_tracking_token);
            tracing::info!("reloaded the secrets");
        }
        Err(error) => tracing::error!(reason = %error, "failed to reload a secret, all stay as they are: {error}"),
    }
}
