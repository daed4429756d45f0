//! A GitLab that nobody can run here: it answers as the contract says, to the byte, from a directory of its own, and fails on demand in every
//! way in which a GitLab, its proxy or the way to it fails. (server.md 1, 2, 3, 7)

pub mod directory;
mod endpoints;
pub mod outage;
mod transport;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::support::fake_primary::RecordedRequest;
use directory::GitlabDirectory;
use outage::{Outage, OutageReply};
use transport::{Listener, Stream};

/// Whose wording it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitlabVersion {
    /// 15.2, which the base document describes.
    V15,
    /// 18.x: more fields, other sentences, more statuses.
    V18,
}

/// It listens until it is dropped.
pub struct FakeGitlab {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    listener: Option<Listener>,
}

/// Where it listens.
#[derive(Clone, Debug)]
enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
    Tls { address: SocketAddr, certificate: Arc<transport::Certificate> },
}

/// What all of its connections share.
struct Shared {
    version: GitlabVersion,
    /// What stands before `/api/v4`; empty or `/gitlab`.
    relative_root: String,
    secret: String,
    directory: Mutex<GitlabDirectory>,
    /// What another instance would answer from, after its name came to point there.
    other_instance: Mutex<GitlabDirectory>,
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
}

struct State {
    outage: Option<Outage>,
    delay: Duration,
    /// How many requests have come, the sidecar's own question among them, by endpoint.
    questions: BTreeMap<String, u64>,
    /// Every request but the sidecar's own question, while they are kept.
    requests: Vec<RecordedRequest>,
    keeps_requests: bool,
    /// How many requests wait for their reply, without the sidecar's own, and how many did at most.
    under_way: u64,
    most_under_way: u64,
}

impl FakeGitlab {
    /// Listens at a path, in place of whatever stood there.
    pub fn on_unix(path: &Path, version: GitlabVersion, secret: &str) -> Self {
        Self::start(Endpoint::Unix(path.to_owned()), "", version, secret)
    }

    /// Listens on a port of loopback that is free, below a relative root: `/gitlab`, or nothing.
    pub fn on_tcp(relative_root: &str, version: GitlabVersion, secret: &str) -> Self {
        Self::start(Endpoint::Tcp(([127, 0, 0, 1], 0).into()), relative_root, version, secret)
    }

    /// The same with TLS, by a certificate for `localhost` of an authority of its own. That authority is written to `ca_file`.
    pub fn on_tls(ca_file: &Path, relative_root: &str, version: GitlabVersion, secret: &str) -> Self {
        let certificate = Arc::new(transport::Certificate::issue(ca_file));
        Self::start(Endpoint::Tls { address: ([127, 0, 0, 1], 0).into(), certificate }, relative_root, version, secret)
    }

    fn start(endpoint: Endpoint, relative_root: &str, version: GitlabVersion, secret: &str) -> Self {
        let state = State {
            outage: None,
            delay: Duration::ZERO,
            questions: BTreeMap::new(),
            requests: Vec::new(),
            keeps_requests: true,
            under_way: 0,
            most_under_way: 0,
        };
        let shared = Arc::new(Shared {
            version,
            relative_root: relative_root.trim_end_matches('/').to_owned(),
            secret: secret.to_owned(),
            directory: Mutex::default(),
            other_instance: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let mut gitlab = Self { shared, endpoint, listener: None };
        gitlab.listen();
        gitlab
    }

    /// Returns the URL for `[primary]` of a sidecar.
    pub fn url(&self) -> String {
        let root = &self.shared.relative_root;
        match &self.endpoint {
            Endpoint::Unix(path) => format!("http+unix://{}", path.display()),
            Endpoint::Tcp(address) => format!("http://{address}{root}"),
            Endpoint::Tls { address, .. } => format!("https://localhost:{}{root}", address.port()),
        }
    }

    /// What it answers from; a change is in force for the next question.
    pub fn directory(&self) -> MutexGuard<'_, GitlabDirectory> {
        self.shared.directory.lock().unwrap()
    }

    /// What the instance answers from that its name points to with [`Outage::OtherInstance`].
    pub fn other_instance(&self) -> MutexGuard<'_, GitlabDirectory> {
        self.shared.other_instance.lock().unwrap()
    }

    /// From now on it fails so, to connections that are open as well.
    pub fn fail(&mut self, outage: Outage) {
        if matches!(outage, Outage::Refused) {
            self.listener = None;
        }
        if let (Outage::ExpiredCertificate, Endpoint::Tls { certificate, .. }) = (outage, &self.endpoint) {
            certificate.expire();
            // Its web server starts anew with it: connections of before are cut.
            self.listener = None;
            self.listen();
        }
        self.set_outage(Some(outage));
    }

    /// From now on it answers again, also what has been waiting.
    pub fn recover(&mut self) {
        if let Endpoint::Tls { certificate, .. } = &self.endpoint {
            certificate.renew();
        }
        self.set_outage(None);
        if self.listener.is_none() {
            self.listen();
        }
    }

    /// How long it takes over each answer: it decides as soon as it is asked, and answers so much later.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.state.lock().unwrap().delay = delay;
        self.shared.changed.notify_all();
    }

    /// How many questions have come to an endpoint, as `authorized_keys`. The sidecar's own is counted as `probe`.
    pub fn questions(&self, endpoint: &str) -> u64 {
        self.shared.state.lock().unwrap().questions.get(endpoint).copied().unwrap_or(0)
    }

    /// How many questions have come to all endpoints, without the sidecar's own.
    pub fn all_questions(&self) -> u64 {
        self.shared.state.lock().unwrap().questions.iter().filter(|(name, _)| *name != "probe").map(|(_, count)| count).sum()
    }

    /// How many questions waited for their answers at once at most since this was called last, without the sidecar's own.
    pub fn take_most_under_way(&self) -> u64 {
        let mut state = self.shared.state.lock().unwrap();
        let under_way = state.under_way;
        std::mem::replace(&mut state.most_under_way, under_way)
    }

    /// Waits until that many questions have come to an endpoint.
    pub fn wait_for_questions(&self, endpoint: &str, count: u64) {
        let state = self.shared.state.lock().unwrap();
        let enough = |state: &mut State| state.questions.get(endpoint).copied().unwrap_or(0) < count;
        let (_state, waited) = self.shared.changed.wait_timeout_while(state, crate::support::TIMEOUT, enough).unwrap();
        assert!(!waited.timed_out(), "{count} questions to {endpoint} did not come");
    }

    /// Keeps no requests, only their number: for tests that send very many.
    pub fn count_only(&self) {
        self.shared.state.lock().unwrap().keeps_requests = false;
    }

    /// Returns the requests that came, without the sidecar's own question, and forgets them.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut self.shared.state.lock().unwrap().requests)
    }

    fn listen(&mut self) {
        let shared = Arc::clone(&self.shared);
        let listener = Listener::bind(&mut self.endpoint, move |stream| shared.serve(stream));
        self.listener = Some(listener);
    }

    fn set_outage(&self, outage: Option<Outage>) {
        self.shared.state.lock().unwrap().outage = outage;
        self.shared.changed.notify_all();
    }
}

impl Drop for FakeGitlab {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.set_outage(None);
        self.listener = None;
    }
}

impl Shared {
    /// Answers the requests of one connection.
    fn serve(&self, mut stream: Stream) {
        while !self.stopped.load(Ordering::SeqCst)
            && let Some(request) = stream.read_request()
        {
            self.record(&request);
            let reply = self.wait_for_reply(&request);
            if !request.is_probe() {
                self.state.lock().unwrap().under_way -= 1;
            }
            let (bytes, closes) = match reply {
                Reply::Whole(bytes) => (bytes, false),
                Reply::ThenClose(bytes) => (bytes, true),
            };
            if !stream.write(&bytes) || closes {
                return;
            }
        }
    }

    fn record(&self, request: &RecordedRequest) {
        let mut state = self.state.lock().unwrap();
        let name = if request.is_probe() { "probe".to_owned() } else { self.endpoint_of(request) };
        *state.questions.entry(name).or_default() += 1;
        if !request.is_probe() {
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
        }
        if state.keeps_requests && !request.is_probe() {
            state.requests.push(request.clone());
        }
        self.changed.notify_all();
    }

    /// Returns the last segment of the path.
    fn endpoint_of(&self, request: &RecordedRequest) -> String {
        let path = endpoints::split_target(request).0;
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Returns the reply once it is due: a delayed one is late, one that hangs waits until that has ended.
    fn wait_for_reply(&self, request: &RecordedRequest) -> Reply {
        let (delay, outage) = {
            let state = self.state.lock().unwrap();
            (state.delay, state.outage)
        };
        let decided = (!delay.is_zero() && outage.is_none()).then(|| self.answer(request, &self.directory));
        let mut state = self.state.lock().unwrap();
        let is_current = |state: &mut State| state.delay == delay && !self.stopped.load(Ordering::SeqCst);
        if !delay.is_zero() {
            state = self.changed.wait_timeout_while(state, delay, is_current).unwrap().0;
        }
        let hangs = |state: &mut State| state.outage == Some(Outage::Hung) && !self.stopped.load(Ordering::SeqCst);
        state = self.changed.wait_while(state, hangs).unwrap();
        let outage = state.outage;
        drop(state);
        match outage.map(Outage::reply) {
            None | Some(OutageReply::Truth) => Reply::Whole(decided.unwrap_or_else(|| self.answer(request, &self.directory))),
            Some(OutageReply::OtherInstance) => Reply::Whole(self.answer(request, &self.other_instance)),
            Some(OutageReply::CutShort) => {
                let whole = self.answer(request, &self.directory);
                Reply::ThenClose(whole[..whole.len() - whole.len().min(9)].to_vec())
            }
            Some(OutageReply::Bytes(bytes)) => Reply::Whole(bytes),
        }
    }

    fn answer(&self, request: &RecordedRequest, directory: &Mutex<GitlabDirectory>) -> Vec<u8> {
        let mut directory = directory.lock().unwrap();
        endpoints::answer(request, &mut directory, self.version, &self.relative_root, &self.secret)
    }
}

enum Reply {
    Whole(Vec<u8>),
    ThenClose(Vec<u8>),
}
