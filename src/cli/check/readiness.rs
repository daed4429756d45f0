//! Asks a daemon of this host itself whether it is ready to serve.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::findings::Findings;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;

const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Whether a daemon may serve and not be ready for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A primary is ready, or something is wrong.
    Always,
    /// A mirror is not before its first walk has ended, which is no fault.
    Later,
}

/// Asks the daemon behind a socket, if there is one.
pub fn check(socket: &Path, service: &str, ready: Ready, daemon: &DaemonUser, found: &mut Findings) {
    if !socket.exists() {
        return;
    }
    let logs = format!("journalctl -u {service}");
    match daemon.act(|| ask(socket)) {
        Ok(200) => found.ok(format!("daemon: it answers at {}, and is ready", socket.display())),
        Ok(503) if ready == Ready::Later => {
            let status = format!("`sidegate status --socket {}` says why", socket.display());
            found.ok(format!("daemon: it answers at {}, and has no feed yet; {status}", socket.display()));
        }
        Ok(status) => found.warn(format!("daemon: it answers at {}, and is not ready (status {status})", socket.display()), logs),
        Err(reason) => found.fail(format!("daemon: {reason}"), format!("systemctl start {service}; where that fails: `{logs}`")),
    }
}

fn ask(socket: &Path) -> Result<u16, String> {
    let client = HttpClient::new(&format!("http+unix://{}", socket.display()), None, false).map_err(|error| error.to_string())?;
    let request = Request::get("/-/readiness").body(OutgoingBody::from_bytes(Bytes::new())).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let response = runtime.block_on(client.send(request, TIME_LIMIT)).map_err(|error| error.to_string())?;
    Ok(response.status().as_u16())
}
