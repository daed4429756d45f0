//! `sidegate primary`: the primary, put together. The steps of its start and of its end are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::Uid;

use crate::authority::authority::Authority;
use crate::authority::setup::Setup;
use crate::cli::config::{self, PrimaryConfig};
use crate::cli::outcome::{Done, Failure, Outcome};
use crate::cli::signals::{Signals, Told};
use crate::cli::{hardening, heap, logging, names, secrets};
use crate::net::listen::{self, Listening};
use crate::net::notify;
use crate::net::server::{Counted, Server};
use crate::store::generation::Options;
use crate::wire::secret::Secret;

/// Runs the primary until it is told to end.
pub fn run(file: &Path) -> Outcome {
    let inherited = listen::inherited().map_err(Failure::of)?;
    let config: PrimaryConfig = config::load(file).map_err(Failure::of)?;
    hardening::keep_memory_private()?;
    hardening::raise_open_files();
    heap::share();
    let log = logging::start(config.log)?;
    let counted = Arc::new(Counted::default());
    let authority = Authority::open(setup(&config, Arc::clone(&counted))?).map_err(Failure::of)?;
    let sockets = sockets(inherited, &config)?;
    let server = Server::start(sockets, Arc::clone(&authority), config.limits.bounds(), 0, counted).map_err(Failure::of)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the primary serves");
    let ended = attend(&config, &authority);
    notify::stopping();
    authority.end();
    server.stop();
    tracing::info!("the primary has ended");
    log.finish();
    ended
}

fn setup(config: &PrimaryConfig, counted: Arc<Counted>) -> Result<Setup, Failure> {
    Ok(Setup {
        store_path: config.store.path.clone(),
        options: Options { page_cache: config.store.page_cache as u64, record_cache: config.store.record_cache },
        shell_secret: secrets::read("auth.shell_secret_file", &config.auth.shell_secret_file)?,
        sync_secret: secrets::read("auth.sync_secret_file", &config.auth.sync_secret_file)?,
        kas_secret: config.auth.kas_secret_file.as_ref().map(|file| secrets::read_kas("auth.kas_secret_file", file)).transpose()?,
        admin_token: named("auth.admin_token_file", config.auth.admin_token_file.as_ref())?,
        error_tracking_token: named("auth.error_tracking_token_file", config.auth.error_tracking_token_file.as_ref())?,
        accept_shared_secret: config.auth.accept_shared_secret,
        loss_guard: config.sync.loss_guard,
        own_uid: Uid::effective().as_raw(),
        bounds: config.limits.bounds(),
        counted,
    })
}

fn named(key: &str, file: Option<&PathBuf>) -> Result<Option<Secret>, Failure> {
    file.map(|file| secrets::read(key, file)).transpose()
}

/// The sockets that systemd handed over, else our own; and TCP where the configuration says so.
fn sockets(inherited: Vec<Listening>, config: &PrimaryConfig) -> Result<Vec<Listening>, Failure> {
    let mut sockets = inherited;
    if sockets.is_empty() {
        let group = config.socket.group.as_deref().map(names::group).transpose()?;
        sockets.push(listen::unix(&config.socket.path, config.socket.mode, group).map_err(Failure::of)?);
    }
    if let Some(network) = &config.listen {
        let tls = network.tls().map(|(chain, key)| listen::tls(chain, key)).transpose().map_err(Failure::of)?;
        sockets.push(listen::tcp(network.address, tls).map_err(Failure::of)?);
    }
    Ok(sockets)
}

/// Serves until told to end; reads the secrets again when told to, or when a file has changed.
fn attend(config: &PrimaryConfig, authority: &Authority) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of)?;
    runtime.block_on(async {
        let mut signals = Signals::listen(watched(config))?;
        notify::ready();
        loop {
            match signals.next().await {
                Told::End => return Ok(Done::Wholly),
                Told::Reload => {
                    notify::reloading();
                    reload(config, authority);
                    notify::ready();
                }
                Told::Changed => reload(config, authority),
            }
        }
    })
}

fn watched(config: &PrimaryConfig) -> Vec<PathBuf> {
    let auth = &config.auth;
    let optional = [&auth.kas_secret_file, &auth.admin_token_file, &auth.error_tracking_token_file];
    let files = [&auth.shell_secret_file, &auth.sync_secret_file].into_iter().chain(optional.into_iter().flatten());
    files.map(|file| secrets::place(file)).collect()
}

/// Takes the secrets anew. If one cannot be read, all stay as they were, and the log says so.
fn reload(config: &PrimaryConfig, authority: &Authority) {
    match setup(config, Arc::default()) {
        Ok(fresh) => {
            authority.renew_shell_secret(fresh.shell_secret);
            authority.renew_sync_secret(fresh.sync_secret);
            authority.renew_kas_secret(fresh.kas_secret);
            authority.renew_admin_token(fresh.admin_token);
            authority.renew_error_tracking_token(fresh.error_tracking_token);
            tracing::info!("the secrets were read again");
        }
        Err(failure) => tracing::error!(reason = %failure, "a secret could not be read again; all stay as they were"),
    }
}
