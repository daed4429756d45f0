//! How a command talks to a daemon: one request over its Unix socket, waited for.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use crate::cli::exit_status::CommandError;
use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::http_client::HttpClient;

/// How long an ordinary command waits for the daemon.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read into memory.
const MAX_JSON_RESPONSE_BYTES: usize = 64 << 20;

/// A daemon's socket, and a runtime to wait with.
pub struct AdminClient {
    client: HttpClient,
    runtime: tokio::runtime::Runtime,
    socket_name: String,
}

/// An answer in JSON.
#[derive(Debug)]
pub struct JsonResponse {
    /// Its body; `null` if it has none.
    pub body: Value,
}

impl AdminClient {
    /// The daemon that listens on a socket.
    pub fn new(socket: &Path) -> Result<Self, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
        let client = HttpClient::new(&format!("http+unix://{}", socket.display()), None, false).map_err(CommandError::new)?;
        Ok(Self { client, runtime, socket_name: socket.display().to_string() })
    }

    /// Asks, and reads the answer; one that is no success is a failure with its message.
    pub fn request(&self, method: Method, target: &str, patience: Duration) -> Result<JsonResponse, CommandError> {
        self.send(method, target, OutgoingBody::from_bytes(Bytes::new()), patience)
    }

    /// The same with a JSON body.
    pub fn post_json(&self, target: &str, body: &Value, patience: Duration) -> Result<JsonResponse, CommandError> {
        self.send(Method::POST, target, OutgoingBody::from_bytes(body.to_string()), patience)
    }

    /// The same with any body.
    pub fn send(&self, method: Method, target: &str, body: OutgoingBody, patience: Duration) -> Result<JsonResponse, CommandError> {
        self.runtime.block_on(async {
            let (status, body) = self.exchange(method, target, body, patience).await?;
            let bytes =
                body.read(MAX_JSON_RESPONSE_BYTES, patience).await.map_err(|bad| CommandError::with_context(&self.socket_name, bad))?;
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).map_err(|_| self.not_json_error())? };
            if status.is_success() { Ok(JsonResponse { body }) } else { Err(self.status_error(status, &body)) }
        })
    }

    /// Copies an answer to standard output as it comes.
    pub fn copy_to_stdout(&self, target: &str, patience: Duration) -> Result<(), CommandError> {
        use std::io::Write as _;
        self.runtime.block_on(async {
            let (status, mut body) = self.exchange(Method::GET, target, OutgoingBody::from_bytes(Bytes::new()), patience).await?;
            if !status.is_success() {
                let bytes =
                    body.read(MAX_JSON_RESPONSE_BYTES, patience).await.map_err(|bad| CommandError::with_context(&self.socket_name, bad))?;
                return Err(self.status_error(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null)));
            }
            let mut out = std::io::stdout().lock();
            while let Some(piece) = body.next_chunk().await {
                let piece = piece.map_err(|bad| CommandError::with_context(&self.socket_name, bad))?;
                out.write_all(&piece).map_err(CommandError::new)?;
            }
            out.flush().map_err(CommandError::new)
        })
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: OutgoingBody,
        patience: Duration,
    ) -> Result<(StatusCode, IncomingBody), CommandError> {
        let request = Request::builder().method(method).uri(target).header("content-type", "application/json").body(body);
        let request = request.map_err(CommandError::new)?;
        let answer = self.client.send(request, patience).await.map_err(|failed| self.unreachable_error(&failed.reason))?;
        let (head, body) = answer.into_parts();
        Ok((head.status, body))
    }

    fn unreachable_error(&self, reason: &str) -> CommandError {
        CommandError(format!("{}: {reason}; is the daemon running, and is --socket its socket?", self.socket_name))
    }

    fn not_json_error(&self) -> CommandError {
        CommandError(format!("{}: the answer is not JSON; is this sidegate's socket?", self.socket_name))
    }

    fn status_error(&self, status: StatusCode, body: &Value) -> CommandError {
        let text = match &body["message"] {
            Value::String(text) => text.clone(),
            Value::Null => format!("status {}", status.as_u16()),
            other => other.to_string(),
        };
        CommandError(text)
    }
}
