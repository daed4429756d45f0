//! A primary that is not ours: it keeps every request as it came, and answers as a test wants it to, rightly or not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::http::Answer;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// `GET /api/… HTTP/1.1`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What is done with a request.
pub enum Then {
    /// These bytes; the connection is kept.
    Say(Vec<u8>),
    /// These bytes; the connection ends.
    SayAndClose(Vec<u8>),
    /// Nothing, until the other side has had enough.
    Hang,
}

type Behaviour = dyn Fn(&Arrived) -> Then + Send + Sync;

/// It listens until it is dropped.
pub struct Fake {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    path: std::path::PathBuf,
}

/// A whole answer with a body in JSON.
pub fn json(status: u16, body: &str) -> Vec<u8> {
    with_headers(status, "Content-Type: application/json\r\n", body)
}

/// A whole answer; each header ends with CR and LF.
pub fn with_headers(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Fake {
    /// Listens at a path, in place of whatever stood there.
    pub fn at(path: &Path, behaviour: impl Fn(&Arrived) -> Then + Send + Sync + 'static) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let kept = Arc::clone(&arrived);
        std::thread::spawn(move || {
            // Its own path is gone when the test is: then nobody comes any more.
            for stream in listener.incoming().flatten() {
                let (kept, behaviour) = (Arc::clone(&kept), Arc::clone(&behaviour));
                std::thread::spawn(move || attend(stream, &kept, &*behaviour));
            }
        });
        Self { arrived, path: path.to_owned() }
    }

    /// What has arrived, and is forgotten here.
    pub fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut *self.arrived.lock().unwrap())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Arrived {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it carries a signature of sidegate's or of gitlab-shell's.
    pub fn signed(&self) -> bool {
        self.headers
            .iter()
            .any(|(name, _)| name == "gitlab-shell-api-request" || name == "gitlab-shared-secret" || name == "sidegate-sync-request")
            || self.line.contains("secret_token")
            || self.body.contains("secret_token")
    }

    fn read(stream: &mut BufReader<UnixStream>) -> Option<Self> {
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
        let mut arrived = Self { line, headers, body: String::new() };
        let length: usize = arrived.header("content-length").unwrap_or("0").parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        if arrived.header("transfer-encoding").is_some() {
            body = unchunked(stream)?;
        }
        arrived.body = String::from_utf8_lossy(&body).into_owned();
        Some(arrived)
    }
}

fn unchunked(stream: &mut BufReader<UnixStream>) -> Option<Vec<u8>> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    while !bytes.ends_with(b"\r\n0\r\n\r\n") {
        if stream.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
    }
    Answer::parse(&bytes).ok().map(|answer| answer.body)
}

fn attend(stream: UnixStream, kept: &Mutex<Vec<Arrived>>, behaviour: &Behaviour) {
    let mut stream = BufReader::new(stream);
    while let Some(arrived) = Arrived::read(&mut stream) {
        kept.lock().unwrap().push(arrived.clone());
        let closes = match behaviour(&arrived) {
            Then::Say(bytes) => stream.get_mut().write_all(&bytes).is_err(),
            Then::SayAndClose(bytes) => {
                let _ = stream.get_mut().write_all(&bytes);
                true
            }
            Then::Hang => {
                let _ = stream.read(&mut [0]);
                true
            }
        };
        if closes {
            return;
        }
    }
}
