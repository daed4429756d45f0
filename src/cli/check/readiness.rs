//! Asks a daemon of this host itself whether it is ready to serve.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use nix::errno::Errno;

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::findings::Findings;
use crate::cli::check::socket::try_connect;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::RequestError;

const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Whether a daemon may serve and not be ready for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A primary is ready, or something is wrong.
    Always,
    /// A mirror is not before its first walk has ended, which is no fault.
    Later,
    /// A sidecar that is not ready can let nobody in.
    ForLogins,
}

/// Asks the daemon behind a socket, if there is one. Returns the status that it answered with; `None` where it gave no answer, or was not asked.
pub fn check(socket: &Path, service: &str, ready: Ready, daemon: &DaemonUser, found: &mut Findings) -> Option<u16> {
    if !socket.exists() {
        return None;
    }
    let (at, logs) = (socket.display(), format!("journalctl -u {service}"));
    let status = format!("`sidegate status --socket {at}` says why");
    let answered = match ready {
        Ready::Always | Ready::Later => daemon.act(|| ask(socket)),
        // Sshd's user and gitlab-shell ask a sidecar, not its own user, who need not be able to open a socket that systemd made.
        Ready::ForLogins if try_connect(socket) == Err(Errno::EACCES) => {
            found.ok(format!("daemon: not asked whether it is ready, since this user may not open {at}; root may"));
            return None;
        }
        Ready::ForLogins => ask(socket),
    };
    match (&answered, ready) {
        (Ok(200), _) => found.ok(format!("daemon: it answers at {at}, and is ready")),
        (Ok(503), Ready::Later) => found.ok(format!("daemon: it answers at {at}, and has no feed yet; {status}")),
        (Ok(503), Ready::ForLogins) => {
            let what = format!(
                "daemon: it answers at {at}, and is not ready (status 503): keys can be answered neither from here nor by the primary"
            );
            found.fail(what, format!("make the primary answer; {status}"));
        }
        (Ok(status), _) => found.warn(format!("daemon: it answers at {at}, and is not ready (status {status})"), logs),
        (Err(error), _) if error.timed_out => {
            found.fail(format!("daemon: {error}: it hangs"), format!("systemctl restart {service}; why it hangs: `{logs}`"));
        }
        (Err(error), _) => found.fail(format!("daemon: {error}"), format!("systemctl start {service}; where that fails: `{logs}`")),
    }
    answered.ok()
}

fn ask(socket: &Path) -> Result<u16, RequestError> {
    let unsent = |reason: String| RequestError { may_have_reached: false, timed_out: false, reason };
    let client = HttpClient::new(&format!("http+unix://{}", socket.display()), None, false).map_err(|error| unsent(error.to_string()))?;
    let request = Request::get("/-/readiness").body(OutgoingBody::from_bytes(Bytes::new())).map_err(|error| unsent(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| unsent(error.to_string()))?;
    let response = runtime.block_on(client.send(request, TIME_LIMIT))?;
    Ok(response.status().as_u16())
}
