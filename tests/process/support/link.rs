//! A link between a host and its primary that can be slow, held and cut: every byte passes it unchanged, when the test lets it.
//!
//! Bytes of each connection and direction keep their order. What the primary sends is delivered as the test says, for the feed (`changes`,
//! `snapshot`, `ack`) and for questions apart: at once, ever later without a pause between two lines, not until later, or not at all, the
//! connections ended. What the host sends passes at once, so a question may be decided long before its answer arrives. Single answers to
//! requests for one path can be held as well. The host's probe is delivered as any question, but neither counted nor held by itself.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::TIMEOUT;
use crate::support::env::TestEnv;
use crate::support::fake_primary::PROBE_MARK;

/// How often a thread that waits looks whether the link has ended.
const TICK: Duration = Duration::from_millis(50);
/// What the path of every request of the feed begins with.
const FEED_PATH: &[u8] = b" /api/v4/internal/sidegate/";

/// What a host asks its primary for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// The feed, snapshots and acknowledgements.
    Feed,
    /// Everything else.
    Questions,
}

/// How bytes from the primary are delivered.
#[derive(Clone, Copy, Debug)]
pub enum Delivery {
    /// As they come.
    Prompt,
    /// Ever later: `per_second` of lag for each second since `since`, up to `most`.
    Growing { since: Instant, per_second: Duration, most: Duration },
    /// Not before the delivery is another one; the connections stay open.
    Held,
    /// Never: connections end, and each request that comes ends its own.
    Cut,
}

struct State {
    /// Of the feed, and of questions.
    delivery: Mutex<[Delivery; 2]>,
    changed: Condvar,
    connections: Mutex<Vec<Connection>>,
    ended: AtomicBool,
    hold: Mutex<Hold>,
    hold_changed: Condvar,
    /// The targets of all requests, in the order in which they came.
    targets: Mutex<Vec<String>>,
}

/// Which single answers are held, and how many are.
#[derive(Default)]
struct Hold {
    path: String,
    /// So many more.
    remaining: usize,
    held: usize,
    /// Raised when the held ones are let go.
    round: u64,
    /// Whether those that were let go last do not arrive, and their connections end.
    failing: bool,
}

/// One connection through the link. A host keeps connections, so what it carries may change from one request to the next.
#[derive(Clone)]
struct Connection {
    carries_feed: Arc<AtomicBool>,
    /// The target of the request that is not answered yet.
    last_target: Arc<Mutex<String>>,
    ends: Arc<[UnixStream; 2]>,
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
            delivery: Mutex::new([Delivery::Prompt; 2]),
            changed: Condvar::new(),
            connections: Mutex::new(Vec::new()),
            ended: AtomicBool::new(false),
            hold: Mutex::default(),
            hold_changed: Condvar::new(),
            targets: Mutex::default(),
        });
        let (shared, primary) = (Arc::clone(&state), primary.to_owned());
        let accepting = std::thread::spawn(move || accept(&listener, &primary, &shared));
        Self { path: path.to_owned(), state, accepting: Some(accepting) }
    }

    /// From now on the lag of everything grows by `per_second` each second, up to `most`.
    pub fn delay_ever_more(&self, per_second: Duration, most: Duration) {
        self.deliver_all(Delivery::Growing { since: Instant::now(), per_second, most });
    }

    /// Ends all connections and refuses new ones.
    pub fn cut(&self) {
        self.deliver_all(Delivery::Cut);
    }

    /// Delivers everything like this from now on.
    pub fn deliver_all(&self, delivery: Delivery) {
        self.deliver(Traffic::Feed, delivery);
        self.deliver(Traffic::Questions, delivery);
    }

    /// Delivers one kind of traffic like this from now on.
    pub fn deliver(&self, traffic: Traffic, delivery: Delivery) {
        self.state.delivery.lock().unwrap()[traffic as usize] = delivery;
        self.state.changed.notify_all();
        if matches!(delivery, Delivery::Cut) {
            self.end_connections(traffic);
        }
    }

    /// Holds the next `count` answers to requests whose target has this in it.
    pub fn hold_answers(&self, path: &str, count: usize) {
        let mut hold = self.state.hold.lock().unwrap();
        (hold.path, hold.remaining) = (path.to_owned(), count);
    }

    /// Waits until so many answers are held: the primary has decided, and the host does not know it.
    pub fn wait_held(&self, count: usize) {
        let hold = self.state.hold.lock().unwrap();
        let (hold, waited) = self.state.hold_changed.wait_timeout_while(hold, TIMEOUT, |hold| hold.held < count).unwrap();
        assert!(!waited.timed_out(), "{} answers are held, and not {count}", hold.held);
    }

    /// Delivers what is held.
    pub fn release_held(&self) {
        self.end_hold(false);
    }

    /// Ends the connections of the answers that are held, which never arrive.
    pub fn fail_held(&self) {
        self.end_hold(true);
    }

    fn end_hold(&self, failing: bool) {
        let mut hold = self.state.hold.lock().unwrap();
        *hold = Hold { round: hold.round + 1, failing, ..Hold::default() };
        self.state.hold_changed.notify_all();
    }

    /// Returns how many requests came whose target has this in it.
    pub fn count_requests(&self, path: &str) -> usize {
        self.state.targets.lock().unwrap().iter().filter(|target| target.contains(path)).count()
    }

    /// Ends the connections of one kind; new ones may come.
    pub fn end_connections(&self, traffic: Traffic) {
        self.state.end_connections(|connection| connection.traffic() == traffic);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.changed.notify_all();
        self.state.hold_changed.notify_all();
        self.state.end_connections(|_| true);
        let _wake = UnixStream::connect(&self.path);
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
    }
}

impl Connection {
    fn traffic(&self) -> Traffic {
        if self.carries_feed.load(Ordering::SeqCst) { Traffic::Feed } else { Traffic::Questions }
    }

    /// Notes what the connection carries, if a request begins with these bytes of the host's; returns its target.
    fn note_request(&self, bytes: &[u8]) -> Option<String> {
        let begins_request = bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ");
        begins_request.then(|| {
            let is_feed = bytes.iter().position(|byte| *byte == b' ').is_some_and(|at| bytes[at..].starts_with(FEED_PATH));
            self.carries_feed.store(is_feed, Ordering::SeqCst);
            let target = String::from_utf8_lossy(bytes).split(' ').nth(1).unwrap_or_default().to_owned();
            let target = if target.contains(PROBE_MARK) { String::new() } else { target };
            self.last_target.lock().unwrap().clone_from(&target);
            target
        })
    }

    fn end(&self) {
        for end in &*self.ends {
            let _closed = end.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn is_cut(&self, traffic: Traffic) -> bool {
        matches!(self.delivery.lock().unwrap()[traffic as usize], Delivery::Cut)
    }

    fn end_connections(&self, which: impl Fn(&Connection) -> bool) {
        self.connections.lock().unwrap().retain(|connection| {
            let ends = which(connection);
            if ends {
                connection.end();
            }
            !ends
        });
    }

    /// Waits until bytes that were sent at `sent` may be delivered; false if they never are.
    fn wait_for_delivery(&self, connection: &Connection, sent: Instant) -> bool {
        let mut delivery = self.delivery.lock().unwrap();
        loop {
            if self.has_ended() {
                return false;
            }
            let left = match delivery[connection.traffic() as usize] {
                Delivery::Prompt => return true,
                Delivery::Cut => return false,
                Delivery::Held => TICK,
                Delivery::Growing { since, per_second, most } => {
                    let lag = per_second.mul_f64(sent.saturating_duration_since(since).as_secs_f64()).min(most);
                    (sent + lag).saturating_duration_since(Instant::now())
                }
            };
            if left.is_zero() {
                return true;
            }
            delivery = self.changed.wait_timeout(delivery, left.min(TICK)).unwrap().0;
        }
    }
}

impl State {
    /// Waits while the answer to the last request on a connection is held; false if it is not to arrive.
    fn wait_while_held(&self, connection: &Connection) -> bool {
        let mut hold = self.hold.lock().unwrap();
        // Only the first part of an answer is that.
        let target = std::mem::take(&mut *connection.last_target.lock().unwrap());
        if hold.remaining == 0 || target.is_empty() || !target.contains(&hold.path) {
            return true;
        }
        hold.remaining -= 1;
        hold.held += 1;
        self.hold_changed.notify_all();
        let round = hold.round;
        while hold.round == round && !self.has_ended() {
            hold = self.hold_changed.wait_timeout(hold, TICK).unwrap().0;
        }
        !hold.failing
    }
}

fn accept(listener: &UnixListener, primary: &Path, state: &Arc<State>) {
    while let Ok((host, _)) = listener.accept() {
        if state.has_ended() {
            return;
        }
        if state.is_cut(Traffic::Feed) && state.is_cut(Traffic::Questions) {
            continue;
        }
        let Ok(upstream) = UnixStream::connect(primary) else { continue };
        let ends = [host.try_clone().unwrap(), upstream.try_clone().unwrap()];
        let connection = Connection { carries_feed: Arc::default(), last_target: Arc::default(), ends: Arc::new(ends) };
        state.connections.lock().unwrap().push(connection.clone());
        pump_requests(host.try_clone().unwrap(), upstream.try_clone().unwrap(), Arc::clone(state), connection.clone());
        pump_responses(upstream, host, Arc::clone(state), connection);
    }
}

/// Moves what the host sends, at once, unless what it asks for is cut.
fn pump_requests(mut from: UnixStream, mut to: UnixStream, state: Arc<State>, connection: Connection) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            state.targets.lock().unwrap().extend(connection.note_request(&buffer[..count]));
            if state.is_cut(connection.traffic()) || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Whichever side has ended, nothing more passes: the connection leaves no open end behind.
        connection.end();
        state.connections.lock().unwrap().retain(|other| !Arc::ptr_eq(&other.ends, &connection.ends));
    });
}

/// Moves what the primary sends, on two threads: one reads and dates, one delivers.
fn pump_responses(mut from: UnixStream, mut to: UnixStream, state: Arc<State>, connection: Connection) {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        deliver(&receiver, &mut to, &state, &connection);
        let _closed = to.shutdown(Shutdown::Both);
    });
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, to: &mut UnixStream, state: &State, connection: &Connection) {
    loop {
        let (sent, bytes) = match receiver.recv_timeout(TICK) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Timeout) if !state.has_ended() => continue,
            Err(_) => {
                // The host learns of the end as late as of anything else.
                state.wait_for_delivery(connection, Instant::now());
                return;
            }
        };
        let arrives = state.wait_for_delivery(connection, sent) && state.wait_while_held(connection);
        if !arrives || to.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Starts a primary with a directory, and a host that follows it over a link. Returns once the host has caught up.
pub fn start_linked(mut env: TestEnv, directory: &str) -> (TestEnv, Link) {
    let path = env.path().join("link.sock");
    env.replace_in_file("sidegate.toml", &env.primary_socket().display().to_string(), &path.display().to_string());
    env.start_primary();
    env.apply(directory);
    let link = Link::start(&path, &env.primary_socket());
    env.start_sidecar();
    env.wait_until_caught_up();
    (env, link)
}
