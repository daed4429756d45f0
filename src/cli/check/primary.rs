//! `sidegate check --primary`: is the configuration of a primary right, and is this host ready for it?

use std::path::Path;

use crate::cli::check::addresses;
use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::clock;
use crate::cli::check::configuration;
use crate::cli::check::depth::Depth;
use crate::cli::check::findings::Findings;
use crate::cli::check::readiness::{self, Ready};
use crate::cli::check::secrets::SecretReader;
use crate::cli::check::socket;
use crate::cli::check::store;
use crate::cli::check::tls;
use crate::cli::config::creation::RepositoryMaker;
use crate::cli::config::primary::PrimaryConfig;
use crate::cli::primary_options::repository_creation;
use crate::model::clock as system_clock;

const SERVICE: &str = "sidegate-primary.service";

/// Checks the configuration of a primary and the host that it is for.
pub fn check(file: &Path, depth: Depth) -> Findings {
    let mut found = Findings::default();
    let config = configuration::load::<PrimaryConfig>(file, &mut found);
    if depth != Depth::Start {
        clock::check_year(system_clock::wall_time(), &mut found);
    }
    let Some(config) = config else { return found };
    let daemon = DaemonUser::at(depth, SERVICE, file, &config.store.path, &mut found);
    check_secrets(&config, &daemon, &mut found);
    if let Some((chain, key)) = config.listen.as_ref().and_then(|listen| listen.tls()) {
        tls::check_files("listen", chain, key, &daemon, &mut found);
        if depth != Depth::Start {
            tls::check_validity("listen", chain, system_clock::wall_time(), &daemon, &mut found);
        }
    }
    check_creation(&config, &daemon, &mut found);
    if depth == Depth::Start {
        store::check_owner(&config.store.path, &daemon, &mut found);
        return found;
    }
    configuration::check_start(file, &daemon, &mut found);
    socket::check(&config.socket, None, SERVICE, &daemon, &mut found);
    store::check(&config.store.path, &daemon, &mut found);
    addresses::check_metrics(&config.metrics, &daemon, &mut found);
    if depth == Depth::Full {
        let _ = readiness::check(&config.socket.path, SERVICE, Ready::Always, &daemon, &mut found);
    }
    found
}

fn check_secrets(config: &PrimaryConfig, daemon: &DaemonUser, found: &mut Findings) {
    let auth = &config.auth;
    let mut reader = SecretReader::new(daemon, found);
    reader.load("auth.shell_secret_file", &auth.shell_secret_file);
    reader.load("auth.sync_secret_file", &auth.sync_secret_file);
    if let Some(file) = &auth.kas_secret_file {
        reader.load_kas("auth.kas_secret_file", file);
    }
    reader.load_optional("auth.admin_token_file", auth.admin_token_file.as_deref());
    reader.load_optional("auth.error_tracking_token_file", auth.error_tracking_token_file.as_deref());
    reader.load_optional("auth.fleet_token_file", auth.fleet_token_file.as_deref());
    reader.finish();
}

fn check_creation(config: &PrimaryConfig, daemon: &DaemonUser, found: &mut Findings) {
    match daemon.act(|| repository_creation(config)) {
        Err(error) => found.refuse(error, "name a file of certificates in PEM that the daemon's user may read"),
        Ok(_) => found.ok(match config.creation.repositories {
            RepositoryMaker::Gitaly => "creation: for a project that a push creates, Gitaly is asked for its repositories",
            RepositoryMaker::None => "creation: for a project that a push creates, something else must make the repositories",
        }),
    }
}
