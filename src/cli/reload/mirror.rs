//! What a mirror takes over at a reload.

use std::path::PathBuf;
use std::sync::Arc;

use crate::api::context::ApiState as _;
use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::certificates;
use crate::cli::config::mirror::{HooksConfig, MirrorConfig};
use crate::cli::config::primary::ListenConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::mirror_options::{GitlabCredentials, load_hook_token, load_shell_secret, load_token};
use crate::cli::reload::reloader::{Loaded, ReloadTarget, take_over_log, watched};
use crate::cli::reload::setting::{Setting, setting};
use crate::cli::secrets;
use crate::mirror::gitlab::transport::PrivateToken;
use crate::mirror::state::MirrorState;
use crate::model::clock;
use crate::net::server::certificate::ServerCertificate;
use crate::net::server::http_server::HttpServer;

/// Every key of `mirror.toml`.
pub static SETTINGS: &[Setting<MirrorConfig>] = &[
    setting!(Restart, socket.path),
    setting!(Restart, socket.mode),
    setting!(Restart, socket.group),
    setting!(Restart, "listen.address", |config| config.listen.as_ref().map(|listen| &listen.address)),
    setting!(Restart, "listen.tls_cert_file", |config| config.listen.as_ref().map(|listen| &listen.tls_cert_file)),
    setting!(Restart, "listen.tls_key_file", |config| config.listen.as_ref().map(|listen| &listen.tls_key_file)),
    setting!(OfUpstream, auth.shell_secret_file),
    setting!(Live, auth.sync_secret_file),
    setting!(Live, auth.fleet_token_file),
    setting!(Upstream, gitlab.url),
    setting!(Restart, gitlab.ca_file),
    setting!(OfUpstream, gitlab.token_file),
    setting!(OfUpstream, gitlab.shell_secret_file),
    setting!(Restart, gitlab.requests_per_second),
    setting!(Restart, "hooks.listen", |config| config.hooks.as_ref().map(|hooks| &hooks.listen)),
    setting!(Restart, "hooks.tls_cert_file", |config| config.hooks.as_ref().map(|hooks| &hooks.tls_cert_file)),
    setting!(Restart, "hooks.tls_key_file", |config| config.hooks.as_ref().map(|hooks| &hooks.tls_key_file)),
    setting!(Restart, "hooks.token_file", |config| config.hooks.as_ref().map(|hooks| &hooks.token_file)),
    setting!(Restart, walk.full),
    setting!(Restart, walk.recent),
    setting!(Restart, walk.verify_every),
    setting!(Restart, store.path),
    setting!(Restart, store.page_cache),
    setting!(Restart, store.record_cache),
    setting!(Restart, sync.loss_guard.share),
    setting!(Restart, sync.loss_guard.more_than),
    setting!(Restart, sync.longest_max_stale),
    setting!(Live, limits.connections),
    setting!(Live, limits.connections_for_root),
    setting!(Live, limits.header_bytes),
    setting!(Live, limits.headers),
    setting!(Live, limits.decoded_body_bytes),
    setting!(Live, limits.pushed_body_bytes),
    setting!(Live, limits.unproven_body_bytes),
    setting!(Live, limits.proven_body_bytes),
    setting!(Live, limits.requests_per_connection),
    setting!(Live, limits.shutdown_time),
    setting!(Restart, limits.header_time),
    setting!(Restart, limits.body_time),
    setting!(Restart, metrics.listen),
    setting!(Live, "log.level", |config| config.log.level.as_str()),
    setting!(Restart, log.target),
    setting!(Live, log.decisions),
];

/// What takes it over.
pub struct MirrorTarget<'a> {
    pub credentials: &'a GitlabCredentials,
    pub state: &'a MirrorState,
    /// The server of hosts and operators, and that of hooks.
    pub servers: [Option<&'a HttpServer>; 2],
    pub takes_hooks: bool,
    pub certificate: Option<Arc<ServerCertificate>>,
    pub hook_certificate: Option<Arc<ServerCertificate>>,
    pub daemon: DaemonFacts,
}

impl ReloadTarget for MirrorTarget<'_> {
    type Config = MirrorConfig;

    const UNIT: &'static str = "sidegate-mirror";

    fn settings() -> &'static [Setting<MirrorConfig>] {
        SETTINGS
    }

    fn files(config: &MirrorConfig) -> Vec<PathBuf> {
        let optional = [
            config.auth.fleet_token_file.as_ref(),
            config.gitlab.shell_secret_file.as_ref(),
            config.hooks.as_ref().map(|hooks| &hooks.token_file),
        ];
        let secrets = [&config.auth.shell_secret_file, &config.auth.sync_secret_file, &config.gitlab.token_file];
        let mut files = watched(secrets.into_iter().chain(optional.into_iter().flatten()).map(PathBuf::as_path));
        let tls = [config.listen.as_ref().and_then(ListenConfig::tls), config.hooks.as_ref().and_then(HooksConfig::tls)];
        files.extend(tls.into_iter().flatten().flat_map(|(chain, key)| [chain.clone(), key.clone()]));
        files
    }

    fn load(&self, config: &MirrorConfig, moves_upstream: bool) -> Result<Loaded<'_>, CommandError> {
        let mut loaded = Loaded::new();
        let sync = secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?;
        loaded.content("auth.sync_secret_file", sync.expose_bytes());
        let fleet_token = secrets::load_optional_secret("auth.fleet_token_file", config.auth.fleet_token_file.as_deref())?;
        loaded.content("auth.fleet_token_file", fleet_token.as_ref().map(|token| token.expose_bytes()).unwrap_or_default());
        loaded.then(move |_| {
            self.state.rotate_sync_secret(sync);
            self.state.rotate_fleet_token(fleet_token);
        });
        self.load_credentials(config, moves_upstream, &mut loaded)?;
        let hook_token = load_hook_token(config)?;
        if self.takes_hooks
            && let Some(token) = hook_token
        {
            loaded.content("hooks.token_file", token.expose_bytes());
            loaded.then(move |_| self.state.rotate_hook_token(Some(token)));
        }
        loaded.certificate("listen.tls_cert_file", self.certificate.as_ref())?;
        loaded.certificate("hooks.tls_cert_file", self.hook_certificate.as_ref())?;
        let (limits, log) = (config.limits.server_limits(), config.log);
        loaded.then(move |changes| {
            self.state.api().replace_limits(limits);
            self.servers.iter().flatten().for_each(|server| server.set_limits(limits));
            let own = [&self.certificate, &self.hook_certificate];
            own.into_iter().flatten().for_each(|certificate| certificates::note_own_chain(&self.daemon, certificate.chain_file()));
            take_over_log(changes, log);
        });
        Ok(loaded)
    }
}

impl MirrorTarget<'_> {
    /// Reads what is shown to the GitLab.
    fn load_credentials<'a>(&'a self, config: &MirrorConfig, moves: bool, loaded: &mut Loaded<'a>) -> Result<(), CommandError> {
        let (token, signing) = (load_token(config)?, load_shell_secret(config)?);
        PrivateToken::new(&token).map_err(|error| CommandError::with_context("gitlab.token_file", error))?;
        if moves {
            return Ok(());
        }
        loaded.content("gitlab.token_file", token.expose_bytes());
        let key = if config.gitlab.shell_secret_file.is_some() { "gitlab.shell_secret_file" } else { "auth.shell_secret_file" };
        loaded.content(key, signing.expose_bytes());
        loaded.then(move |_| {
            self.credentials.signer.rotate(signing, clock::wall_time());
            // It was judged above.
            if let Err(error) = self.credentials.token.replace(&token) {
                tracing::error!(%error, "gitlab.token_file: {error}");
            }
        });
        Ok(())
    }
}
