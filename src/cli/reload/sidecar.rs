//! What a sidecar takes over at a reload.

use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::cli::config::serve::ServeConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::ids;
use crate::cli::reload::reloader::{Loaded, ReloadTarget, take_over_log, watched};
use crate::cli::reload::setting::{Setting, peers_text, setting};
use crate::cli::secrets;
use crate::cli::sidecar_context::{SharedContext, load_signing_secret, load_sync_secret, sync_secret_file};
use crate::model::clock;
use crate::net::server::http_server::HttpServer;
use crate::replica::service::Replica;
use crate::sidecar::state::SidecarState;

/// Every key of `sidegate.toml`.
pub static SETTINGS: &[Setting<ServeConfig>] = &[
    setting!(Restart, host),
    setting!(Restart, socket.path),
    setting!(Restart, socket.mode),
    setting!(Restart, socket.group),
    setting!(Live, socket.default_scopes),
    setting!(Live, auth.shell_secret_file),
    setting!(Restart, auth.accept_shared_secret),
    setting!(Live, "peer", |config| format_args!("{}", peers_text(&config.peer))),
    setting!(Upstream, primary.url),
    setting!(Upstream, primary.feed),
    setting!(OfUpstream, primary.sync_secret_file),
    setting!(OfUpstream, primary.shell_secret_file),
    setting!(Restart, primary.ca_file),
    setting!(Restart, primary.insecure_http),
    setting!(Restart, primary.timeout),
    setting!(Restart, primary.forward_timeout),
    setting!(Restart, primary.shadow),
    setting!(Restart, primary.operations_per_minute),
    setting!(Upstream, feed.url),
    setting!(OfUpstream, feed.sync_secret_file),
    setting!(Restart, feed.ca_file),
    setting!(Restart, "store.path", |config| config.store.common.path),
    setting!(Restart, "store.page_cache", |config| config.store.common.page_cache),
    setting!(Restart, "store.record_cache", |config| config.store.common.record_cache),
    setting!(Restart, store.kept_answers),
    setting!(Restart, store.kept_bytes),
    setting!(Restart, freshness.keys.ttl),
    setting!(Restart, freshness.keys.max_stale),
    setting!(Restart, freshness.reads.ttl),
    setting!(Restart, freshness.reads.max_stale),
    setting!(Restart, freshness.push_precheck.ttl),
    setting!(Restart, freshness.push_precheck.max_stale),
    setting!(Restart, freshness.negative_ttl),
    setting!(Restart, freshness.hedge),
    setting!(Restart, freshness.mass_negative.at_least),
    setting!(Restart, freshness.mass_negative.share),
    setting!(Restart, freshness.mass_negative.hold),
    setting!(Restart, freshness.misses_per_second),
    setting!(Restart, freshness.check_ip),
    setting!(Restart, freshness.loss_guard.share),
    setting!(Restart, freshness.loss_guard.more_than),
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
    setting!(Live, limits.passed_body_bytes),
    setting!(Restart, limits.forwards),
    setting!(Restart, limits.forwards_waiting),
    setting!(Restart, metrics.listen),
    setting!(Live, "log.level", |config| config.log.level.as_str()),
    setting!(Restart, log.target),
    setting!(Live, log.decisions),
];

/// What takes it over.
pub struct SidecarTarget<'a> {
    pub context: &'a SharedContext,
    pub replica: &'a Replica,
    pub sidecar: &'a SidecarState,
    pub server: &'a HttpServer,
}

impl ReloadTarget for SidecarTarget<'_> {
    type Config = ServeConfig;

    const UNIT: &'static str = "sidegate";

    fn settings() -> &'static [Setting<ServeConfig>] {
        SETTINGS
    }

    fn files(config: &ServeConfig) -> Vec<PathBuf> {
        let sync = sync_secret_file(config).map(|(_, file)| file);
        let files: [Option<&Path>; 3] = [Some(&config.auth.shell_secret_file), config.primary.shell_secret_file.as_deref(), sync];
        watched(files.into_iter().flatten())
    }

    fn load(&self, config: &ServeConfig, moves_upstream: bool) -> Result<Loaded<'_>, CommandError> {
        let mut loaded = Loaded::new();
        let callers = secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?;
        loaded.content("auth.shell_secret_file", callers.expose_bytes());
        let (signing, sync) = (load_signing_secret(config)?, load_sync_secret(config)?);
        loaded.then(move |_| self.context.caller_auth.rotate(callers, clock::wall_time()));
        if !moves_upstream {
            if config.primary.shell_secret_file.is_some() {
                loaded.content("primary.shell_secret_file", signing.expose_bytes());
            }
            if let (Some((key, _)), Some(sync)) = (sync_secret_file(config), &sync) {
                loaded.content(key, sync.expose_bytes());
            }
            loaded.then(move |_| {
                self.context.signer.rotate(signing, clock::wall_time());
                self.context.set_sync_secret(sync, self.replica);
            });
        }
        let policy = ids::resolve_peer_policy(Uid::effective().as_raw(), &config.socket.default_scopes, &config.peer)?;
        let (limits, log) = (config.limits.server_limits(), config.log);
        loaded.then(move |changes| {
            if changes.applies("peer") || changes.applies("socket.default_scopes") {
                self.sidecar.api.replace_peer_policy(policy);
            }
            self.sidecar.api.replace_limits(limits);
            self.server.set_limits(limits);
            take_over_log(changes, log);
        });
        Ok(loaded)
    }
}
