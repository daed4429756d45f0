//! `sidegate serve`: starts and stops the sidecar of a host. The steps of both are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::allocator;
use crate::cli::certificates;
use crate::cli::config::file;
use crate::cli::config::serve::{FeedOrigin, ServeConfig};
use crate::cli::config::store::StoreConfig;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::hardening;
use crate::cli::lifecycle::{self, LifecycleEvent, LifecycleEvents};
use crate::cli::logging;
use crate::cli::metrics_server;
use crate::cli::reload::reloader::{ReloadTarget as _, Reloader};
use crate::cli::reload::sidecar::SidecarTarget;
use crate::cli::revocation_relay::RevocationRelay;
use crate::cli::service_status;
use crate::cli::shutdown::{self, ExitDeadline};
use crate::cli::sidecar_context::SharedContext;
use crate::cli::sockets;
use crate::cli::watchdog;
use crate::model::revocation_listener::RevocationListener;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen;
use crate::replica::service::Replica;
use crate::sidecar::state::SidecarState;
use crate::store::kept::kept_store::KeptStore;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the sidecar until it is told to end.
pub fn run(path: &Path) -> CommandResult {
    let inherited = listen::inherited_sockets().map_err(CommandError::new)?;
    let config: ServeConfig = file::load(path).map_err(CommandError::new)?;
    hardening::disable_core_dumps()?;
    hardening::raise_open_file_limit();
    allocator::use_single_arena();
    let log = logging::start(config.log)?;
    let context = SharedContext::from_config(&config)?;
    let runtime = lifecycle::start_runtime()?;
    let deadline = ExitDeadline::prepare()?;
    let events = LifecycleEvents::subscribe(&runtime, SidecarTarget::files(&config))?;
    let sockets = sockets::open(inherited, &config.socket, None)?;
    let metrics_socket = sockets::open_metrics(&config.metrics)?;
    let relay = Arc::new(RevocationRelay::default());
    let replica = Replica::start(context.replica_setup(&config, &relay)?).map_err(CommandError::new)?;
    let counters = Arc::new(ServerCounters::default());
    let facts = DaemonFacts { name: "sidecar", log_lines_dropped: log.dropped_lines(), ..DaemonFacts::default() };
    config.trusted_certificates().for_each(|file| certificates::note_trusted(&facts, file));
    let (kept_store, record) = (prepare_kept_store(&config)?, Arc::clone(&facts.last_reload));
    let sidecar = SidecarState::new(context.sidecar_setup(&config, &replica, &counters, facts, kept_store.as_ref())?);
    sidecar.show_endpoints();
    start_kept_store(kept_store.as_deref(), &sidecar)?;
    connect_relay(&relay, &sidecar);
    let server = HttpServer::start(sockets, Arc::clone(&sidecar), config.limits.server_limits(), 0, counters).map_err(CommandError::new)?;
    let metrics_server = metrics_server::start(metrics_socket, &sidecar)?;
    tracing::info!(host = context.host, version = VERSION, "sidecar started on host {}, version {VERSION}", context.host);
    let target = SidecarTarget { context: &context, replica: &replica, sidecar: &sidecar, server: &server };
    let mut reloader = Reloader::new(target, path, &config, &record)?;
    runtime.block_on(run_until_stopped(events, &sidecar, &server, |event| reloader.reload(event)));
    deadline.begin(server.limits().shutdown_time + shutdown::CLOSE_TIME);
    server.stop();
    metrics_server.into_iter().for_each(HttpServer::stop);
    replica.stop();
    if let Some(kept_store) = kept_store {
        kept_store.stop();
    }
    tracing::info!("sidecar stopped");
    log.shutdown();
    Ok(Completion::Complete)
}

/// Returns the store of kept answers, in front of a GitLab. Fails for a folder that is not ours, or in use.
fn prepare_kept_store(config: &ServeConfig) -> Result<Option<Arc<KeptStore>>, CommandError> {
    let StoreConfig { path, page_cache, .. } = &config.store.common;
    let prepared = match config.feed_origin() {
        FeedOrigin::Primary => return Ok(None),
        FeedOrigin::Mirror => KeptStore::prepare_beside_generations(path, *page_cache as u64),
        FeedOrigin::None => KeptStore::prepare(path, *page_cache as u64),
    };
    prepared.map(Some).map_err(CommandError::new)
}

/// Reads what was kept before, while requests are served.
fn start_kept_store(store: Option<&KeptStore>, sidecar: &Arc<SidecarState>) -> Result<(), CommandError> {
    let (Some(store), Some(kept)) = (store, &sidecar.kept) else { return Ok(()) };
    if kept.shadow.is_some() {
        tracing::info!("shadow mode: the primary is asked for everything, and what is kept is only compared with its answers");
    }
    let answers = Arc::clone(&kept.answers);
    store.start(Box::new(move |loaded| answers.restore(loaded))).map_err(CommandError::new)
}

/// Passes what the followed directory takes back on to the kept answers.
fn connect_relay(relay: &RevocationRelay, sidecar: &SidecarState) {
    if let Some(kept) = &sidecar.kept {
        relay.connect(Arc::clone(&kept.answers) as Arc<dyn RevocationListener>);
    }
}

/// Runs until the daemon is told to end. Calls `reload` on SIGHUP, and when a file has changed.
async fn run_until_stopped(
    mut events: LifecycleEvents,
    sidecar: &Arc<SidecarState>,
    server: &HttpServer,
    reload: impl FnMut(LifecycleEvent) -> Vec<PathBuf>,
) {
    tokio::spawn(sidecar.upstream.run_probe());
    tokio::spawn(Arc::clone(sidecar).refresh_kept_answers());
    tokio::spawn(Arc::clone(sidecar).report_usage());
    tokio::spawn(watchdog::feed(server.prober()));
    tokio::select! {
        () = events.reload_until_terminated(reload) => {}
        () = service_status::report(sidecar) => {}
    }
}
