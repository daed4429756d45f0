//! A GitLab with its public API, its internal API for the same users and keys, and system hooks: it answers as the contract says, from an
//! instance that the test changes, and fails as the test says. (server.md 1, 2, 5, 5b)

pub mod delivery;
pub mod faults;
#[allow(dead_code, reason = "the tests inside the mirror use it too, and each of both a part of it")]
pub mod instance;
mod listener;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, verify_token};
use sidegate::wire::auth::secret::{RotatingSecret, Secret};

use crate::support::TIMEOUT;
use crate::support::fake_primary::RecordedRequest;
use delivery::HookSender;
use faults::{Failure, Fault};
use instance::records::{Hook, Instance};
use instance::rest::{ApiVersion, Caller, RestRequest};
use instance::{Answer, internal, rest};
use listener::{Connection, Listener};

/// The token of an administrator.
pub const ADMIN_TOKEN: &str = "glpat-administrator0123";
/// The token of somebody else.
pub const OTHER_TOKEN: &str = "glpat-somebody-else-012";
/// The endpoints of the internal API, by the names under which requests are counted.
pub const INTERNAL_ENDPOINTS: [&str; 5] = ["authorized_keys", "discover", "check", "allowed", "probe"];
/// What GitLab writes into links, however it was reached.
const EXTERNAL_ORIGIN: &str = "https://gitlab.example.com";

/// It listens until it is dropped.
pub struct GitlabApi {
    shared: Arc<Shared>,
    url: String,
    place: Place,
    listener: Option<Listener>,
}

enum Place {
    Unix(PathBuf),
    Tcp(u16),
}

struct Shared {
    version: ApiVersion,
    /// What stands before `/api/v4`; empty, or as `/gitlab`.
    relative_root: String,
    shell_secret: String,
    instance: Mutex<Instance>,
    traffic: Mutex<Traffic>,
    changed: Condvar,
    stopped: AtomicBool,
    hooks: HookSender,
}

/// What a test wants to happen before a request of an endpoint is answered. It is given how many of that endpoint came before.
pub type BeforeAnswer = Box<dyn FnMut(&str, u64, &mut Instance) -> Vec<Hook> + Send>;

struct Traffic {
    failures: Vec<Failure>,
    recoveries: u64,
    arrivals: Vec<Arrival>,
    counts: BTreeMap<&'static str, u64>,
    /// Whether the administrator's token is still that.
    token_role: Caller,
    before_answer: Option<BeforeAnswer>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// `users`, `user`, `user_keys`, `user_key`, `key`, `key_by_fingerprint`, `deploy_keys`, `other`, and those of the internal API.
    pub endpoint: &'static str,
    pub target: String,
    pub at: Instant,
}

impl GitlabApi {
    /// Listens on a free port of loopback, below a relative root: `/gitlab`, or nothing.
    pub fn on_tcp(relative_root: &str, version: ApiVersion, shell_secret: &str, instance: Instance) -> Self {
        Self::start(Place::Tcp(0), relative_root, version, shell_secret, instance)
    }

    /// Listens at a path, in place of whatever stood there.
    pub fn on_unix(path: &Path, version: ApiVersion, shell_secret: &str, instance: Instance) -> Self {
        Self::start(Place::Unix(path.to_owned()), "", version, shell_secret, instance)
    }

    fn start(place: Place, relative_root: &str, version: ApiVersion, shell_secret: &str, instance: Instance) -> Self {
        let traffic = Traffic {
            failures: Vec::new(),
            recoveries: 0,
            arrivals: Vec::new(),
            counts: BTreeMap::new(),
            token_role: Caller::Administrator,
            before_answer: None,
        };
        let shared = Arc::new(Shared {
            version,
            relative_root: relative_root.to_owned(),
            shell_secret: shell_secret.to_owned(),
            instance: Mutex::new(instance),
            traffic: Mutex::new(traffic),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            hooks: HookSender::start(),
        });
        let mut gitlab = Self { shared, url: String::new(), place, listener: None };
        gitlab.listen();
        gitlab
    }

    /// Returns its URL: `http+unix://…`, or `http://127.0.0.1:…` with the relative root.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns what it holds. Changes made here send no hooks.
    pub fn instance(&self) -> MutexGuard<'_, Instance> {
        self.shared.instance.lock().unwrap()
    }

    /// Changes what it holds, and sends the hooks that the change returns.
    pub fn change(&self, change: impl FnOnce(&mut Instance) -> Vec<Hook>) {
        let hooks = change(&mut self.instance());
        hooks.into_iter().for_each(|hook| self.shared.hooks.push(hook));
    }

    /// Adds a user, and sends the hook. Returns the id.
    pub fn add_user(&self, username: &str) -> u64 {
        let (id, hook) = self.instance().add_user(username);
        self.shared.hooks.push(hook);
        id
    }

    /// Adds a key of this line (`<type> <base64>`) to a user, and sends the hook. Returns the id.
    pub fn add_key(&self, user: u64, line: &str) -> u64 {
        let (id, hook) = self.instance().add_key(user, line);
        self.shared.hooks.push(hook);
        id
    }

    /// Adds a deploy key that a user has created, and sends the hook. Returns the id.
    pub fn add_deploy_key(&self, creator: u64, line: &str) -> u64 {
        let (id, hook) = self.instance().add_deploy_key(creator, line, &[(1, false)]);
        hook.into_iter().for_each(|hook| self.shared.hooks.push(hook));
        id
    }

    /// Removes a key, and sends the hook.
    pub fn delete_key(&self, id: u64) {
        self.change(|instance| instance.delete_key(id).into_iter().collect());
    }

    /// Removes a user with all keys, and sends the hooks.
    pub fn delete_user(&self, id: u64) {
        self.change(|instance| instance.delete_user(id));
    }

    /// Gives a user another username, and sends the hook.
    pub fn rename_user(&self, id: u64, username: &str) {
        self.change(|instance| vec![instance.rename_user(id, username)]);
    }

    /// Blocks a user, or whatever else the state is. There is no hook.
    pub fn set_state(&self, id: u64, state: &str) {
        self.instance().set_state(id, state);
    }

    /// A user tries to sign in; if it is refused a hook is sent.
    pub fn sign_in(&self, id: u64) {
        self.change(|instance| instance.sign_in(id).into_iter().collect());
    }

    /// What sends the hooks.
    pub fn hooks(&self) -> &HookSender {
        &self.shared.hooks
    }

    /// What happens before each request is answered.
    pub fn before_answer(&self, before: impl FnMut(&str, u64, &mut Instance) -> Vec<Hook> + Send + 'static) {
        self.traffic().before_answer = Some(Box::new(before));
    }

    /// From now on the administrator's token is somebody else's, or nobody's.
    pub fn set_token_role(&self, role: Caller) {
        self.traffic().token_role = role;
    }

    /// From now on it fails so as well.
    pub fn fail(&self, failure: Failure) {
        self.traffic().failures.push(failure);
    }

    /// From now on it answers the truth again, also what has been waiting.
    pub fn recover(&self) {
        let mut traffic = self.traffic();
        traffic.failures.clear();
        traffic.recoveries += 1;
        self.shared.changed.notify_all();
    }

    /// Nobody can connect any more, and all connections are cut.
    pub fn stop_listening(&mut self) {
        self.listener = None;
    }

    /// Listens again, where it did.
    pub fn listen(&mut self) {
        let shared = Arc::clone(&self.shared);
        let serve = move |connection| shared.serve(connection);
        match &mut self.place {
            Place::Unix(path) => {
                self.listener = Some(Listener::on_unix(path, serve));
                self.url = format!("http+unix://{}", path.display());
            }
            Place::Tcp(port) => {
                let (listener, given) = Listener::on_tcp(*port, serve);
                *port = given;
                self.listener = Some(listener);
                self.url = format!("http://127.0.0.1:{given}{}", self.shared.relative_root);
            }
        }
    }

    /// How many requests have come to an endpoint.
    pub fn requests(&self, endpoint: &str) -> u64 {
        self.traffic().counts.get(endpoint).copied().unwrap_or(0)
    }

    /// Waits until so many requests have come to an endpoint.
    pub fn wait_for_requests(&self, endpoint: &str, count: u64) {
        let few = |traffic: &mut Traffic| traffic.counts.get(endpoint).copied().unwrap_or(0) < count;
        let (_traffic, waited) = self.shared.changed.wait_timeout_while(self.traffic(), TIMEOUT, few).unwrap();
        assert!(!waited.timed_out(), "{count} requests to {endpoint} did not come");
    }

    /// Returns all requests that came, each with its moment, and forgets them. The counts stay.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.traffic().arrivals)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.shared.traffic.lock().unwrap()
    }
}

/// Returns the most requests that came within any span of this length.
pub fn most_within(arrivals: &[Arrival], span: Duration) -> usize {
    let within = |(first, arrival): (usize, &Arrival)| arrivals[first..].iter().take_while(|later| later.at - arrival.at < span).count();
    arrivals.iter().enumerate().map(within).max().unwrap_or(0)
}

impl Drop for GitlabApi {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.recover();
        self.listener = None;
    }
}

impl Shared {
    /// Answers the requests of one connection.
    fn serve(&self, mut connection: Connection) {
        while !self.stopped.load(Ordering::SeqCst)
            && let Some(request) = RecordedRequest::read_from(&mut connection)
        {
            let target = request.request_line.split(' ').nth(1).unwrap_or_default().to_owned();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let path = path.strip_prefix(self.relative_root.as_str()).and_then(|path| path.strip_prefix("/api/v4/"));
            let endpoint = if request.is_probe() { "probe" } else { path.map_or("other", endpoint_of) };
            let (fault, role) = self.arrive(endpoint, &target);
            let truth = path.map_or_else(Answer::no_route, |path| self.answer(&request, path, query, role));
            let mut bytes = encode(&fault.map_or(truth.clone(), |fault| fault.distort(truth)));
            if fault == Some(Fault::CutShort) {
                bytes.truncate(bytes.len() - bytes.len().min(9));
            }
            let written = connection.get_mut().write_all(&bytes).and_then(|()| connection.get_mut().flush());
            if written.is_err() || fault == Some(Fault::CutShort) || request.header("connection") == Some("close") {
                return;
            }
        }
    }

    /// Records a request, lets happen what happens before it is answered, and waits as long as it is to wait.
    fn arrive(&self, endpoint: &'static str, target: &str) -> (Option<Fault>, Caller) {
        let mut traffic = self.traffic.lock().unwrap();
        traffic.arrivals.push(Arrival { endpoint, target: target.to_owned(), at: Instant::now() });
        let count = traffic.counts.entry(endpoint).or_default();
        let before = *count;
        *count += 1;
        self.changed.notify_all();
        if let Some(mut happens) = traffic.before_answer.take() {
            let hooks = happens(endpoint, before, &mut self.instance.lock().unwrap());
            hooks.into_iter().for_each(|hook| self.hooks.push(hook));
            traffic.before_answer = Some(happens);
        }
        let fault = traffic.failures.iter_mut().find_map(|failure| failure.befalls(endpoint));
        let recoveries = traffic.recoveries;
        let waits = |traffic: &mut Traffic| traffic.recoveries == recoveries && !self.stopped.load(Ordering::SeqCst);
        let traffic = match fault {
            Some(Fault::Slow(delay)) => self.changed.wait_timeout_while(traffic, delay, waits).unwrap().0,
            Some(Fault::Hung) => self.changed.wait_while(traffic, waits).unwrap(),
            _ => traffic,
        };
        (fault, traffic.token_role)
    }

    fn answer(&self, request: &RecordedRequest, path: &str, query: &str, token_role: Caller) -> Answer {
        let instance = self.instance.lock().unwrap();
        if let Some(endpoint) = path.strip_prefix("internal/") {
            return match self.is_signed(request) {
                true => internal::answer(&instance, self.version, endpoint, &read_params(query, &request.body)),
                false => Answer::message(401, "401 Unauthorized"),
            };
        }
        let caller = match request.header("private-token") {
            Some(ADMIN_TOKEN) => token_role,
            Some(OTHER_TOKEN) => Caller::SomebodyElse,
            _ => Caller::Nobody,
        };
        let external_url = format!("{EXTERNAL_ORIGIN}{}", self.relative_root);
        rest::answer(&instance, &RestRequest { version: self.version, caller, external_url: &external_url, path, query })
    }

    fn is_signed(&self, request: &RecordedRequest) -> bool {
        let secret = RotatingSecret::new(Secret::from_bytes(self.shell_secret.as_bytes()).unwrap());
        let token = request.header("gitlab-shell-api-request");
        token.is_some_and(|token| verify_token(token, Issuer::GitlabShell, &secret, clock::wall_time()).is_ok())
    }
}

/// Returns the name under which a path below `/api/v4/` is counted.
fn endpoint_of(path: &str) -> &'static str {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["internal", name] => INTERNAL_ENDPOINTS.into_iter().find(|known| *known == name).unwrap_or("other"),
        ["users"] => "users",
        ["users", _] => "user",
        ["users", _, "keys"] => "user_keys",
        ["users", _, "keys", _] => "user_key",
        ["keys", _] => "key",
        ["keys"] => "key_by_fingerprint",
        ["deploy_keys"] => "deploy_keys",
        _ => "other",
    }
}

/// Reads the parameters of a query and of a body in JSON, numbers as their digits.
fn read_params(query: &str, body: &str) -> BTreeMap<String, String> {
    let mut params: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if let Ok(Value::Object(members)) = serde_json::from_str(body) {
        params.extend(members.into_iter().map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned))));
    }
    params
}

fn encode(answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Whatever\r\n", answer.status);
    if !answer.headers.iter().any(|(name, _)| *name == "Content-Type") {
        head.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{head}Content-Length: {}\r\n\r\n{}", answer.body.len(), answer.body).into_bytes()
}
