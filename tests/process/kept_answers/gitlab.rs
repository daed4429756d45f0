//! A GitLab that is not there: it answers the four questions by a few facts that a test changes, and can fail in several ways.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, PROBE_MARK, RecordedRequest, json_response, response_with_headers};
use crate::support::generated_directory::key_blob;
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Answers,
    /// Its proxy says 502 in HTML.
    BadGateway,
    /// It accepts and never answers.
    Hangs,
}

/// What it knows.
pub struct Facts {
    pub mode: Mode,
    /// Keys that are known; key n is user n's.
    pub keys: HashSet<u64>,
    pub blocked: HashSet<u64>,
    /// Projects that nobody may see.
    pub hidden: HashSet<String>,
    /// Whose key it is, by its id.
    pub owner: fn(u64) -> u64,
    /// When every key expires.
    pub expires_at: Value,
    /// Held while an answer that is decided must not be sent.
    pub gate: Arc<Mutex<()>>,
    /// How many questions were decided, without those of the probe.
    pub decided: usize,
}

/// It, with a sidecar in front of it.
pub struct Site {
    pub env: TestEnv,
    pub fake: Option<FakePrimary>,
    facts: Arc<Mutex<Facts>>,
}

impl Site {
    /// A sidecar with more lines of configuration, in front of a GitLab that knows keys 1 to 50.
    pub fn start(config: &str) -> Self {
        Self::start_in(config, |_| Some(())).unwrap().0
    }

    /// The same in a folder that is prepared first; `None` if it cannot be.
    pub fn start_in<T>(config: &str, prepare: impl FnOnce(&TestEnv) -> Option<T>) -> Option<(Self, T)> {
        let mut env = TestEnv::with_config("", config);
        env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"\ntimeout = \"1500ms\"");
        let facts = Facts {
            mode: Mode::Answers,
            keys: (1..=50).collect(),
            blocked: HashSet::new(),
            hidden: HashSet::new(),
            owner: |key| key,
            expires_at: Value::Null,
            gate: Arc::default(),
            decided: 0,
        };
        let facts = Arc::new(Mutex::new(facts));
        let prepared = prepare(&env)?;
        let fake = listen(&env, &facts);
        env.start_sidecar();
        Some((Self { env, fake: Some(fake), facts }, prepared))
    }

    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// Makes it fail, and waits until the sidecar's probe has found it, so that nothing is asked any more.
    pub fn fail(&self) {
        self.facts().mode = Mode::BadGateway;
        self.ask(&discover(10_000));
        self.env.wait_for("the probe to fail", || self.env.status()["primary"]["breaker"] == "open");
        self.take_questions();
    }

    /// Lets it answer again, and waits until the sidecar has found it.
    pub fn recover(&self) {
        self.facts().mode = Mode::Answers;
        self.env.wait_for("the probe to be answered", || self.env.status()["primary"]["breaker"] == "closed");
    }

    /// Ends the sidecar as systemd does and starts it again.
    pub fn restart(&mut self) {
        self.env.sidecar.as_mut().unwrap().stop();
        self.env.start_sidecar();
        self.wait_until_read();
    }

    /// Kills the sidecar and starts it again.
    pub fn kill_and_restart(&mut self) {
        self.env.sidecar.as_mut().unwrap().kill();
        self.env.start_sidecar();
        self.wait_until_read();
    }

    fn wait_until_read(&self) {
        self.env.wait_for("the store to be open", || self.env.status()["kept"]["store"]["state"] == "open");
    }

    /// Waits until all that is kept is on disk.
    pub fn wait_until_flushed(&self) {
        self.env.wait_for("the store to be written", || self.env.status()["kept"]["store"]["pending"] == 0);
    }

    pub fn ask(&self, request: &Request) -> Response {
        self.env.request_sidecar(request.clone())
    }

    /// How many questions it was asked since this was called last, without those of the probe.
    pub fn take_questions(&self) -> usize {
        let requests = self.fake.as_ref().unwrap().take_requests();
        requests.iter().filter(|request| !request.request_line.contains(PROBE_MARK)).count()
    }

    /// Where an answer came from, and whether it is marked as degraded: `cached`, `cached degraded`, `forwarded`, or its status.
    pub fn source(&self, request: &Request) -> String {
        source_of(&self.ask(request))
    }

    /// Runs `sidegate` on the sidecar's socket; gives what it printed.
    pub fn run(&self, words: &[&str]) -> String {
        let socket = self.env.sidecar_socket();
        let output = self.env.run_sidegate(&[words, &["--socket", socket.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn listen(env: &TestEnv, facts: &Arc<Mutex<Facts>>) -> FakePrimary {
    let facts = Arc::clone(facts);
    FakePrimary::listen_with_probe(&env.primary_socket(), move |arrived| {
        let (mode, gate) = {
            let facts = facts.lock().unwrap();
            (facts.mode, Arc::clone(&facts.gate))
        };
        match mode {
            Mode::BadGateway => FakeReply::Respond(response_with_headers(502, "Content-Type: text/html\r\n", "<html>")),
            Mode::Hangs if !arrived.is_probe() => FakeReply::Hang,
            Mode::Hangs | Mode::Answers => {
                let (status, body) = {
                    let mut facts = facts.lock().unwrap();
                    facts.decided += usize::from(!arrived.is_probe());
                    decide(&facts, arrived)
                };
                if !arrived.is_probe() {
                    drop(gate.lock().unwrap());
                }
                FakeReply::Respond(json_response(status, &body.to_string()))
            }
        }
    })
}

fn decide(facts: &Facts, arrived: &RecordedRequest) -> (u16, Value) {
    let line = &arrived.request_line;
    if line.contains("/authorized_keys") {
        return decide_key(facts, line);
    }
    if line.contains("/authorized_certs") {
        return (200, json!({"success": true, "username": "person-7", "namespace": "g"}));
    }
    if line.contains("/discover") {
        let id: u64 = line.split(['=', '&', ' ']).nth(2).unwrap().parse().unwrap();
        let user = json!({"id": id, "username": format!("person-{id}"), "name": "Person"});
        return (200, if facts.keys.contains(&id) { user } else { Value::Null });
    }
    if line.contains("/check") {
        return (200, json!({"api_version": "v4", "gitlab_version": "18.6.0", "gitlab_rev": "abc", "redis": true}));
    }
    if line.contains("/internal/allowed") {
        return decide_access(facts, &serde_json::from_str(&arrived.body).unwrap());
    }
    (200, json!({"username": "person-7", "lfs_token": "token", "repository_http_path": "http://g", "expires_in": 7200}))
}

fn decide_key(facts: &Facts, line: &str) -> (u16, Value) {
    let asked = line.split(['=', ' ']).nth(2).unwrap().replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let found = facts.keys.iter().find(|id| key_blob(**id) == asked);
    match found {
        Some(id) => (
            200,
            json!({"id": id, "title": "key", "key": format!("ssh-ed25519 {asked} Person {}", (facts.owner)(*id)), "expires_at": facts.expires_at}),
        ),
        None => (404, json!({"message": "404 Key Not Found"})),
    }
}

fn decide_access(facts: &Facts, asked: &Value) -> (u16, Value) {
    let id: u64 = asked["key_id"].as_str().unwrap_or("7").parse().unwrap();
    let path = asked["project"].as_str().unwrap_or_default().trim_start_matches('/').trim_end_matches(".git").to_owned();
    let refuse = |status, message| (status, json!({"status": false, "message": message}));
    if facts.blocked.contains(&id) {
        return refuse(401, "Your account has been blocked.");
    }
    if facts.hidden.contains(&path) || !facts.keys.contains(&id) {
        return refuse(404, "The project you were looking for could not be found or you don't have permission to view it.");
    }
    let owner = (facts.owner)(id);
    let answered_path = path.replace("former", "present");
    let body = json!({"status": true, "gl_repository": "project-9", "gl_project_path": answered_path, "gl_id": format!("user-{owner}"),
        "gl_username": format!("person-{owner}"), "gl_key_type": "key", "gl_key_id": id, "gl_project_id": 9, "gl_console_messages": [],
        "gitaly": {"repository": {}, "address": "unix:/x", "token": "secret-of-gitaly", "features": {}}});
    (200, body)
}

/// The look-up of key n.
pub fn look_up(key: u64) -> Request {
    lookup_request(&key_blob(key))
}

pub fn discover(key: u64) -> Request {
    Request::get(&format!("/api/v4/internal/discover?key_id={key}"))
}

pub fn certificate() -> Request {
    Request::get("/api/v4/internal/authorized_certs?key=AAAA&user_identifier=person-7")
}

pub fn pull(key: u64, project: &str) -> Request {
    access(&json!({"key_id": key.to_string(), "project": project, "action": "git-upload-pack"}))
}

pub fn push(key: u64, project: &str) -> Request {
    access(&json!({"key_id": key.to_string(), "project": project, "action": "git-receive-pack"}))
}

/// A question about access over SSH before changes are known, with these fields.
pub fn access(fields: &Value) -> Request {
    let mut body = json!({"protocol": "ssh", "changes": "_any"});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    Request::post("/api/v4/internal/allowed", &body)
}

/// See [`Site::source`].
pub fn source_of(answer: &Response) -> String {
    if !(200..300).contains(&answer.status) && answer.header("x-sidegate-answer").is_none() {
        return answer.status.to_string();
    }
    let source = answer.header("x-sidegate-answer").unwrap();
    let degraded = if answer.header("x-sidegate-degraded").is_some() { " degraded" } else { "" };
    let status = if answer.status == 200 { String::new() } else { format!(" {}", answer.status) };
    format!("{source}{degraded}{status}")
}
