//! How a command talks to a daemon: one request over its Unix socket, waited for.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use crate::cli::outcome::Failure;
use crate::net::client::Client;
use crate::net::message::{Incoming, Outgoing};

/// How long an ordinary command waits for the daemon.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer that is read into memory.
const ANSWER_BYTES: usize = 64 << 20;

/// A daemon's socket, and a runtime to wait with.
pub struct Daemon {
    client: Client,
    runtime: tokio::runtime::Runtime,
    name: String,
}

/// An answer in JSON.
#[derive(Debug)]
pub struct Answer {
    /// Its body; `null` if it has none.
    pub body: Value,
}

impl Daemon {
    /// The daemon that listens on a socket.
    pub fn at(socket: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of)?;
        let client = Client::to(&format!("http+unix://{}", socket.display()), None, false).map_err(Failure::of)?;
        Ok(Self { client, runtime, name: socket.display().to_string() })
    }

    /// Asks, and reads the answer; one that is no success is a failure with its message.
    pub fn ask(&self, method: Method, target: &str, patience: Duration) -> Result<Answer, Failure> {
        self.send(method, target, Outgoing::of(Bytes::new()), patience)
    }

    /// The same with a JSON body.
    pub fn tell(&self, target: &str, body: &Value, patience: Duration) -> Result<Answer, Failure> {
        self.send(Method::POST, target, Outgoing::of(body.to_string()), patience)
    }

    /// The same with any body.
    pub fn send(&self, method: Method, target: &str, body: Outgoing, patience: Duration) -> Result<Answer, Failure> {
        self.runtime.block_on(async {
            let (status, body) = self.exchange(method, target, body, patience).await?;
            let bytes = body.read(ANSWER_BYTES, patience).await.map_err(|bad| Failure::while_doing(&self.name, bad))?;
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).map_err(|_| self.not_sidegate())? };
            if status.is_success() { Ok(Answer { body }) } else { Err(self.refused(status, &body)) }
        })
    }

    /// Copies an answer to standard output as it comes.
    pub fn copy(&self, target: &str, patience: Duration) -> Result<(), Failure> {
        use std::io::Write as _;
        self.runtime.block_on(async {
            let (status, mut body) = self.exchange(Method::GET, target, Outgoing::of(Bytes::new()), patience).await?;
            if !status.is_success() {
                let bytes = body.read(ANSWER_BYTES, patience).await.map_err(|bad| Failure::while_doing(&self.name, bad))?;
                return Err(self.refused(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null)));
            }
            let mut out = std::io::stdout().lock();
            while let Some(piece) = body.piece().await {
                let piece = piece.map_err(|bad| Failure::while_doing(&self.name, bad))?;
                out.write_all(&piece).map_err(Failure::of)?;
            }
            out.flush().map_err(Failure::of)
        })
    }

    async fn exchange(&self, method: Method, target: &str, body: Outgoing, patience: Duration) -> Result<(StatusCode, Incoming), Failure> {
        let request = Request::builder().method(method).uri(target).header("content-type", "application/json").body(body);
        let request = request.map_err(Failure::of)?;
        let answer = self.client.send(request, patience).await.map_err(|failed| self.unreachable(&failed.reason))?;
        let (head, body) = answer.into_parts();
        Ok((head.status, body))
    }

    fn unreachable(&self, reason: &str) -> Failure {
        Failure(format!("{}: {reason}; is the daemon running, and is --socket its socket?", self.name))
    }

    fn not_sidegate(&self) -> Failure {
        Failure(format!("{}: the answer is not JSON; is this sidegate's socket?", self.name))
    }

    fn refused(&self, status: StatusCode, body: &Value) -> Failure {
        let text = match &body["message"] {
            Value::String(text) => text.clone(),
            Value::Null => format!("status {}", status.as_u16()),
            other => other.to_string(),
        };
        Failure(text)
    }
}
