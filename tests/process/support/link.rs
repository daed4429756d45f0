//! A link between a host and its primary that can be slow and cut: every byte passes it unchanged, when the test lets it.
//!
//! Bytes of each connection and direction keep their order. What the primary sends is delivered `lag` after it was sent; the lag may grow
//! while the test runs, so that lines come ever later without a pause between them. What the host sends passes at once.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How often a thread that waits looks whether the link has ended.
const TICK: Duration = Duration::from_millis(50);

/// How bytes from the primary are delivered.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    /// As they come.
    Prompt,
    /// Ever later: `per_second` of lag for each second since `since`, up to `most`.
    Growing { since: Instant, per_second: Duration, most: Duration },
}

struct State {
    delivery: Mutex<Delivery>,
    changed: Condvar,
    connections: Mutex<Vec<UnixStream>>,
    refusing: AtomicBool,
    ended: AtomicBool,
}

/// A link that listens on a socket of its own. Ends when it is dropped.
pub struct Link {
    path: PathBuf,
    state: Arc<State>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Link {
    /// Listens on `path` and passes everything on to `primary`.
    pub fn start(path: &Path, primary: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let state = Arc::new(State {
            delivery: Mutex::new(Delivery::Prompt),
            changed: Condvar::new(),
            connections: Mutex::new(Vec::new()),
            refusing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let (shared, primary) = (Arc::clone(&state), primary.to_owned());
        let accepting = std::thread::spawn(move || accept(&listener, &primary, &shared));
        Self { path: path.to_owned(), state, accepting: Some(accepting) }
    }

    /// From now on the lag grows by `per_second` each second, up to `most`.
    pub fn delay_ever_more(&self, per_second: Duration, most: Duration) {
        self.set(Delivery::Growing { since: Instant::now(), per_second, most });
    }

    /// Ends all connections and refuses new ones.
    pub fn cut(&self) {
        self.state.refusing.store(true, Ordering::SeqCst);
        self.state.end_connections();
    }

    fn set(&self, delivery: Delivery) {
        *self.state.delivery.lock().unwrap() = delivery;
        self.state.changed.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.changed.notify_all();
        self.state.end_connections();
        let _wake = UnixStream::connect(&self.path);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
    }
}

impl State {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn end_connections(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }

    /// Waits until bytes that were sent at `sent` may be delivered; false if the link ends before that.
    fn wait_for_delivery(&self, sent: Instant) -> bool {
        let mut delivery = self.delivery.lock().unwrap();
        loop {
            if self.has_ended() {
                return false;
            }
            let due = match *delivery {
                Delivery::Prompt => sent,
                Delivery::Growing { since, per_second, most } => {
                    sent + per_second.mul_f64(sent.saturating_duration_since(since).as_secs_f64()).min(most)
                }
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            delivery = self.changed.wait_timeout(delivery, left.min(TICK)).unwrap().0;
        }
    }
}

fn accept(listener: &UnixListener, primary: &Path, state: &Arc<State>) {
    while let Ok((host, _)) = listener.accept() {
        if state.has_ended() {
            return;
        }
        if state.refusing.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(upstream) = UnixStream::connect(primary) else { continue };
        let both = [host.try_clone().unwrap(), upstream.try_clone().unwrap()];
        state.connections.lock().unwrap().extend(both);
        pump(host.try_clone().unwrap(), upstream.try_clone().unwrap(), state, false);
        pump(upstream, host, state, true);
    }
}

/// Moves bytes one way, on two threads: one reads and dates, one delivers.
fn pump(mut from: UnixStream, mut to: UnixStream, state: &Arc<State>, lagged: bool) {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        deliver(&receiver, &mut to, &state, lagged);
        let _closed = to.shutdown(Shutdown::Both);
    });
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, to: &mut UnixStream, state: &State, lagged: bool) {
    loop {
        let (sent, bytes) = match receiver.recv_timeout(TICK) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Timeout) if !state.has_ended() => continue,
            Err(_) => return,
        };
        if lagged && !state.wait_for_delivery(sent) || to.write_all(&bytes).is_err() {
            return;
        }
    }
}
