//! `sidegate check`: is this configuration right, and is this host ready for it? Changes nothing.
//!
//! An error ends with 1 and keeps the daemon from starting; a warning is said and ends with 0.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use nix::unistd::Uid;

use crate::cli::config::upstream::FeedKind;
use crate::cli::config::{self, PrimaryConfig, ServeConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion, print_line};
use crate::cli::ids;
use crate::cli::secrets;
use crate::model::clock;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;
use crate::wire::auth::credentials::{CredentialVerifier, SHELL_TOKEN_HEADER};

/// A clock before this program was written is wrong: 2026-01-01.
const EARLIEST_PLAUSIBLE_TIME: i64 = 1_767_225_600;
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";

/// Checks a sidecar's configuration, or a primary's if one is named.
pub fn run(sidecar: &Path, primary: Option<&Path>) -> CommandResult {
    match primary {
        Some(file) => check_primary(file),
        None => check_sidecar(sidecar),
    }
}

fn check_sidecar(file: &Path) -> CommandResult {
    let config: ServeConfig = config::load(file).map_err(CommandError::new)?;
    print_line(&format!("{}: understood", file.display()));
    let shell = secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?;
    if let (Some(file), FeedKind::Sidegate) = (&config.primary.sync_secret_file, config.primary.feed) {
        secrets::load_secret("primary.sync_secret_file", file)?;
    }
    let signing = match &config.primary.shell_secret_file {
        Some(file) => secrets::load_secret("primary.shell_secret_file", file)?,
        None => shell,
    };
    print_line("secrets: readable by us alone");
    config.socket.group.as_deref().map(ids::group_id).transpose()?;
    ids::resolve_peer_scopes(&config.peer)?;
    check_socket_dir("socket.path", &config.socket.path)?;
    check_clock()?;
    warn_insecure_http(&config);
    warn_sshd_config();
    let upstream = &config.primary;
    let client = HttpClient::new(&upstream.url, upstream.ca_file.as_deref(), upstream.insecure_http).map_err(CommandError::new)?;
    warn_primary(&client, &CredentialVerifier::new(signing, 1), upstream.timeout);
    print_revocation_bounds(&config);
    Ok(Completion::Complete)
}

fn check_primary(file: &Path) -> CommandResult {
    let config: PrimaryConfig = config::load(file).map_err(CommandError::new)?;
    print_line(&format!("{}: understood", file.display()));
    secrets::load_secret("auth.shell_secret_file", &config.auth.shell_secret_file)?;
    secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?;
    let optional = [
        ("auth.admin_token_file", &config.auth.admin_token_file),
        ("auth.error_tracking_token_file", &config.auth.error_tracking_token_file),
    ];
    if let Some(file) = &config.auth.kas_secret_file {
        secrets::load_kas_secret("auth.kas_secret_file", file)?;
    }
    for (key, file) in optional {
        if let Some(file) = file {
            secrets::load_secret(key, file)?;
        }
    }
    print_line("secrets: readable by us alone");
    config.socket.group.as_deref().map(ids::group_id).transpose()?;
    check_socket_dir("socket.path", &config.socket.path)?;
    check_clock()?;
    Ok(Completion::Complete)
}

/// The folder of a socket must be nobody's but root's or ours: who can write there can put another socket in its place.
fn check_socket_dir(key: &str, socket: &Path) -> Result<(), CommandError> {
    let Some(folder) = socket.parent() else { return Ok(()) };
    let found = match fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(error) => return print_warning(&format!("{key}: {}: {error}; systemd makes it with RuntimeDirectory=", folder.display())),
    };
    let strangers = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
    let owner = found.uid();
    if strangers || (owner != 0 && owner != Uid::effective().as_raw()) {
        let text =
            format!("{key}: {} can be written by others, who could put their own socket there; chmod 0755 and chown it", folder.display());
        return Err(CommandError(text));
    }
    Ok(())
}

fn check_clock() -> Result<(), CommandError> {
    if clock::wall_time().seconds() < EARLIEST_PLAUSIBLE_TIME {
        return Err(CommandError(format!("the clock says {}: tokens and expiry dates cannot be judged; set the time", clock::wall_time())));
    }
    Ok(())
}

fn warn_insecure_http(config: &ServeConfig) {
    if config.primary.insecure_http {
        let _ = print_warning("primary.insecure_http: keys, tokens and answers travel readable and changeable for everybody on the way");
    }
}

/// Who answers for sshd: the drop-in of ours, or somebody else.
fn warn_sshd_config() {
    let mut owners = Vec::new();
    let folder = fs::read_dir("/etc/ssh/sshd_config.d").map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    for file in folder.unwrap_or_default().into_iter().chain([SSHD_CONFIG.into()]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let commands = text.lines().map(str::trim).filter(|line| line.to_ascii_lowercase().starts_with("authorizedkeyscommand "));
        owners.extend(commands.map(|line| (file.clone(), line.to_owned())));
    }
    match owners.first() {
        None => drop(print_warning("sshd: no AuthorizedKeysCommand is set; install the drop-in of sidegate to /etc/ssh/sshd_config.d")),
        Some((file, line)) if !line.contains("sidegate") => {
            drop(print_warning(&format!("sshd: {} sets `{line}`, which is not sidegate", file.display())))
        }
        Some((file, _)) => print_line(&format!("sshd: asks sidegate ({})", file.display())),
    }
}

fn warn_primary(client: &HttpClient, signer: &CredentialVerifier, timeout: Duration) {
    let asked = || -> Result<u16, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let request = Request::get("/api/v4/internal/check").header(SHELL_TOKEN_HEADER, signer.issue_shell_token(clock::wall_time()));
        let request = request.body(OutgoingBody::from_bytes(Bytes::new())).map_err(|error| error.to_string())?;
        let answer = runtime.block_on(client.send(request, timeout)).map_err(|failed| failed.to_string())?;
        Ok(answer.status().as_u16())
    };
    match asked() {
        Ok(200) => print_line("primary: answers, and takes our token"),
        Ok(401) => drop(print_warning("primary: refuses our token; are the shell secrets of both the same, and both clocks right?")),
        Ok(status) => drop(print_warning(&format!("primary: answers `check` with status {status}"))),
        Err(reason) => drop(print_warning(&format!("primary: {reason}; the sidecar will answer from what it holds"))),
    }
}

fn print_revocation_bounds(config: &ServeConfig) {
    print_line(&format!(
        "a revoked key stops within a second on a host that follows (15 s with a half-open connection), and within {} s on one that is cut off",
        config.freshness.keys.max_stale.as_secs()
    ));
}

fn print_warning(text: &str) -> Result<(), CommandError> {
    print_line(&format!("WARNING: {text}"));
    Ok(())
}
