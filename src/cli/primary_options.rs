//! What a primary is opened with by its configuration, its secrets as their files are now.

use std::sync::Arc;

use nix::unistd::Uid;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::config::creation::{CreationConfig, REPOSITORY_TIME_LIMIT, RepositoryMaker};
use crate::cli::config::primary::PrimaryConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::secrets;
use crate::net::gitaly::client::GitalyClient;
use crate::net::server::counters::ServerCounters;
use crate::primary::config::{PrimaryOptions, Publication, RepositoryCreation};

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
pub fn build_options(config: &PrimaryConfig, counters: Arc<ServerCounters>) -> Result<PrimaryOptions, CommandError> {
    let auth = &config.auth;
    Ok(PrimaryOptions {
        store_path: config.store.path.clone(),
        store_options: config.store.options(),
        shell_secret: secrets::load_secret("auth.shell_secret_file", &auth.shell_secret_file)?,
        sync_secret: secrets::load_secret("auth.sync_secret_file", &auth.sync_secret_file)?,
        kas_secret: auth.kas_secret_file.as_ref().map(|file| secrets::load_kas_secret("auth.kas_secret_file", file)).transpose()?,
        admin_token: secrets::load_optional_secret("auth.admin_token_file", auth.admin_token_file.as_deref())?,
        error_tracking_token: secrets::load_optional_secret("auth.error_tracking_token_file", auth.error_tracking_token_file.as_deref())?,
        fleet_token: secrets::load_optional_secret("auth.fleet_token_file", auth.fleet_token_file.as_deref())?,
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
