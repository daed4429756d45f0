//! `sidegate primary`: the primary, put together. The steps of its start and of its end are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::Uid;

use crate::cli::allocator;
use crate::cli::config::{self, PrimaryConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::hardening;
use crate::cli::ids;
use crate::cli::lifecycle::{LifecycleEvent, LifecycleEvents};
use crate::cli::logging;
use crate::cli::secrets;
use crate::net::notify;
use crate::net::server::counters::ServerCounters;
use crate::net::server::http_server::HttpServer;
use crate::net::server::listen::{self, BoundSocket};
use crate::primary::config::PrimaryOptions;
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::secret::Secret;

/// Runs the primary until it is told to end.
pub fn run(file: &Path) -> CommandResult {
    let inherited = listen::inherited_sockets().map_err(CommandError::new)?;
    let config: PrimaryConfig = config::load(file).map_err(CommandError::new)?;
    hardening::disable_core_dumps()?;
    hardening::raise_open_file_limit();
    allocator::use_single_arena();
    let log = logging::start(config.log)?;
    let counted = Arc::new(ServerCounters::default());
    let authority = PrimaryState::open(build_setup(&config, Arc::clone(&counted))?).map_err(CommandError::new)?;
    let sockets = open_sockets(inherited, &config)?;
    let server = HttpServer::start(sockets, Arc::clone(&authority), config.limits.bounds(), 0, counted).map_err(CommandError::new)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the primary serves");
    let ended = run_until_stopped(&config, &authority);
    notify::stopping();
    authority.shut_down();
    server.stop();
    tracing::info!("the primary has ended");
    log.shutdown();
    ended
}

fn build_setup(config: &PrimaryConfig, counted: Arc<ServerCounters>) -> Result<PrimaryOptions, CommandError> {
    Ok(PrimaryOptions {
        store_path: config.store.path.clone(),
        store_options: StoreOptions { page_cache_bytes: config.store.page_cache as u64, record_cache_entries: config.store.record_cache },
        shell_secret: secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?,
        sync_secret: secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?,
        kas_secret: config.auth.kas_secret_file.as_ref().map(|file| secrets::load_kas_secret("auth.kas_secret_file", file)).transpose()?,
        admin_token: load_optional_secret("auth.admin_token_file", config.auth.admin_token_file.as_ref())?,
        error_tracking_token: load_optional_secret("auth.error_tracking_token_file", config.auth.error_tracking_token_file.as_ref())?,
        accept_shared_secret: config.auth.accept_shared_secret,
        loss_guard: config.sync.loss_guard,
        own_uid: Uid::effective().as_raw(),
        bounds: config.limits.bounds(),
        server_counters: counted,
    })
}

fn load_optional_secret(key: &str, file: Option<&PathBuf>) -> Result<Option<Secret>, CommandError> {
    file.map(|file| secrets::load_secret(key, file)).transpose()
}

/// The sockets that systemd handed over, else our own; and TCP where the configuration says so.
fn open_sockets(inherited: Vec<BoundSocket>, config: &PrimaryConfig) -> Result<Vec<BoundSocket>, CommandError> {
    let mut sockets = inherited;
    if sockets.is_empty() {
        let group = config.socket.group.as_deref().map(ids::group_id).transpose()?;
        sockets.push(listen::bind_unix(&config.socket.path, config.socket.mode, group).map_err(CommandError::new)?);
    }
    if let Some(network) = &config.listen {
        let tls = network.tls().map(|(chain, key)| listen::load_tls_config(chain, key)).transpose().map_err(CommandError::new)?;
        sockets.push(listen::bind_tcp(network.address, tls).map_err(CommandError::new)?);
    }
    Ok(sockets)
}

/// Serves until told to end; reads the secrets again when told to, or when a file has changed.
fn run_until_stopped(config: &PrimaryConfig, authority: &PrimaryState) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
    runtime.block_on(async {
        let mut signals = LifecycleEvents::subscribe(secret_files(config))?;
        notify::ready();
        loop {
            match signals.next().await {
                LifecycleEvent::Terminate => return Ok(Completion::Complete),
                LifecycleEvent::Reload => {
                    notify::reloading();
                    reload_secrets(config, authority);
                    notify::ready();
                }
                LifecycleEvent::SecretFileChanged => reload_secrets(config, authority),
            }
        }
    })
}

fn secret_files(config: &PrimaryConfig) -> Vec<PathBuf> {
    let auth = &config.auth;
    let optional = [&auth.kas_secret_file, &auth.admin_token_file, &auth.error_tracking_token_file];
    let files = [&auth.shell_secret_file, &auth.sync_secret_file].into_iter().chain(optional.into_iter().flatten());
    files.map(|file| secrets::secret_path(file)).collect()
}

/// Takes the secrets anew. If one cannot be read, all stay as they were, and the log says so.
fn reload_secrets(config: &PrimaryConfig, authority: &PrimaryState) {
    match build_setup(config, Arc::default()) {
        Ok(fresh) => {
            authority.rotate_shell_secret(fresh.shell_secret);
            authority.rotate_sync_secret(fresh.sync_secret);
            authority.rotate_kas_secret(fresh.kas_secret);
            authority.rotate_admin_token(fresh.admin_token);
            authority.rotate_error_tracking_token(fresh.error_tracking_token);
            tracing::info!("the secrets were read again");
        }
        Err(failure) => tracing::error!(reason = %failure, "a secret could not be read again; all stay as they were"),
    }
}
