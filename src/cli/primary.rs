//! `sidegate primary`: starts and stops the primary. The steps of both are the lines of [`run`].

use std::path::Path;
use std::sync::Arc;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::allocator;
use crate::cli::certificates;
use crate::cli::config::file;
use crate::cli::config::primary::{ListenConfig, PrimaryConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::hardening;
use crate::cli::lifecycle::{self, LifecycleEvents};
use crate::cli::logging;
use crate::cli::metrics_server;
use crate::cli::primary_options::{build_options, repository_creation};
use crate::cli::reload::primary::PrimaryTarget;
use crate::cli::reload::reloader::{ReloadTarget as _, Reloader};
use crate::cli::service_status;
use crate::cli::shutdown::{self, ExitDeadline};
use crate::cli::sockets;
use crate::cli::watchdog;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen;
use crate::primary::config::PrimaryOptions;
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
    let state = PrimaryState::open(PrimaryOptions { repositories: repository_creation(&config)?, daemon: daemon.clone(), ..options })
        .map_err(CommandError::new)?;
    state.show_endpoints();
    let runtime = lifecycle::start_runtime()?;
    let deadline = ExitDeadline::prepare()?;
    let mut events = LifecycleEvents::subscribe(&runtime, PrimaryTarget::files(&config))?;
    let certificate = sockets::load_certificate(config.listen.as_ref().and_then(ListenConfig::tls))?;
    let sockets = sockets::open(inherited, &config.socket, config.listen.as_ref().map(|listen| (listen, certificate.as_ref())))?;
    let metrics_socket = sockets::open_metrics(&config.metrics)?;
    let server = HttpServer::start(sockets, Arc::clone(&state), config.limits.server_limits(), 0, counters).map_err(CommandError::new)?;
    let metrics_server = metrics_server::start(metrics_socket, &state)?;
    tracing::info!(version = VERSION, "primary started, version {VERSION}");
    let record = Arc::clone(&daemon.last_reload);
    let target = PrimaryTarget { state: &state, server: &server, certificate, daemon };
    let mut reloader = Reloader::new(target, path, &config, &record)?;
    let end = runtime.block_on(async {
        tokio::spawn(watchdog::feed(server.prober()));
        tokio::select! {
            () = events.reload_until_terminated(|event| reloader.reload(event)) => None,
            () = service_status::report(&state) => None,
            reason = state.store_failed() => Some(reason),
        }
    });
    if let Some(reason) = end {
        shutdown::end_with_failed_store(log, &reason);
    }
    deadline.begin(server.limits().shutdown_time + shutdown::CLOSE_TIME);
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

fn note_certificates(config: &PrimaryConfig, daemon: &DaemonFacts) {
    if let Some((chain, _)) = config.listen.as_ref().and_then(ListenConfig::tls) {
        certificates::note_own_chain(daemon, chain);
    }
    if let Some(file) = &config.creation.ca_file {
        certificates::note_trusted(daemon, file);
    }
}
