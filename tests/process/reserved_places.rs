//! Places that are kept for root: while another user holds every connection, or every byte of memory for bodies, root's own commands are
//! answered; and what is refused meanwhile is logged, counted and shown with its user.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::contract_directory;
use crate::support::env::TestEnv;
use crate::support::http::{Request, Response, send_raw};

const CONNECTIONS: usize = 40;
const FOR_ROOT: usize = 4;
const NOBODY: u32 = 65_534;
const ALLOWED: &str = "/api/v4/internal/allowed";
/// What the copy of this program that runs as another user is told: the socket, the number of connections, what to send on each.
const HOLDER_VARIABLES: [&str; 3] = ["SIDEGATE_TEST_SOCKET", "SIDEGATE_TEST_CONNECTIONS", "SIDEGATE_TEST_BYTES"];

/// Another user's process, which keeps connections open until it is dropped.
struct OtherUser {
    child: Child,
}

impl OtherUser {
    /// Opens connections as `nobody`, sends the same bytes on each, and returns once all are open and sent.
    fn hold(env: &TestEnv, socket: &Path, connections: usize, bytes: &str) -> Self {
        // The test's own file may lie where only root can read.
        let program = env.path().join("holder");
        if !program.exists() {
            std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(program);
        command.args(["--exact", "--ignored", "--nocapture", "reserved_places::as_another_user"]).uid(NOBODY).gid(NOBODY);
        for (name, value) in HOLDER_VARIABLES.into_iter().zip([socket.to_str().unwrap(), &connections.to_string(), bytes]) {
            command.env(name, value);
        }
        let mut child = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.contains("all are open"));
        let holder = Self { child };
        assert!(ready, "the other user's process ended");
        holder
    }
}

impl Drop for OtherUser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "started by the tests of this file, as another user"]
fn as_another_user() {
    let [socket, connections, bytes] = HOLDER_VARIABLES.map(|name| std::env::var(name).unwrap());
    let held: Vec<UnixStream> = (0..connections.parse::<usize>().unwrap())
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            // Who is refused may find the connection closed.
            let _ = stream.write_all(bytes.as_bytes());
            stream
        })
        .collect();
    writeln!(std::io::stdout(), "all are open").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    drop(held);
}

/// Two daemons that any user may open the socket of, with few connections, and little memory for bodies.
fn small_env() -> TestEnv {
    let limits = format!(
        "[limits]\nconnections = {CONNECTIONS}\nconnections_for_root = {FOR_ROOT}\nheader_time = \"1h\"\nbody_time = \"1h\"\n\
         decoded_body_bytes = \"64KiB\"\npushed_body_bytes = \"64KiB\"\nproven_body_bytes = \"512KiB\"\nunproven_body_bytes = \"64KiB\"\n"
    );
    let mut env = TestEnv::with_config(&limits, &limits);
    for (config, name) in [("primary.toml", "primary.sock"), ("sidegate.toml", "api.sock")] {
        env.replace_in_file(config, &format!("{name}\"\n[auth]"), &format!("{name}\"\nmode = \"0666\"\n[auth]"));
    }
    env.start_primary();
    env.apply(&contract_directory::contract_directory(&json!({})));
    env.start_sidecar();
    env.wait_until_fresh();
    env
}

fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("skipped: only root can start a process of another user");
    }
    root
}

fn sockets(env: &TestEnv) -> [(&'static str, PathBuf); 2] {
    [("sidecar", env.sidecar_socket()), ("primary", env.primary_socket())]
}

fn status(socket: &Path) -> Value {
    let answer = Request::get("/-/admin/status").send(socket);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn root_gets_its_status_while_another_user_holds_every_connection() {
    if !is_root() {
        return;
    }
    let env = small_env();
    for (name, socket) in sockets(&env) {
        let holder = OtherUser::hold(&env, &socket, 2 * CONNECTIONS, "GET /-/liveness HTTP/1.1\r\n");
        let refused = || status(&socket)["sockets"]["refused"]["too_many_connections"].as_u64().unwrap_or(0);
        // The primary's places are also the sidecar's, which runs as root here.
        env.wait_for("the others to be refused", || refused() as usize >= CONNECTIONS);
        let seen = status(&socket);
        assert!(seen["sockets"]["connections_open"].as_u64().unwrap() as usize > CONNECTIONS - FOR_ROOT - 3, "{name}: {seen}");
        assert_eq!(seen["sockets"]["last_refused"]["peer"], format!("uid {NOBODY}"), "{name}: {seen}");
        if name == "sidecar" {
            let printed = env.run_sidegate(&["status", "--socket", socket.to_str().unwrap()]);
            let text = String::from_utf8_lossy(&printed.stdout).into_owned();
            assert!(printed.status.success() && text.contains("too many connections; the last from uid 65534"), "{text}");
        }
        let metrics = Request::get("/-/metrics").send(&socket).text();
        let counted = metrics.lines().find_map(|line| line.strip_prefix("sidegate_early_refusals_total{reason=\"too_many_connections\"} "));
        assert!(counted.is_some_and(|count| count != "0"), "{name}: {metrics}");
        drop(holder);
    }
    for line in [format!("refused uid {NOBODY}: too many connections are open"), "limits.connections".to_owned()] {
        // The log is written behind the answers.
        env.wait_for(&line, || env.logs().split("--- sidecar").all(|log| log.contains(&line)));
    }
    let lines = env.logs().matches("too many connections are open").count();
    assert!(lines < 2 * CONNECTIONS, "the log is limited: {lines} lines");
}

#[test]
fn root_gets_its_status_while_another_user_holds_all_memory_for_bodies() {
    if !is_root() {
        return;
    }
    let env = small_env();
    let (length, part) = (60 << 10, " ".repeat(59 << 10));
    for (name, socket) in sockets(&env) {
        let head = format!("POST {ALLOWED} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
        let with_token = format!("{head}Gitlab-Shell-Api-Request: {}\r\n\r\n{part}", env.shell_token());
        let believed = OtherUser::hold(&env, &socket, 12, &with_token);
        let unknown = OtherUser::hold(&env, &socket, 4, &format!("{head}\r\n{part}"));
        let small = |token: bool| -> Response {
            let request = Request::post(ALLOWED, &json!({"key_id": 104, "project": " ".repeat(30 << 10)}));
            if token { request.header("Gitlab-Shell-Api-Request", &env.shell_token()).send(&socket) } else { request.send(&socket) }
        };
        env.wait_for("both budgets to be used up", || small(true).status == 413 && small(false).status == 503);
        let answer = small(true);
        assert!(answer.message().contains("the bodies of other requests"), "{name}: {}", answer.text());
        status(&socket);
        drop((believed, unknown));
        env.wait_for("memory again", || small(true).status != 413);
    }
}

#[test]
fn what_cannot_be_routed_is_counted_by_its_reason_and_logged_with_its_peer() {
    let env = small_env();
    let uid = nix::unistd::Uid::effective();
    for (name, socket) in sockets(&env) {
        for (bytes, status) in [
            (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(128 << 10)), 431),
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
        ] {
            assert_eq!(send_raw(&socket, bytes.as_bytes()).status, status, "{name}: {bytes:.40}");
        }
        let refused = json!({"head_too_large": 1, "malformed": 1, "ambiguous_framing": 1});
        env.wait_for("all to be counted", || status(&socket)["sockets"]["refused"] == refused);
        assert_eq!(status(&socket)["sockets"]["last_refused"]["peer"], format!("uid {uid}"), "{name}");
        let metrics = Request::get("/-/metrics").send(&socket).text();
        for line in ["early_refusals_total{reason=\"head_too_large\"} 1", "early_refusals_total{reason=\"tls_handshake\"} 0"] {
            assert!(metrics.contains(line), "{name}: {line}\n{metrics}");
        }
    }
    let line = format!("refused uid {uid}: the head of a request is too large");
    env.wait_for(&line, || env.logs().matches(&line).count() == 2);
}
