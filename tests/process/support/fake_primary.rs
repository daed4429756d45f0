//! A primary that is not ours: it keeps every request as it came, and answers as a test wants it to, rightly or not.
//!
//! The sidecar's own question, which it asks to find out whether the primary answers, is answered here unless a test wants it, and is not
//! kept.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::support::http::Response;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// `GET /api/… HTTP/1.1`.
    pub request_line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What is done with a request.
pub enum FakeReply {
    /// These bytes; the connection is kept.
    Respond(Vec<u8>),
    /// These bytes; the connection ends.
    RespondAndClose(Vec<u8>),
    /// Nothing, until the other side has had enough.
    Hang,
}

type ReplyHandler = dyn Fn(&RecordedRequest) -> FakeReply + Send + Sync;

/// It listens until it is dropped.
pub struct FakePrimary {
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    path: std::path::PathBuf,
}

/// A whole answer with a body in JSON.
pub fn json_response(status: u16, body: &str) -> Vec<u8> {
    response_with_headers(status, "Content-Type: application/json\r\n", body)
}

/// A whole answer; each header ends with CR and LF.
pub fn response_with_headers(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl FakePrimary {
    /// Listens at a path, in place of whatever stood there. It answers, as far as the sidecar's probe finds.
    pub fn listen(path: &Path, behaviour: impl Fn(&RecordedRequest) -> FakeReply + Send + Sync + 'static) -> Self {
        Self::listen_with_probe(path, move |arrived| match arrived.is_probe() {
            true => FakeReply::Respond(json_response(404, "{\"message\":\"404 Key Not Found\"}")),
            false => behaviour(arrived),
        })
    }

    /// The same, but the sidecar's probe gets what the test says as well.
    pub fn listen_with_probe(path: &Path, behaviour: impl Fn(&RecordedRequest) -> FakeReply + Send + Sync + 'static) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let behaviour: Arc<ReplyHandler> = Arc::new(behaviour);
        let kept = Arc::clone(&arrived);
        std::thread::spawn(move || {
            // Its own path is gone when the test is: then nobody comes any more.
            for stream in listener.incoming().flatten() {
                let (kept, behaviour) = (Arc::clone(&kept), Arc::clone(&behaviour));
                std::thread::spawn(move || serve_connection(stream, &kept, &*behaviour));
            }
        });
        Self { requests: arrived, path: path.to_owned() }
    }

    /// How many requests have arrived since they were taken last.
    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// What has arrived, and is forgotten here.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl Drop for FakePrimary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What only the target of the sidecar's own question has in it: a part of the key that it asks for.
pub const PROBE_MARK: &str = "IJ3v4pPzl";

impl RecordedRequest {
    /// Whether this is the sidecar's own question.
    pub fn is_probe(&self) -> bool {
        self.request_line.contains(PROBE_MARK)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it carries a signature of sidegate's or of gitlab-shell's.
    pub fn is_signed(&self) -> bool {
        self.headers
            .iter()
            .any(|(name, _)| name == "gitlab-shell-api-request" || name == "gitlab-shared-secret" || name == "sidegate-sync-request")
            || self.request_line.contains("secret_token")
            || self.body.contains("secret_token")
    }

    /// Reads the next request; `None` when the other side has had enough.
    pub fn read_from(stream: &mut impl BufRead) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head).ok()? == 0 {
                return None;
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut arrived = Self { request_line: line, headers, body: String::new() };
        let length: usize = arrived.header("content-length").unwrap_or("0").parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        if arrived.header("transfer-encoding").is_some() {
            body = read_chunked_body(stream)?;
        }
        arrived.body = String::from_utf8_lossy(&body).into_owned();
        Some(arrived)
    }
}

fn read_chunked_body(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    while !bytes.ends_with(b"\r\n0\r\n\r\n") {
        if stream.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
    }
    Response::parse(&bytes).ok().map(|answer| answer.body)
}

fn serve_connection(stream: UnixStream, kept: &Mutex<Vec<RecordedRequest>>, behaviour: &ReplyHandler) {
    let mut stream = BufReader::new(stream);
    while let Some(arrived) = RecordedRequest::read_from(&mut stream) {
        if !arrived.is_probe() {
            kept.lock().unwrap().push(arrived.clone());
        }
        let closes = match behaviour(&arrived) {
            FakeReply::Respond(bytes) => stream.get_mut().write_all(&bytes).is_err(),
            FakeReply::RespondAndClose(bytes) => {
                let _ = stream.get_mut().write_all(&bytes);
                true
            }
            FakeReply::Hang => {
                let _ = stream.read(&mut [0]);
                true
            }
        };
        if closes {
            return;
        }
    }
}
