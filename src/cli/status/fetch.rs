//! Asks a daemon for its status, and says what to do where it cannot be asked.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cli::admin_client::AdminClient;
use crate::cli::exit_status::CommandError;

/// How long a daemon may take to say how it does.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// Which daemon is expected behind a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonKind {
    /// The sidecar.
    Sidecar,
    /// The primary, or a mirror.
    Primary,
}

/// Returns the status of the daemon that listens on `socket`. The error says that it is away, why, and what to do.
pub fn fetch(socket: &Path, expected: DaemonKind) -> Result<Value, CommandError> {
    let status = AdminClient::new(socket).and_then(|client| client.get("/-/admin/status", STATUS_TIMEOUT));
    status.map_err(|error| CommandError(format!("away: {error}\n  to do: {}", remedy(expected))))
}

const fn remedy(expected: DaemonKind) -> &'static str {
    match expected {
        DaemonKind::Sidecar => {
            "run as root; see `systemctl status sidegate.socket sidegate.service` and `journalctl -u sidegate.service`. Until it is back sshd knows no key by it"
        }
        DaemonKind::Primary => {
            "run as root; see `systemctl status sidegate-primary.service` (or sidegate-mirror.service) and its journal. Hosts answer without it for as long as their bounds allow"
        }
    }
}
