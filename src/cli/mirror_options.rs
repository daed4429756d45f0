//! What a mirror is opened with by its configuration, its secrets as their files are now.

use std::sync::Arc;

use nix::unistd::Uid;

use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::config::mirror::MirrorConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::secrets;
use crate::mirror::config::{MirrorOptions, WalkIntervals};
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::clock::{Clock, SystemClock};
use crate::mirror::gitlab::pacer::Pacer;
use crate::mirror::gitlab::transport::{HttpTransport, PrivateToken};
use crate::net::server::counters::ServerCounters;
use crate::primary::config::{PrimaryOptions, Publication, RepositoryCreation};
use crate::wire::auth::credentials::CredentialVerifier;
use crate::wire::auth::secret::Secret;

/// How many verified tokens are remembered: none is verified, the verifier only signs.
const SIGNED_TOKENS: usize = 1;

/// What shows GitLab that we may ask.
pub struct GitlabCredentials {
    pub token: Arc<PrivateToken>,
    pub signer: Arc<CredentialVerifier>,
}

impl GitlabCredentials {
    /// Loads both from their files.
    pub fn load(config: &MirrorConfig) -> Result<Self, CommandError> {
        Self::new(&load_token(config)?, load_shell_secret(config)?)
    }

    /// Returns both from their secrets.
    pub fn new(token: &Secret, shell_secret: Secret) -> Result<Self, CommandError> {
        let token = PrivateToken::new(token).map_err(|error| CommandError::with_context("gitlab.token_file", error))?;
        Ok(Self { token: Arc::new(token), signer: Arc::new(CredentialVerifier::new(shell_secret, SIGNED_TOKENS)) })
    }
}

/// Loads the token that is shown to the GitLab.
pub fn load_token(config: &MirrorConfig) -> Result<Secret, CommandError> {
    secrets::load_secret("gitlab.token_file", &config.gitlab.token_file)
}

/// Loads the secret that questions to the internal API are signed with.
pub fn load_shell_secret(config: &MirrorConfig) -> Result<Secret, CommandError> {
    match &config.gitlab.shell_secret_file {
        Some(file) => secrets::load_secret("gitlab.shell_secret_file", file),
        None => secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file),
    }
}

/// Loads the token of GitLab's hooks, if any are taken.
pub fn load_hook_token(config: &MirrorConfig) -> Result<Option<Secret>, CommandError> {
    config.hooks.as_ref().map(|hooks| secrets::load_secret("hooks.token_file", &hooks.token_file)).transpose()
}

/// Returns the options with the secrets as their files are now.
pub fn build_options(
    config: &MirrorConfig,
    credentials: &GitlabCredentials,
    counters: Arc<ServerCounters>,
    daemon: DaemonFacts,
) -> Result<MirrorOptions, CommandError> {
    let publisher = PrimaryOptions {
        store_path: config.store.path.clone(),
        store_options: config.store.options(),
        shell_secret: load_shell_secret(config)?,
        sync_secret: secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?,
        kas_secret: None,
        admin_token: None,
        error_tracking_token: None,
        fleet_token: secrets::load_optional_secret("auth.fleet_token_file", config.auth.fleet_token_file.as_deref())?,
        accept_shared_secret: false,
        loss_guard: config.sync.loss_guard,
        longest_max_stale: config.sync.longest_max_stale,
        repositories: RepositoryCreation::ByOthers,
        publication: Publication::of_primary(),
        own_uid: Uid::effective().as_raw(),
        bounds: config.limits.server_limits(),
        server_counters: counters,
        daemon,
    };
    let walk = config.walk;
    Ok(MirrorOptions {
        publisher,
        gitlab: Arc::new(gitlab_client(config, credentials)?),
        gitlab_url: config.gitlab.url.clone(),
        hook_token: load_hook_token(config)?,
        intervals: WalkIntervals { full: walk.full, recent: walk.recent, verify_every: walk.verify_every },
    })
}

/// Returns what asks the GitLab of the configuration. Asks nothing yet.
pub fn gitlab_client(config: &MirrorConfig, credentials: &GitlabCredentials) -> Result<GitlabClient, CommandError> {
    let gitlab = &config.gitlab;
    let (token, signer) = (Arc::clone(&credentials.token), Arc::clone(&credentials.signer));
    let transport = HttpTransport::new(&gitlab.url, gitlab.ca_file.as_deref(), token, signer)
        .map_err(|error| CommandError::with_context("gitlab.url", error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let pacer = Arc::new(Pacer::new(gitlab.requests_per_second, Arc::clone(&clock)));
    Ok(GitlabClient::new(Arc::new(transport), clock, pacer))
}
