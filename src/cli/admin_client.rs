//! The client of a command: one request to a daemon over its Unix socket, and its response.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use serde_json::Value;

use crate::cli::exit_status::CommandError;
use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::RequestError;

/// How long an ordinary command waits for the daemon.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a command that sends or receives a whole directory may take.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(1800);
const MAX_JSON_RESPONSE_BYTES: usize = 64 << 20;

/// How a request to a daemon failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// This user may not open the socket, or may not ask this (403). It says nothing of the daemon.
    NotPermitted,
    /// Somebody took the request and gave no answer in its time.
    NoAnswerInTime,
    /// Nobody listens, or what came is no answer to it.
    Other,
}

/// A request that failed.
#[derive(Debug)]
pub struct FailedRequest {
    /// How.
    pub kind: FailureKind,
    /// What is wrong, in words.
    pub error: CommandError,
}

/// A client of one daemon, with a runtime of its own to wait in.
pub struct AdminClient {
    client: HttpClient,
    runtime: tokio::runtime::Runtime,
    socket: PathBuf,
}

impl AdminClient {
    /// Creates a client of the daemon that listens on `socket`.
    pub fn new(socket: &Path) -> Result<Self, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
        let client = HttpClient::new(&format!("http+unix://{}", socket.display()), None, false).map_err(CommandError::new)?;
        Ok(Self { client, runtime, socket: socket.to_owned() })
    }

    /// Sends a GET request and returns the JSON of the response; `null` if its body is empty. A status other than success is an
    /// error with the `message` of the response.
    pub fn get(&self, target: &str, timeout: Duration) -> Result<Value, CommandError> {
        self.try_get(target, timeout).map_err(|failed| failed.error)
    }

    /// Sends a GET request as [`Self::get`] does, and says how it failed.
    pub fn try_get(&self, target: &str, timeout: Duration) -> Result<Value, FailedRequest> {
        self.request_json(Method::GET, target, OutgoingBody::from_bytes(Bytes::new()), timeout)
    }

    /// As [`Self::get`]; `None` where the daemon does not know the path: 404.
    pub fn get_if_known(&self, target: &str, timeout: Duration) -> Result<Option<Value>, CommandError> {
        let asked = self.request(Method::GET, target, OutgoingBody::from_bytes(Bytes::new()), timeout);
        let (status, body) = asked.map_err(|failed| failed.error)?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(body)),
            status => Err(status_error(status, &body).error),
        }
    }

    /// Sends a POST request with a JSON body and returns the response like [`Self::get`].
    pub fn post_json(&self, target: &str, body: &Value, timeout: Duration) -> Result<Value, CommandError> {
        self.post(target, OutgoingBody::from_bytes(body.to_string()), timeout)
    }

    /// Sends a POST request with any body and returns the response like [`Self::get`].
    pub fn post(&self, target: &str, body: OutgoingBody, timeout: Duration) -> Result<Value, CommandError> {
        self.request_json(Method::POST, target, body, timeout).map_err(|failed| failed.error)
    }

    /// Sends a GET request and copies the body of the response to `out` as it arrives. An error means that `out` may lack its end.
    pub fn copy_to(&self, target: &str, timeout: Duration, out: &mut dyn Write) -> Result<(), CommandError> {
        self.runtime.block_on(async {
            let sent = self.send(Method::GET, target, OutgoingBody::from_bytes(Bytes::new()), timeout).await;
            let (status, mut body) = sent.map_err(|failed| failed.error)?;
            if !status.is_success() {
                let bytes = body.read(MAX_JSON_RESPONSE_BYTES, timeout).await.map_err(|error| self.socket_error(error))?;
                return Err(status_error(status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null)).error);
            }
            while let Some(chunk) = body.next_chunk().await {
                let chunk = chunk.map_err(|error| self.socket_error(error))?;
                out.write_all(&chunk).map_err(CommandError::new)?;
            }
            out.flush().map_err(CommandError::new)
        })
    }

    fn request_json(&self, method: Method, target: &str, body: OutgoingBody, timeout: Duration) -> Result<Value, FailedRequest> {
        let (status, body) = self.request(method, target, body, timeout)?;
        if status.is_success() { Ok(body) } else { Err(status_error(status, &body)) }
    }

    fn request(&self, method: Method, target: &str, body: OutgoingBody, timeout: Duration) -> Result<(StatusCode, Value), FailedRequest> {
        self.runtime.block_on(async {
            let (status, body) = self.send(method, target, body, timeout).await?;
            let other = |error| FailedRequest { kind: FailureKind::Other, error };
            let bytes = body.read(MAX_JSON_RESPONSE_BYTES, timeout).await.map_err(|error| other(self.socket_error(error)))?;
            let body = match bytes.is_empty() {
                true => Value::Null,
                false => serde_json::from_slice(&bytes)
                    .map_err(|_| other(self.socket_error("the answer is not JSON; is this sidegate's socket?")))?,
            };
            Ok((status, body))
        })
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: OutgoingBody,
        timeout: Duration,
    ) -> Result<(StatusCode, IncomingBody), FailedRequest> {
        let request = Request::builder().method(method).uri(target).header("content-type", "application/json").body(body);
        let request = request.map_err(|error| FailedRequest { kind: FailureKind::Other, error: CommandError::new(error) })?;
        let response = self.client.send(request, timeout).await.map_err(|error| self.no_response(&error))?;
        let (head, body) = response.into_parts();
        Ok((head.status, body))
    }

    fn no_response(&self, error: &RequestError) -> FailedRequest {
        let kind = match access(&self.socket, AccessFlags::W_OK) {
            Err(Errno::EACCES) => FailureKind::NotPermitted,
            _ if error.timed_out => FailureKind::NoAnswerInTime,
            _ => FailureKind::Other,
        };
        let question = match kind {
            FailureKind::NotPermitted | FailureKind::NoAnswerInTime => "is --socket its socket?",
            FailureKind::Other => "is the daemon running, and is --socket its socket?",
        };
        FailedRequest { kind, error: self.socket_error(format_args!("{}; {question}", error.reason)) }
    }

    fn socket_error(&self, error: impl std::fmt::Display) -> CommandError {
        CommandError::with_context(&self.socket.display().to_string(), error)
    }
}

fn status_error(status: StatusCode, body: &Value) -> FailedRequest {
    let kind = if status == StatusCode::FORBIDDEN { FailureKind::NotPermitted } else { FailureKind::Other };
    let text = match &body["message"] {
        Value::String(text) => text.clone(),
        Value::Null => format!("status {}", status.as_u16()),
        other => other.to_string(),
    };
    FailedRequest { kind, error: CommandError(text) }
}
