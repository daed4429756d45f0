//! Restarts under load: whoever has connected is answered, by the process that ends or by the next one.
//!
//! The socket is the test's own, as systemd's is: it stays while one process ends and the next begins. Of the callers some speak at once,
//! some speak only after the process was told to end, and some keep their connection. None of them may be turned away.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::TIMEOUT;
use crate::support::env::{Daemon, TestEnv};
use crate::support::fake_primary::{FakePrimary, FakeReply, json_response};
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::http::{Connection, Request, Response};
use crate::support::lookup::lookup_request;

const RESTARTS: usize = 30;
/// So many answers pass before a process is told to end.
const ANSWERS_BETWEEN: usize = 24;

/// What the callers and the restarts tell each other.
#[derive(Default)]
struct Restarts {
    signals: Mutex<usize>,
    signalled: Condvar,
    /// From just before a process is told to end until the next one is ready.
    restarting: AtomicBool,
    over: AtomicBool,
    answers: AtomicUsize,
}

impl Restarts {
    fn note_signal(&self) {
        *self.signals.lock().unwrap() += 1;
        self.signalled.notify_all();
    }

    fn wait_for_signal(&self, before: usize) {
        let is_waiting = |signals: &mut usize| *signals == before && !self.over.load(Ordering::SeqCst);
        drop(self.signalled.wait_while(self.signals.lock().unwrap(), is_waiting).unwrap());
    }

    fn signals(&self) -> usize {
        *self.signals.lock().unwrap()
    }

    /// Asks again and again until the restarts are over.
    fn repeat(&self, mut ask: impl FnMut()) {
        while !self.over.load(Ordering::SeqCst) {
            ask();
            self.answers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Ends the callers, also where the test fails.
struct Over<'a>(&'a Restarts);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.note_signal();
    }
}

fn assert_answered(response: &Response) {
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Connects, and speaks only once a process has been told to end.
fn speak_after_the_signal(restarts: &Restarts, socket: &Path, request: &Request) {
    let before = restarts.signals();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    // Nobody may be silent until the restart after this one.
    if !restarts.restarting.load(Ordering::SeqCst) {
        restarts.wait_for_signal(before);
    }
    stream.write_all(&request.to_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_answered(&Response::parse(&answer).expect("an answer"));
}

/// Restarts a daemon under the callers that every daemon has, and `more` of its own.
fn restart_under_load(env: &TestEnv, socket: &Path, start: impl Fn() -> Daemon, more: &(dyn Fn() + Sync)) {
    let restarts = Restarts::default();
    let request = lookup_request(&key_blob(1)).header("Gitlab-Shell-Api-Request", &env.shell_token());
    let mut daemon = start();
    thread::scope(|scope| {
        let over = Over(&restarts);
        for _ in 0..2 {
            scope.spawn(|| restarts.repeat(|| assert_answered(&request.send(socket))));
            scope.spawn(|| restarts.repeat(|| speak_after_the_signal(&restarts, socket, &request)));
            scope.spawn(|| restarts.repeat(more));
        }
        let mut kept = Connection::new(socket);
        let request = &request;
        let restarts = &restarts;
        scope.spawn(move || restarts.repeat(|| assert_answered(&request.send_on(&mut kept))));
        for _ in 0..RESTARTS {
            let before = restarts.answers.load(Ordering::SeqCst);
            env.wait_for("answers of this process", || restarts.answers.load(Ordering::SeqCst) >= before + ANSWERS_BETWEEN);
            restarts.restarting.store(true, Ordering::SeqCst);
            daemon.signal(Signal::SIGTERM);
            restarts.note_signal();
            assert!(daemon.wait().success(), "{}", daemon.log());
            daemon = start();
            restarts.restarting.store(false, Ordering::SeqCst);
        }
        drop(over);
    });
    assert!(daemon.stop().success(), "{}", daemon.log());
}

#[test]
fn restarts_of_a_host_under_a_socket_that_stays_turn_nobody_away() {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(3));
    let socket = env.sidecar_socket();
    let listener = UnixListener::bind(&socket).unwrap();
    env.helper_path();
    let start = || env.start_daemon_with_socket("serve", "sidegate.toml", listener.try_clone().unwrap().into());
    let blob = key_blob(2);
    let look_up = || assert!(env.run_helper(&blob).starts_with("command="));
    restart_under_load(&env, &socket, start, &look_up);
}

#[test]
fn restarts_of_a_primary_under_a_socket_that_stays_turn_nobody_away() {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(3));
    env.primary.take().unwrap().stop();
    let socket = env.primary_socket();
    let listener = UnixListener::bind(&socket).unwrap();
    let start = || env.start_daemon_with_socket("primary", "primary.toml", listener.try_clone().unwrap().into());
    let check = Request::get("/api/v4/internal/check").header("Gitlab-Shell-Api-Request", &env.shell_token());
    restart_under_load(&env, &socket, start, &|| assert_answered(&check.send(&socket)));
}

#[test]
fn a_login_does_not_wait_for_a_request_that_outlasts_a_restart() {
    let mut env = TestEnv::with_config("", "[limits]\nshutdown_time = \"1m\"\n");
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    env.helper_path();
    let blob = key_blob(1);
    let hit = format!("{{\"id\":1,\"key\":\"ssh-ed25519 {blob}\"}}");
    let primary = FakePrimary::listen(&env.primary_socket(), move |arrived| match arrived.request_line.starts_with("GET ") {
        true => FakeReply::Respond(json_response(200, &hit)),
        false => FakeReply::Hang,
    });
    let listener = UnixListener::bind(env.sidecar_socket()).unwrap();
    env.sidecar = Some(env.start_daemon_with_socket("serve", "sidegate.toml", listener.into()));
    let mut hanging = UnixStream::connect(env.sidecar_socket()).unwrap();
    let request = Request::post("/api/v4/internal/post_receive", &serde_json::json!({"identifier": "key-1"}));
    hanging.write_all(&request.header("Gitlab-Shell-Api-Request", &env.shell_token()).to_bytes()).unwrap();
    env.wait_for("the request to hang", || primary.take_requests().iter().any(|arrived| arrived.request_line.starts_with("POST ")));
    let sidecar = env.sidecar.as_mut().unwrap();
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for_notification("STOPPING=1");
    assert!(env.run_helper(&blob).starts_with("command="), "{}", env.logs());
}
