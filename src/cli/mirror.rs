//! `sidegate mirror`: starts and stops the mirror. The steps of both are the lines of [`run`].

use std::path::Path;
use std::sync::Arc;

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
use crate::cli::mirror_options::{GitlabCredentials, build_options};
use crate::cli::mirror_progress;
use crate::cli::reload::mirror::MirrorTarget;
use crate::cli::reload::reloader::{ReloadTarget as _, Reloader};
use crate::cli::shutdown::{self, ExitDeadline};
use crate::cli::sockets;
use crate::cli::watchdog;
use crate::mirror::routes::HookHandler;
use crate::mirror::state::MirrorState;
use crate::net::server::certificate::ServerCertificate;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The threads that answer hooks: GitLab sends few at a time.
const HOOK_THREADS: usize = 1;

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
    let options = build_options(&config, &credentials, Arc::clone(&counters), daemon.clone())?;
    let state = MirrorState::open(options).map_err(CommandError::new)?;
    state.show_endpoints();
    let runtime = lifecycle::start_runtime()?;
    let deadline = ExitDeadline::prepare()?;
    let mut events = LifecycleEvents::subscribe(&runtime, MirrorTarget::files(&config))?;
    let limits = config.limits.server_limits();
    let certificate = sockets::load_certificate(config.listen.as_ref().and_then(ListenConfig::tls))?;
    let hook_certificate = sockets::load_certificate(config.hooks.as_ref().and_then(HooksConfig::tls))?;
    let sockets = sockets::open(inherited, &config.socket, config.listen.as_ref().map(|listen| (listen, certificate.as_ref())))?;
    let metrics_socket = sockets::open_metrics(&config.metrics)?;
    let server = HttpServer::start(sockets, Arc::clone(&state), limits, 0, counters).map_err(CommandError::new)?;
    let (hooks, metrics) = (start_hooks(&config, &state, hook_certificate.as_ref())?, metrics_server::start(metrics_socket, &state)?);
    state.start_tasks().map_err(CommandError::new)?;
    tracing::info!(version = VERSION, "mirror of {} started, version {VERSION}", config.gitlab.url);
    let record = Arc::clone(&daemon.last_reload);
    let target = MirrorTarget {
        credentials: &credentials,
        state: &state,
        servers: [Some(&server), hooks.as_ref()],
        takes_hooks: config.hooks.is_some(),
        certificate,
        hook_certificate,
        daemon,
    };
    let mut reloader = Reloader::new(target, path, &config, &record)?;
    let end = runtime.block_on(async {
        tokio::spawn(watchdog::feed(server.prober()));
        tokio::select! {
            () = events.reload_until_terminated(|event| reloader.reload(event)) => None,
            reason = state.store_failed() => Some(reason),
            () = mirror_progress::report(&state) => None,
        }
    });
    if let Some(reason) = end {
        shutdown::end_with_failed_store(log, &reason);
    }
    deadline.begin(server.limits().shutdown_time + shutdown::CLOSE_TIME);
    state.shut_down();
    [hooks, metrics].into_iter().flatten().for_each(HttpServer::stop);
    server.stop();
    if let Some(reason) = state.cannot_close() {
        shutdown::end_without_closing(log, &reason);
    }
    tracing::info!("mirror stopped");
    log.shutdown();
    Ok(Completion::Complete)
}

/// Starts what answers at the address of hooks, if there is one.
fn start_hooks(
    config: &MirrorConfig,
    state: &Arc<MirrorState>,
    certificate: Option<&Arc<ServerCertificate>>,
) -> Result<Option<HttpServer>, CommandError> {
    let Some(hooks) = &config.hooks else { return Ok(None) };
    let tls = certificate.map(ServerCertificate::tls_config).transpose().map_err(CommandError::new)?;
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
