//! Asks a daemon for its status, and says what to do where it cannot be asked.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cli::admin_client::{AdminClient, FailedRequest, FailureKind};
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

/// Returns the status of the daemon that listens on `socket`. The error says that there is none, why, and what to do.
pub fn fetch(socket: &Path, expected: DaemonKind) -> Result<Value, CommandError> {
    try_fetch(socket).map_err(|failed| no_status(&failed, expected))
}

/// Returns the status of the daemon that listens on `socket`, or how asking it failed.
pub fn try_fetch(socket: &Path) -> Result<Value, FailedRequest> {
    let client = AdminClient::new(socket).map_err(|error| FailedRequest { kind: FailureKind::Other, error })?;
    client.try_get("/-/admin/status", STATUS_TIMEOUT)
}

/// Returns what is said in place of a status.
fn no_status(failed: &FailedRequest, expected: DaemonKind) -> CommandError {
    let how = match failed.kind {
        FailureKind::NotPermitted => "not permitted",
        FailureKind::NoAnswerInTime | FailureKind::Other => "away",
    };
    CommandError(format!("{how}: {}\n  to do: {}", failed.error, remedy(failed.kind, expected)))
}

const fn remedy(kind: FailureKind, expected: DaemonKind) -> &'static str {
    match (kind, expected) {
        (FailureKind::NotPermitted, _) => {
            "run it as root, or give this user `admin` in a [[peer]]; this says nothing of the daemon, which may serve all the same"
        }
        (FailureKind::NoAnswerInTime, DaemonKind::Sidecar) => {
            "it hangs: `systemctl restart sidegate.service`. Until it answers sshd knows no key by it"
        }
        (FailureKind::NoAnswerInTime, DaemonKind::Primary) => {
            "it hangs: `systemctl restart sidegate-primary.service` (or sidegate-mirror.service). Hosts answer without it for as long as their bounds allow"
        }
        (FailureKind::Other, DaemonKind::Sidecar) => {
            "run as root; see `systemctl status sidegate.socket sidegate.service` and `journalctl -u sidegate.service`. Until it is back sshd knows no key by it"
        }
        (FailureKind::Other, DaemonKind::Primary) => {
            "run as root; see `systemctl status sidegate-primary.service` (or sidegate-mirror.service) and its journal. Hosts answer without it for as long as their bounds allow"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::{DaemonKind, no_status};
    use crate::cli::admin_client::{AdminClient, FailedRequest, FailureKind};

    #[test]
    fn a_daemon_that_takes_the_question_and_does_not_answer_hangs_and_one_that_is_not_there_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let (hung, none) = (folder.path().join("hung.sock"), folder.path().join("none.sock"));
        let _listener = UnixListener::bind(&hung).unwrap();
        let said = |socket| {
            let failed = AdminClient::new(socket).unwrap().try_get("/-/admin/status", Duration::from_millis(50)).unwrap_err();
            (failed.kind, no_status(&failed, DaemonKind::Sidecar).to_string())
        };
        let (kind, text) = said(&hung);
        assert_eq!(kind, FailureKind::NoAnswerInTime);
        assert!(text.starts_with("away: ") && text.contains("\n  to do: it hangs: `systemctl restart sidegate.service`"), "{text}");
        assert!(!text.contains("is the daemon running"), "{text}");
        let (kind, text) = said(&none);
        assert_eq!(kind, FailureKind::Other);
        assert!(text.starts_with("away: ") && text.contains("see `systemctl status sidegate.socket"), "{text}");
    }

    #[test]
    fn of_a_daemon_that_may_not_be_asked_nothing_is_said() {
        let failed = FailedRequest { kind: FailureKind::NotPermitted, error: crate::cli::exit_status::CommandError("why".to_owned()) };
        for expected in [DaemonKind::Sidecar, DaemonKind::Primary] {
            let text = no_status(&failed, expected).to_string();
            assert!(text.starts_with("not permitted: why\n  to do: run it as root, or give this user `admin` in a [[peer]]"), "{text}");
            assert!(text.contains("this says nothing of the daemon") && !text.contains("Until it"), "{text}");
        }
    }
}
