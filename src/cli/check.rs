//! `sidegate check`: is this configuration right, and is this host ready for it? Changes nothing.
//!
//! An error ends with exit code 1 and keeps the daemon from starting; after a warning the exit code is 0.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use nix::unistd::Uid;

use crate::cli::access_report;
use crate::cli::config::creation::RepositoryMaker;
use crate::cli::config::file;
use crate::cli::config::primary::PrimaryConfig;
use crate::cli::config::serve::{FeedOrigin, ServeConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::ids;
use crate::cli::output::{print_line, print_warning};
use crate::cli::primary::repository_creation;
use crate::cli::secrets;
use crate::cli::serve::sync_secret_file;
use crate::model::clock;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;
use crate::sidecar::config::HEDGED_TTLS;
use crate::wire::auth::credentials::{CredentialVerifier, SHELL_TOKEN_HEADER};
use crate::wire::auth::jwt::{Issuer, issue_token};
use crate::wire::auth::secret::Secret;

/// The header of a follower's token.
const SYNC_TOKEN_HEADER: &str = "Sidegate-Sync-Request";
/// 2026-01-01 in seconds since 1970: this program is younger, so an earlier clock is wrong.
const EARLIEST_PLAUSIBLE_TIME: i64 = 1_767_225_600;

/// Checks the configuration of a sidecar, or that of a primary if one is named. Asks the primary of a sidecar whether it answers, unless
/// `offline`.
pub fn run(sidecar: &Path, primary: Option<&Path>, offline: bool) -> CommandResult {
    match primary {
        Some(file) => check_primary(file),
        None => check_sidecar(sidecar, offline),
    }
}

fn check_sidecar(path: &Path, offline: bool) -> CommandResult {
    let config: ServeConfig = file::load(path).map_err(CommandError::new)?;
    print_line(&format!("{}: understood", path.display()));
    let shell = secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?;
    let sync = sync_secret_file(&config).map(|(key, file)| secrets::load_secret(key, file)).transpose()?;
    let signing = match &config.primary.shell_secret_file {
        Some(file) => secrets::load_secret("primary.shell_secret_file", file)?,
        None => shell,
    };
    print_line("secrets: readable by us alone");
    config.socket.group.as_deref().map(ids::group_id).transpose()?;
    check_socket_dir("socket.path", &config.socket.path)?;
    check_clock()?;
    access_report::report_access(&config)?;
    warn_insecure_http(&config);
    warn_shadow_mode(&config);
    let clients = config.primary.open_clients().map_err(CommandError::new)?;
    let feed = config.feed.open_client(&config.primary).map_err(CommandError::new)?;
    if !offline {
        warn_primary(&clients, &CredentialVerifier::new(signing, 1), &config);
        if let (Some(client), Some(secret)) = (feed, sync) {
            warn_feed(&client, &secret, &config)?;
        }
    }
    print_line(&revocation_bounds(&config));
    Ok(Completion::Complete)
}

fn check_primary(path: &Path) -> CommandResult {
    let config: PrimaryConfig = file::load(path).map_err(CommandError::new)?;
    print_line(&format!("{}: understood", path.display()));
    secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?;
    secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?;
    if let Some(file) = &config.auth.kas_secret_file {
        secrets::load_kas_secret("auth.kas_secret_file", file)?;
    }
    secrets::load_optional_secret("auth.admin_token_file", config.auth.admin_token_file.as_deref())?;
    secrets::load_optional_secret("auth.error_tracking_token_file", config.auth.error_tracking_token_file.as_deref())?;
    print_line("secrets: readable by us alone");
    config.socket.group.as_deref().map(ids::group_id).transpose()?;
    check_socket_dir("socket.path", &config.socket.path)?;
    check_clock()?;
    repository_creation(&config)?;
    print_line(match config.creation.repositories {
        RepositoryMaker::Gitaly => "creation: for a project that a push creates, Gitaly is asked for its repositories",
        RepositoryMaker::None => "creation: for a project that a push creates, something else must make the repositories",
    });
    Ok(Completion::Complete)
}

/// Refuses a folder of a socket that others than root and we can write to: they could put another socket in its place.
pub fn check_socket_dir(key: &str, socket: &Path) -> Result<(), CommandError> {
    let Some(folder) = socket.parent() else { return Ok(()) };
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) => {
            print_warning(&format!(
                "{key}: {}: {error}; systemd makes it for the socket's unit, or with RuntimeDirectory=",
                folder.display()
            ));
            return Ok(());
        }
    };
    let others_may_write = metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0;
    let owner = metadata.uid();
    if others_may_write || (owner != 0 && owner != Uid::effective().as_raw()) {
        let text =
            format!("{key}: {} can be written by others, who could put their own socket there; chmod 0755 and chown it", folder.display());
        return Err(CommandError(text));
    }
    Ok(())
}

/// Refuses a clock that is before this program.
pub fn check_clock() -> Result<(), CommandError> {
    if clock::wall_time().seconds() < EARLIEST_PLAUSIBLE_TIME {
        return Err(CommandError(format!("the clock says {}: tokens and expiry dates cannot be judged; set the time", clock::wall_time())));
    }
    Ok(())
}

fn warn_shadow_mode(config: &ServeConfig) {
    if config.primary.shadow {
        print_warning("primary.shadow: the primary is asked for everything and nothing that is kept is given, also in an outage");
    }
}

fn warn_insecure_http(config: &ServeConfig) {
    if config.primary.insecure_http {
        print_warning("primary.insecure_http: keys, tokens and answers travel readable and changeable for everybody on the way");
    }
}

/// Asks the primary at each of its addresses whether it answers.
fn warn_primary(clients: &[HttpClient], signer: &CredentialVerifier, config: &ServeConfig) {
    match clients {
        [only] => warn_address("primary", only, signer, config),
        several => several.iter().for_each(|client| warn_address(&format!("primary at {}", client.display_name()), client, signer, config)),
    }
}

fn warn_address(name: &str, client: &HttpClient, signer: &CredentialVerifier, config: &ServeConfig) {
    let check = || -> Result<u16, String> {
        let request = Request::get("/api/v4/internal/check").header(SHELL_TOKEN_HEADER, signer.issue_shell_token(clock::wall_time()));
        let request = request.body(OutgoingBody::from_bytes(Bytes::new())).map_err(|error| error.to_string())?;
        send(client, request, config.primary.timeout)
    };
    match check() {
        Ok(200) => print_line(&format!("{name}: answers, and takes our token")),
        Ok(401) => print_warning(&format!("{name}: refuses our token; are the shell secrets of both the same, and both clocks right?")),
        Ok(status) => print_warning(&format!("{name}: answers `check` with status {status}")),
        Err(reason) => print_warning(&format!("{name}: {reason}; {}", outage_consequence(config))),
    }
}

/// Asks the mirror whether it takes a report of no use at all from this host, which changes nothing there.
fn warn_feed(client: &HttpClient, secret: &Secret, config: &ServeConfig) -> Result<(), CommandError> {
    let host = config.host.clone().map_or_else(ids::hostname, Ok)?;
    let token = issue_token(Issuer::Follower, Some(&host), secret, clock::wall_time());
    let request = Request::post("/api/v4/internal/sidegate/usage")
        .header(SYNC_TOKEN_HEADER, token)
        .header(CONTENT_TYPE, "application/json")
        .body(OutgoingBody::from_bytes("{}"));
    match request.map_err(|error| error.to_string()).and_then(|request| send(client, request, config.primary.timeout)) {
        Ok(200 | 204) => print_line("feed: answers, and takes our token"),
        Ok(401 | 403) => print_warning("feed: refuses our token; are the sync secrets of both the same, and both clocks right?"),
        Ok(status) => print_warning(&format!("feed: answers with status {status}; does feed.url name the mirror?")),
        Err(reason) => print_warning(&format!(
            "feed: {reason}; keys that this host has followed are given as freshness.keys says, and then GitLab is asked"
        )),
    }
    Ok(())
}

fn send(client: &HttpClient, request: Request<OutgoingBody>, timeout: Duration) -> Result<u16, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let response = runtime.block_on(client.send(request, timeout)).map_err(|error| error.to_string())?;
    Ok(response.status().as_u16())
}

/// Returns what callers get while the primary does not answer.
const fn outage_consequence(config: &ServeConfig) -> &'static str {
    match (config.feed_origin(), config.primary.shadow) {
        (FeedOrigin::Primary, _) => "the sidecar will answer from its copy of the directory",
        (FeedOrigin::Mirror, _) => {
            "the sidecar will let in the keys that it follows, answer about access from what it keeps, and say 424 to the rest"
        }
        (FeedOrigin::None, true) => "in shadow mode callers get 424",
        (FeedOrigin::None, false) => "the sidecar will answer from what it keeps, and what was not asked here before gets 424",
    }
}

/// Returns after how long a key is refused that was revoked, or removed at a GitLab.
fn revocation_bounds(config: &ServeConfig) -> String {
    match (config.feed_origin(), config.primary.shadow) {
        (FeedOrigin::Primary, _) => format!(
            "a revoked key stops within a second on a host that follows (15 s with a half-open connection), and within {} s on one that is cut off",
            config.freshness.keys.max_stale.as_secs()
        ),
        (FeedOrigin::Mirror, _) => format!(
            "a removed key stops within a second after the mirror knows of it on a host that follows (15 s with a half-open connection), within {} s on one that is cut off from the mirror and while the GitLab fails",
            config.freshness.keys.max_stale.as_secs()
        ),
        (FeedOrigin::None, true) => format!(
            "shadow mode: nothing that is kept is given, so a removed key is refused at once; after a switch: {}",
            kept_bounds(config)
        ),
        (FeedOrigin::None, false) => kept_bounds(config),
    }
}

/// Returns the bounds of a kept yes to a key.
fn kept_bounds(config: &ServeConfig) -> String {
    let limits = config.freshness.keys;
    let seconds = |duration: Duration| duration.as_secs_f64();
    let hold = match config.freshness.mass_negative.hold {
        Duration::ZERO => String::new(),
        hold => format!("; if it does not know most keys, {} s later, and within {} s at most", seconds(hold), seconds(limits.max_stale)),
    };
    format!(
        "a key that is removed at the GitLab is refused within {} s while it answers, within {} s while it is slower than {} ms, and within {} s while it fails{hold}",
        seconds(limits.ttl),
        seconds(limits.ttl.saturating_mul(HEDGED_TTLS).min(limits.max_stale)),
        config.freshness.hedge.as_millis(),
        seconds(limits.max_stale),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{outage_consequence, revocation_bounds};
    use crate::cli::config::file;
    use crate::cli::config::serve::ServeConfig;

    fn config(text: &str) -> ServeConfig {
        file::parse(Path::new("sidegate.toml"), text).unwrap()
    }

    #[test]
    fn a_host_that_follows_is_told_of_its_copy_and_the_bounds_of_following() {
        let config = config("");
        assert!(outage_consequence(&config).contains("its copy of the directory"));
        let bounds = revocation_bounds(&config);
        assert!(bounds.contains("within a second on a host that follows") && bounds.contains("within 86400 s"), "{bounds}");
    }

    #[test]
    fn in_front_of_a_gitlab_the_bounds_are_those_of_what_is_kept() {
        let told = config("[primary]\nfeed = \"none\"");
        let consequence = outage_consequence(&told);
        assert_eq!(consequence, "the sidecar will answer from what it keeps, and what was not asked here before gets 424");
        assert_eq!(
            revocation_bounds(&told),
            "a key that is removed at the GitLab is refused within 60 s while it answers, within 600 s while it is slower than 150 ms, \
             and within 86400 s while it fails; if it does not know most keys, 600 s later, and within 86400 s at most"
        );
        let short = config(
            "[primary]\nfeed = \"none\"\n[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"5ms\" }\nmass_negative = { hold = \"0s\" }",
        );
        assert_eq!(
            revocation_bounds(&short),
            "a key that is removed at the GitLab is refused within 0.001 s while it answers, within 0.005 s while it is slower than 150 ms, \
             and within 0.005 s while it fails"
        );
    }

    #[test]
    fn in_shadow_mode_nothing_that_is_kept_is_promised_before_a_switch() {
        let shadow = config("[primary]\nfeed = \"none\"\nshadow = true");
        assert_eq!(outage_consequence(&shadow), "in shadow mode callers get 424");
        let bounds = revocation_bounds(&shadow);
        assert!(
            bounds.starts_with("shadow mode: nothing that is kept is given, so a removed key is refused at once; after a switch: a key")
        );
        assert!(bounds.contains("within 60 s while it answers"), "{bounds}");
    }
}
