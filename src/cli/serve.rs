//! `sidegate serve`: the sidecar of a host, put together. The steps of its start and of its end are the lines of [`run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::cli::config::upstream::Feed;
use crate::cli::config::{self, ServeConfig};
use crate::cli::outcome::{Done, Failure, Outcome};
use crate::cli::signals::{Signals, Told};
use crate::cli::{hardening, heap, logging, names, secrets};
use crate::model::clock;
use crate::model::freshness::Following;
use crate::net::client::Client;
use crate::net::listen::{self, Listening};
use crate::net::notify;
use crate::net::server::{Counted, Server};
use crate::replica::service::Replica;
use crate::replica::setup as follower;
use crate::sidecar::Sidecar;
use crate::sidecar::setup::{Bound, Levers, Minted, Setup};
use crate::store::generation::Options;
use crate::wire::credentials::Gatekeeper;
use crate::wire::secret::Secret;
use crate::wire::token::{self, Issuer};

/// How many tokens of callers are remembered as good.
const REMEMBERED_TOKENS: usize = 8192;

/// Runs the sidecar until it is told to end.
pub fn run(file: &Path) -> Outcome {
    let inherited = listen::inherited().map_err(Failure::of)?;
    let config: ServeConfig = config::load(file).map_err(Failure::of)?;
    hardening::keep_memory_private()?;
    hardening::raise_open_files();
    heap::share();
    let log = logging::start(config.log)?;
    let parts = Parts::of(&config)?;
    let sockets = sockets(inherited, &config)?;
    let replica = Replica::start(parts.follower(&config)?).map_err(Failure::of)?;
    let sidecar = Sidecar::new(parts.sidecar(&config, &replica)?);
    let server =
        Server::start(sockets, Arc::clone(&sidecar), config.limits.bounds(), 0, Arc::new(Counted::default())).map_err(Failure::of)?;
    tracing::info!(host = parts.host, version = env!("CARGO_PKG_VERSION"), "sidegate serves");
    let ended = attend(&config, &parts, &replica, sidecar);
    notify::stopping();
    server.stop();
    replica.stop();
    tracing::info!("sidegate has ended");
    log.finish();
    ended
}

/// What several rooms share.
struct Parts {
    host: String,
    client: Client,
    callers: Arc<Gatekeeper>,
    signer: Arc<Gatekeeper>,
    /// The followers' secret, if there is a feed: for reports of use.
    sync: Arc<ArcSwapOption<Secret>>,
}

impl Parts {
    fn of(config: &ServeConfig) -> Result<Self, Failure> {
        let upstream = &config.primary;
        Ok(Self {
            host: config.host.clone().map_or_else(names::host, Ok)?,
            client: Client::to(&upstream.url, upstream.ca_file.as_deref(), upstream.insecure_http).map_err(Failure::of)?,
            callers: Arc::new(Gatekeeper::new(secrets::read("auth.shell_secret_file", &config.auth.shell_secret_file)?, REMEMBERED_TOKENS)),
            signer: Arc::new(Gatekeeper::new(signing_secret(config)?, 1)),
            sync: Arc::new(ArcSwapOption::from_pointee(sync_secret(config)?)),
        })
    }

    fn follower(&self, config: &ServeConfig) -> Result<follower::Setup, Failure> {
        let feeding = match config.primary.feed {
            Feed::Sidegate => follower::Feeding::Follow,
            Feed::None => follower::Feeding::Nothing,
        };
        Ok(follower::Setup {
            store: config.store.path.clone(),
            options: Options { page_cache: config.store.page_cache as u64, record_cache: config.store.record_cache },
            client: self.client.clone(),
            secret: sync_secret(config)?.map_or_else(|| signing_secret(config), Ok)?,
            host: self.host.clone(),
            keys: config.freshness.keys,
            loss_guard: config.freshness.loss_guard,
            feeding,
            pace: follower::Pace::default(),
        })
    }

    fn sidecar(&self, config: &ServeConfig, replica: &Arc<Replica>) -> Result<Setup, Failure> {
        Ok(Setup {
            host: self.host.clone(),
            accept_shared_secret: config.auth.accept_shared_secret,
            freshness: Bound { keys: config.freshness.keys, reads: config.freshness.reads, push_precheck: config.freshness.push_precheck },
            timeout: config.primary.timeout,
            forward_timeout: config.primary.forward_timeout,
            bounds: config.limits.bounds(),
            scopes: names::scopes(&config.peer)?,
            callers: Arc::clone(&self.callers),
            signer: Arc::clone(&self.signer),
            follower_token: self.follower_token(),
            client: self.client.clone(),
            following: Arc::clone(replica) as Arc<dyn Following>,
            levers: levers(replica),
        })
    }
}

impl Parts {
    /// Makes the token that this host shows as a follower; none without a feed.
    fn follower_token(&self) -> Minted {
        let (host, secret) = (self.host.clone(), Arc::clone(&self.sync));
        Box::new(move |now| secret.load().as_ref().map(|secret| token::mint(Issuer::Sync, Some(&host), secret, now)))
    }
}

fn levers(replica: &Arc<Replica>) -> Levers {
    let of = || Arc::clone(replica);
    let (status, resync, verify, metrics) = (of(), of(), of(), of());
    Levers {
        status: Box::new(move || serde_json::to_value(status.status()).unwrap_or_default()),
        resync: Box::new(move || resync.resync()),
        verify: Box::new(move || {
            let replica = Arc::clone(&verify);
            Box::pin(async move {
                let found = replica.verify().await.map_err(|error| error.to_string())?;
                serde_json::to_value(found).map_err(|error| error.to_string())
            })
        }),
        register: Box::new(move |registry| metrics.register(registry)),
    }
}

/// The sockets that systemd handed over, else our own.
fn sockets(inherited: Vec<Listening>, config: &ServeConfig) -> Result<Vec<Listening>, Failure> {
    if !inherited.is_empty() {
        return Ok(inherited);
    }
    let group = config.socket.group.as_deref().map(names::group).transpose()?;
    Ok(vec![listen::unix(&config.socket.path, config.socket.mode, group).map_err(Failure::of)?])
}

fn signing_secret(config: &ServeConfig) -> Result<Secret, Failure> {
    match &config.primary.shell_secret_file {
        Some(file) => secrets::read("primary.shell_secret_file", file),
        None => secrets::read("auth.shell_secret_file", &config.auth.shell_secret_file),
    }
}

fn sync_secret(config: &ServeConfig) -> Result<Option<Secret>, Failure> {
    match (&config.primary.sync_secret_file, config.primary.feed) {
        (Some(file), Feed::Sidegate) => secrets::read("primary.sync_secret_file", file).map(Some),
        _ => Ok(None),
    }
}

/// Serves until told to end; reads the secrets again when told to, or when a file has changed.
fn attend(config: &ServeConfig, parts: &Parts, replica: &Arc<Replica>, sidecar: Arc<Sidecar>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of)?;
    runtime.block_on(async {
        let mut signals = Signals::listen(watched(config))?;
        tokio::spawn(sidecar.report_use());
        notify::ready();
        loop {
            let told = signals.next().await;
            match told {
                Told::End => return Ok(Done::Wholly),
                Told::Reload => {
                    notify::reloading();
                    reload(config, parts, replica);
                    notify::ready();
                }
                Told::Changed => reload(config, parts, replica),
            }
        }
    })
}

fn watched(config: &ServeConfig) -> Vec<PathBuf> {
    let files = [Some(&config.auth.shell_secret_file), config.primary.shell_secret_file.as_ref(), config.primary.sync_secret_file.as_ref()];
    files.into_iter().flatten().map(|file| secrets::place(file)).collect()
}

/// Takes the secrets anew. One that cannot be read leaves the old one in force, and says so.
fn reload(config: &ServeConfig, parts: &Parts, replica: &Replica) {
    let now = clock::wall();
    let renewed = secrets::read("auth.shell_secret_file", &config.auth.shell_secret_file).map(|secret| parts.callers.renew(secret, now));
    let signing = signing_secret(config).map(|secret| parts.signer.renew(secret, now));
    let sync = renew_sync(config, parts, replica);
    match [renewed, signing, sync].into_iter().collect::<Result<Vec<()>, Failure>>() {
        Ok(_) => tracing::info!("the secrets were read again"),
        Err(failure) => tracing::error!(reason = %failure, "a secret could not be read again; the one before stays in force"),
    }
}

fn renew_sync(config: &ServeConfig, parts: &Parts, replica: &Replica) -> Result<(), Failure> {
    if let (Some(following), reporting) = (sync_secret(config)?, sync_secret(config)?) {
        replica.renew(following);
        parts.sync.store(reporting.map(Arc::new));
    }
    Ok(())
}
