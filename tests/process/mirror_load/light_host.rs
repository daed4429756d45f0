//! A host that follows a mirror and keeps nothing: it reads the signed feed, acknowledges what it reads, and reports uses of keys.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::mirror::MirrorEnv;
use crate::support::http::{Request, Response};

const SYNC_HEADER: &str = "Sidegate-Sync-Request";
const MAX_STALE_SECONDS: u64 = 3600;
/// What a thread that reads lines needs.
const STACK_BYTES: usize = 512 << 10;

/// It follows until it is dropped.
pub struct LightHost {
    sender: Sender,
    stream: UnixStream,
    acknowledged: Arc<AtomicU64>,
    reader: Option<JoinHandle<()>>,
}

/// Sends what a host sends beside its feed.
#[derive(Clone)]
struct Sender {
    socket: PathBuf,
    name: String,
    token: String,
}

impl LightHost {
    /// Follows the mirror from where it stands now.
    pub fn start(mirror: &MirrorEnv, number: usize) -> Self {
        let name = format!("light-{number}");
        let sender = Sender { socket: mirror.socket(), token: mirror.env.sync_token(&name), name };
        let head = mirror.status()["head"].clone();
        let stream = sender.open_feed(&head);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (lines, to, epoch, seen) =
            (BufReader::new(stream.try_clone().unwrap()), sender.clone(), head["epoch"].clone(), Arc::clone(&acknowledged));
        let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || to.read_feed(lines, &epoch, &seen)).unwrap();
        Self { sender, stream, acknowledged, reader: Some(reader) }
    }

    /// The last commit that it has read, and acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Reports that these keys were used.
    pub fn report_uses(&self, keys: impl Iterator<Item = u64>) {
        let used: BTreeMap<String, &str> = keys.map(|key| (key.to_string(), "2026-11-28")).collect();
        let answer = self.sender.post("usage", &json!({ "keys": used }));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

impl Drop for LightHost {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let ended = self.reader.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "{} failed", self.sender.name);
    }
}

impl Sender {
    fn open_feed(&self, head: &Value) -> UnixStream {
        let text = |name: &str| head[name].as_str().map_or_else(|| head[name].to_string(), str::to_owned);
        let target = format!(
            "/api/v4/internal/sidegate/changes?epoch={}&after={}&digest={}&instance={}&max_stale={MAX_STALE_SECONDS}",
            text("epoch"),
            text("seq"),
            text("digest"),
            self.name
        );
        let mut stream = connect(&self.socket);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: unix\r\n{SYNC_HEADER}: {}\r\n\r\n", self.token).unwrap();
        stream
    }

    /// Acknowledges each commit and each heartbeat that says more than the one before.
    fn read_feed(&self, lines: BufReader<UnixStream>, epoch: &Value, acknowledged: &AtomicU64) {
        for line in lines.lines().map_while(Result::ok) {
            assert!(!line.starts_with("HTTP/1.1 ") || line.contains(" 200 "), "{line}");
            // The head, the sizes of chunks, and the newlines between them are no lines of the feed.
            let Ok(Value::Object(line)) = serde_json::from_str(&line) else { continue };
            let seq = line["seq"].as_u64().unwrap();
            if seq > acknowledged.load(Ordering::SeqCst) {
                let ack = json!({
                    "epoch": epoch, "seq": seq, "digest": line["digest"], "max_stale": MAX_STALE_SECONDS, "instance": self.name,
                });
                assert_eq!(self.post("ack", &ack).status, 204);
                acknowledged.store(seq, Ordering::SeqCst);
            }
        }
    }

    fn post(&self, endpoint: &str, body: &Value) -> Response {
        Request::post(&format!("/api/v4/internal/sidegate/{endpoint}"), body).header(SYNC_HEADER, &self.token).send(&self.socket)
    }
}

fn connect(socket: &Path) -> UnixStream {
    UnixStream::connect(socket).unwrap()
}
