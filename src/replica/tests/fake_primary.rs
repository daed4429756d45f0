//! A primary on a Unix socket, as small as HTTP allows, that does as its [`FakePrimaryState`] says: also slow, cut, lying, or silent.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::model::change::Head;
use crate::model::clock;
use crate::replica::tests::fake_primary_state::{BadSnapshot, FakePrimaryState, Faults};
use crate::wire::auth::jwt::{Issuer, verify_token};
use crate::wire::auth::secret::{RotatingSecret, Secret};
use crate::wire::directory::feed_lines::{self, Ack};

/// How often a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(40);
const SYNC_SECRET: &[u8] = b"the secret of these tests";

/// What the primary's threads share.
pub struct FakePrimaryShared {
    state: Mutex<FakePrimaryState>,
    version: watch::Sender<u64>,
    secrets: Mutex<RotatingSecret>,
}

/// A primary that runs until it is dropped.
pub struct FakePrimary {
    pub shared: Arc<FakePrimaryShared>,
    pub socket: PathBuf,
    _folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

pub fn sync_secret() -> Secret {
    Secret::from_bytes(SYNC_SECRET).unwrap()
}

impl FakePrimary {
    pub fn start(state: FakePrimaryState) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let shared = Arc::new(FakePrimaryShared {
            state: Mutex::new(state),
            version: watch::Sender::new(0),
            secrets: Mutex::new(RotatingSecret::new(sync_secret())),
        });
        let (stop, stopped) = watch::channel(false);
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept_loop(listener, serving, stopped));
        });
        Self { shared, socket, _folder: folder, stop, thread: Some(thread) }
    }

    pub fn state(&self) -> MutexGuard<'_, FakePrimaryState> {
        self.shared.state.lock().unwrap()
    }

    /// Changes the state, and wakes the streams and those who wait.
    pub fn update<T>(&self, change: impl FnOnce(&mut FakePrimaryState) -> T) -> T {
        let changed = change(&mut self.state());
        self.shared.notify();
        changed
    }

    pub fn head(&self) -> Head {
        self.state().head()
    }

    /// Ends all open streams.
    pub fn disconnect_all(&self) {
        self.update(|state| state.disconnects += 1);
    }

    /// Accepts another secret only, from now on.
    pub fn set_secret(&self, next: &[u8]) {
        *self.shared.secrets.lock().unwrap() = RotatingSecret::new(Secret::from_bytes(next).unwrap());
        self.disconnect_all();
    }

    /// Waits until the state is as wanted, for at most a minute.
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&FakePrimaryState) -> bool) {
        let mut moved = self.shared.version.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let condition = async {
            while !is_so(&self.state()) {
                moved.changed().await.unwrap();
            }
        };
        let in_time = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), condition).await });
        assert!(in_time.is_ok(), "the primary waited in vain: {what}");
    }
}

impl Drop for FakePrimary {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl FakePrimaryShared {
    fn notify(&self) {
        self.version.send_modify(|times| *times += 1);
    }

    fn state(&self) -> MutexGuard<'_, FakePrimaryState> {
        self.state.lock().unwrap()
    }
}

async fn accept_loop(listener: std::os::unix::net::UnixListener, shared: Arc<FakePrimaryShared>, mut stopped: watch::Receiver<bool>) {
    let listener = UnixListener::from_std(listener).unwrap();
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _peer_gone = handle_connection(accepted.unwrap().0, &shared).await;
                });
            }
        }
    }
}

async fn handle_connection(mut stream: UnixStream, shared: &FakePrimaryShared) -> std::io::Result<()> {
    let (head, body) = read_request(&mut stream).await?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let token = head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("sidegate-sync-request:").then(|| line[22..].trim()));
    let claims = verify_token(token.unwrap_or_default(), Issuer::Follower, &shared.secrets.lock().unwrap(), clock::wall_time());
    let Ok(claims) = claims else { return write_response(&mut stream, 401, "{}").await };
    let host = claims.subject.unwrap_or_default();
    if target.ends_with("/ack") {
        let ack: Ack = serde_json::from_slice(&body).unwrap();
        shared.state().acks.push((host, ack));
        shared.notify();
        return write_response(&mut stream, 200, "{}").await;
    }
    if target.ends_with("/snapshot") {
        return send_snapshot(&mut stream, shared).await;
    }
    let (_, query) = target.split_once("/changes?").unwrap();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap();
    let (epoch, after) = (value("epoch").parse().unwrap(), value("after").parse::<u64>().unwrap());
    let error = {
        let state = shared.state();
        let head = state.head();
        let at = if after == head.seq {
            Some(head.state.digest)
        } else {
            state.journal.iter().find(|commit| commit.seq == after).map(|commit| commit.state.digest)
        };
        if let Some(status) = state.faults.changes_status {
            Some((status, "{}".to_owned()))
        } else if epoch != head.epoch || after + 1 < state.first_seq() {
            let named_head = serde_json::to_string(&head).unwrap();
            Some((410, if state.faults.gone_without_head { "{}".to_owned() } else { named_head }))
        } else if after > head.seq || at.is_some_and(|digest| digest.to_string() != value("digest")) {
            Some((409, format!(r#"{{"message":"no","epoch":"{epoch}","seq":{}}}"#, head.seq)))
        } else {
            None
        }
    };
    match error {
        Some((status, body)) => write_response(&mut stream, status, &body).await,
        None => {
            shared.state().streams_open += 1;
            shared.notify();
            let ended = send_changes(&mut stream, shared, epoch, after).await;
            shared.state().streams_open -= 1;
            shared.notify();
            ended
        }
    }
}

async fn read_request(stream: &mut UnixStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).unwrap();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
            let mut body = read[end + 4..].to_vec();
            while body.len() < length {
                if stream.read_buf(&mut body).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok((head, body));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn write_response(stream: &mut UnixStream, status: u16, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await
}

const STREAM_STATUS: &[u8] = b"HTTP/1.1 200 OK\r\n";
const STREAM_HEADERS: &[u8] = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn write_chunk(stream: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await
}

async fn send_snapshot(stream: &mut UnixStream, shared: &FakePrimaryShared) -> std::io::Result<()> {
    let (status, bytes, torn) = {
        let mut state = shared.state();
        state.snapshots_sent += 1;
        let bytes = state.faults.old_snapshot.clone().unwrap_or_else(|| state.snapshot());
        (state.faults.snapshot_status, bytes, state.faults.bad_snapshot == Some(BadSnapshot::HttpTruncated))
    };
    shared.notify();
    if let Some(status) = status {
        return write_response(stream, status, "{}").await;
    }
    stream.write_all(&[STREAM_STATUS, STREAM_HEADERS].concat()).await?;
    let length = if torn { bytes.len() / 2 } else { bytes.len() };
    for part in bytes[..length].chunks(1000) {
        write_chunk(stream, part).await?;
    }
    if torn { Ok(()) } else { stream.write_all(b"0\r\n\r\n").await }
}

/// Sends, once it is let go, what a stream that stood still carries: heartbeats of the moment at which it was opened.
async fn send_late_heartbeats(stream: &mut UnixStream, shared: &FakePrimaryShared, head: Head) -> std::io::Result<()> {
    let heartbeat = format!("{}\n", feed_lines::encode_heartbeat(head.seq, head.state));
    let mut moved = shared.version.subscribe();
    while !shared.state().faults.late_stream_released {
        let _changed = moved.changed().await;
    }
    for _ in 0..4 {
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        write_chunk(stream, heartbeat.as_bytes()).await?;
    }
    Ok(())
}

/// Sends lines after a cursor until the state says that the stream ends.
async fn send_changes(
    stream: &mut UnixStream,
    shared: &FakePrimaryShared,
    epoch: crate::model::change::Epoch,
    mut at: u64,
) -> std::io::Result<()> {
    let covers = shared.state().covers.as_ref().map(|kinds| format!("X-Sidegate-Covers: {}\r\n", kinds.join(",")));
    stream.write_all(STREAM_STATUS).await?;
    stream.write_all(covers.unwrap_or_default().as_bytes()).await?;
    stream.write_all(STREAM_HEADERS).await?;
    let mut moved = shared.version.subscribe();
    let disconnects = shared.state().disconnects;
    let mut sent = 0;
    let mut lines = vec![];
    let late_from = {
        let mut state = shared.state();
        std::mem::take(&mut state.faults.next_stream_late).then(|| state.head())
    };
    let is_silent = late_from.is_none() && std::mem::take(&mut shared.state().faults.next_stream_silent);
    if is_silent {
        shared.notify();
        while shared.state().disconnects == disconnects {
            let _changed = moved.changed().await;
        }
        return Ok(());
    }
    if let Some(head) = late_from {
        shared.notify();
        send_late_heartbeats(stream, shared, head).await?;
    }
    loop {
        moved.borrow_and_update();
        {
            let mut state = shared.state();
            if state.disconnects != disconnects || state.epoch != epoch || at + 1 < state.first_seq() || at > state.head().seq {
                return Ok(());
            }
            if !state.faults.mute_streams {
                let commits: Vec<_> = state.journal.iter().filter(|commit| commit.seq > at).cloned().collect();
                for mut commit in commits {
                    at = commit.seq;
                    if state.faults.skip_commit == Some(commit.seq) {
                        state.faults.skip_commit = None;
                        continue;
                    }
                    if state.faults.wrong_digest_at == Some(commit.seq) {
                        commit.state = commit.state.with_record(b"a lie");
                    }
                    lines.push(feed_lines::encode_commit(&commit));
                }
                if lines.is_empty() {
                    let head = state.head();
                    lines.push(feed_lines::encode_heartbeat(head.seq, head.state));
                }
            }
        }
        let Faults { duplicate_lines, cut_after_lines, .. } = shared.state().faults.clone();
        for line in lines.drain(..) {
            for _ in 0..if duplicate_lines { 2 } else { 1 } {
                if cut_after_lines.is_some_and(|most| sent >= most) {
                    // Cut in the middle of a line.
                    return stream.write_all(format!("{:x}\r\n{}", line.len() + 1, &line[..line.len() / 2]).as_bytes()).await;
                }
                write_chunk(stream, format!("{line}\n").as_bytes()).await?;
                sent += 1;
            }
        }
        let mut nothing = [0];
        tokio::select! {
            _ = moved.changed() => {}
            () = tokio::time::sleep(HEARTBEAT_INTERVAL) => {}
            gone = stream.read(&mut nothing) => if gone? == 0 { return Ok(()) },
        }
    }
}
