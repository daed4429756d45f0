//! What a primary takes over at a reload.

use std::path::PathBuf;
use std::sync::Arc;

use crate::api::context::ApiState as _;
use crate::api::daemon_metrics::DaemonFacts;
use crate::cli::certificates;
use crate::cli::config::primary::{ListenConfig, PrimaryConfig};
use crate::cli::exit_status::CommandError;
use crate::cli::primary_options::build_options;
use crate::cli::reload::reloader::{Loaded, ReloadTarget, take_over_log, watched};
use crate::cli::reload::setting::{Setting, setting};
use crate::net::server::certificate::ServerCertificate;
use crate::net::server::http_server::HttpServer;
use crate::primary::state::PrimaryState;

/// Every key of `primary.toml`.
pub static SETTINGS: &[Setting<PrimaryConfig>] = &[
    setting!(Restart, socket.path),
    setting!(Restart, socket.mode),
    setting!(Restart, socket.group),
    setting!(Restart, "listen.address", |config| config.listen.as_ref().map(|listen| &listen.address)),
    setting!(Restart, "listen.tls_cert_file", |config| config.listen.as_ref().map(|listen| &listen.tls_cert_file)),
    setting!(Restart, "listen.tls_key_file", |config| config.listen.as_ref().map(|listen| &listen.tls_key_file)),
    setting!(Live, auth.shell_secret_file),
    setting!(Restart, auth.accept_shared_secret),
    setting!(Live, auth.sync_secret_file),
    setting!(Live, auth.kas_secret_file),
    setting!(Live, auth.admin_token_file),
    setting!(Live, auth.error_tracking_token_file),
    setting!(Live, auth.fleet_token_file),
    setting!(Restart, store.path),
    setting!(Restart, store.page_cache),
    setting!(Restart, store.record_cache),
    setting!(Restart, sync.loss_guard.share),
    setting!(Restart, sync.loss_guard.more_than),
    setting!(Restart, sync.longest_max_stale),
    setting!(Restart, creation.repositories),
    setting!(Restart, creation.ca_file),
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
pub struct PrimaryTarget<'a> {
    pub state: &'a PrimaryState,
    pub server: &'a HttpServer,
    pub certificate: Option<Arc<ServerCertificate>>,
    pub daemon: DaemonFacts,
}

impl ReloadTarget for PrimaryTarget<'_> {
    type Config = PrimaryConfig;

    const UNIT: &'static str = "sidegate-primary";

    fn settings() -> &'static [Setting<PrimaryConfig>] {
        SETTINGS
    }

    fn files(config: &PrimaryConfig) -> Vec<PathBuf> {
        let auth = &config.auth;
        let optional = [&auth.kas_secret_file, &auth.admin_token_file, &auth.error_tracking_token_file, &auth.fleet_token_file];
        let secrets = [&auth.shell_secret_file, &auth.sync_secret_file].into_iter().chain(optional.into_iter().flatten());
        let mut files = watched(secrets.map(PathBuf::as_path));
        files.extend(config.listen.as_ref().and_then(ListenConfig::tls).into_iter().flat_map(|(chain, key)| [chain.clone(), key.clone()]));
        files
    }

    fn load(&self, config: &PrimaryConfig, _moves_upstream: bool) -> Result<Loaded<'_>, CommandError> {
        let mut loaded = Loaded::new();
        let options = build_options(config, Arc::default())?;
        let optional = [
            ("auth.kas_secret_file", &options.kas_secret),
            ("auth.admin_token_file", &options.admin_token),
            ("auth.error_tracking_token_file", &options.error_tracking_token),
            ("auth.fleet_token_file", &options.fleet_token),
        ];
        loaded.content("auth.shell_secret_file", options.shell_secret.expose_bytes());
        loaded.content("auth.sync_secret_file", options.sync_secret.expose_bytes());
        for (key, secret) in optional {
            loaded.content(key, secret.as_ref().map(|secret| secret.expose_bytes()).unwrap_or_default());
        }
        loaded.certificate("listen.tls_cert_file", self.certificate.as_ref())?;
        let log = config.log;
        loaded.then(move |changes| {
            self.state.rotate_shell_secret(options.shell_secret);
            self.state.rotate_sync_secret(options.sync_secret);
            self.state.rotate_kas_secret(options.kas_secret);
            self.state.rotate_admin_token(options.admin_token);
            self.state.rotate_error_tracking_token(options.error_tracking_token);
            self.state.rotate_fleet_token(options.fleet_token);
            self.state.api().replace_limits(options.bounds);
            self.server.set_limits(options.bounds);
            self.certificate.iter().for_each(|certificate| certificates::note_own_chain(&self.daemon, certificate.chain_file()));
            take_over_log(changes, log);
        });
        Ok(loaded)
    }
}
