//! `sidegate check`: is the configuration of a sidecar right, and is this host ready for it?

use std::path::Path;

use crate::cli::arguments::SshdArgs;
use crate::cli::check::access;
use crate::cli::check::addresses;
use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::bounds;
use crate::cli::check::clock;
use crate::cli::check::configuration;
use crate::cli::check::depth::Depth;
use crate::cli::check::findings::Findings;
use crate::cli::check::following;
use crate::cli::check::lookup;
use crate::cli::check::readiness::{self, Ready};
use crate::cli::check::secrets::SecretReader;
use crate::cli::check::socket;
use crate::cli::check::sshd;
use crate::cli::check::store;
use crate::cli::check::unit::SocketUnit;
use crate::cli::check::upstream::{self, Upstream};
use crate::cli::config::serve::ServeConfig;
use crate::cli::config::socket::SocketConfig;
use crate::cli::ids;
use crate::cli::sidecar_context::sync_secret_file;
use crate::model::clock as system_clock;
use crate::wire::auth::secret::Secret;

const SERVICE: &str = "sidegate.service";
const SOCKET_UNIT: &str = "sidegate.socket";

/// Checks the configuration of a sidecar and the host that it is for.
pub fn check(file: &Path, depth: Depth, sshd_args: &SshdArgs) -> Findings {
    let mut found = Findings::default();
    let config = configuration::load::<ServeConfig>(file, &mut found);
    match (config, depth) {
        (Some(config), Depth::Start) => check_start(&config, &mut found),
        (Some(config), _) => check_host(file, &config, depth, sshd_args, &mut found),
        (None, Depth::Start) => {}
        (None, _) => {
            clock::check_year(system_clock::wall_time(), &mut found);
            let _ = sshd::check(sshd_args, &SocketConfig::sidecar_default().path, &mut found);
        }
    }
    found
}

/// Finds what the daemon itself would refuse at its start.
fn check_start(config: &ServeConfig, found: &mut Findings) {
    let daemon = DaemonUser::ourselves();
    Secrets::load(config, &daemon, found);
    check_names(config, &daemon, found);
    let _ = Upstream::open(config, &daemon, found);
    store::check_owner(&config.store.common.path, &daemon, found);
}

fn check_host(file: &Path, config: &ServeConfig, depth: Depth, sshd_args: &SshdArgs, found: &mut Findings) {
    let store_path = &config.store.common.path;
    let daemon = DaemonUser::find(SERVICE, file, store_path, found);
    configuration::check_start(file, &daemon, found);
    let secrets = Secrets::load(config, &daemon, found);
    socket::check(&config.socket, Some(SOCKET_UNIT), SERVICE, &daemon, found);
    check_service(&daemon, found);
    store::check(store_path, &daemon, found);
    clock::check_year(system_clock::wall_time(), found);
    let command = sshd::check(sshd_args, &config.socket.path, found);
    let login_user = (!sshd_args.without_sshd).then_some(sshd_args.ssh_user.as_str());
    access::check(config, &daemon, command.as_ref().map(|command| command.user.as_str()), login_user, found);
    check_settings(config, found);
    addresses::check_metrics(&config.metrics, &daemon, found);
    let asks_itself = upstream::is_own_socket(config, found);
    let upstream = Upstream::open(config, &daemon, found);
    if depth == Depth::Full {
        if let Some(command) = &command {
            lookup::check(command, &sshd_args.ssh_user, found);
        }
        let answered = readiness::check(&config.socket.path, SERVICE, Ready::ForLogins, &daemon, found);
        let standing = following::read(&config.socket.path, answered);
        if let Some(upstream) = upstream.filter(|_| !asks_itself) {
            upstream.ask_primary(secrets.signing, config, &daemon, found);
            upstream.ask_feed(secrets.sync, config, &daemon, standing.is_some(), found);
        }
        if let Some(standing) = &standing {
            following::judge(standing, found);
        }
    }
    found.ok(bounds::revocation_bounds(config));
}

/// Finds a service that systemd has given up while it still takes connections for it.
fn check_service(daemon: &DaemonUser, found: &mut Findings) {
    let Some(unit) = daemon.unit().filter(|unit| unit.has_failed) else { return };
    if let Some(socket) = SocketUnit::read_active(SOCKET_UNIT) {
        let (service, socket) = (&unit.name, socket.name);
        let what = format!("{service}: it has failed, while {socket} still listens for it: who asks waits for nobody");
        found.fail(what, format!("see `journalctl -u {service}`, then `systemctl restart {service}`"));
    }
}

/// The secrets with which a host asks.
struct Secrets {
    /// What questions to the primary are signed with.
    signing: Option<Secret>,
    /// What followers sign with; `None` also where no feed is followed.
    sync: Option<Secret>,
}

impl Secrets {
    fn load(config: &ServeConfig, daemon: &DaemonUser, found: &mut Findings) -> Self {
        let mut reader = SecretReader::new(daemon, found);
        let shell = reader.load("auth.shell_secret_file", &config.auth.shell_secret_file);
        let signing = match &config.primary.shell_secret_file {
            Some(file) => reader.load("primary.shell_secret_file", file),
            None => shell,
        };
        let sync = sync_secret_file(config).and_then(|(key, file)| reader.load(key, file));
        reader.finish();
        Self { signing, sync }
    }
}

/// Finds names of users, groups and this host that the daemon could not look up.
fn check_names(config: &ServeConfig, daemon: &DaemonUser, found: &mut Findings) {
    if let Err(error) = ids::resolve_peer_policy(daemon.uid(), &config.socket.default_scopes, &config.peer) {
        found.refuse(error, "make that user or group, or correct the [[peer]]");
    }
    if let Err(error) = config.host.clone().map_or_else(ids::hostname, Ok) {
        found.refuse(error, "say `host` in the configuration");
    }
}

/// Warns of settings that nobody should forget.
fn check_settings(config: &ServeConfig, found: &mut Findings) {
    if config.primary.insecure_http {
        let what = "primary.insecure_http: keys, tokens and answers travel readable and changeable for everybody on the way";
        found.warn(what, "name the primary by https://, and remove insecure_http");
    }
    if config.primary.shadow {
        let what = "primary.shadow: the primary is asked for everything and nothing that is kept is given, also in an outage";
        found.warn(what, "set primary.shadow = false once the comparison is done (`sidegate status` shows it)");
    }
}
