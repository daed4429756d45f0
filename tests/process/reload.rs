//! Reloads of running daemons, what they say to systemd, and the watchdog.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use rustls::pki_types::ServerName;

use crate::support::env::{Daemon, SYNC_SECRET, TestEnv};
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::http::{Connection, Request};
use crate::support::lookup::lookup_request;

/// Asks for a reload, and waits until it has ended.
fn reload(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_notification("RELOADING=1");
    daemon.wait_for_notification("READY=1");
}

fn log_has(env: &TestEnv, parts: &[&str]) {
    env.wait_for(&format!("{parts:?} in a line of the log"), || {
        env.logs().lines().any(|line| parts.iter().all(|part| line.contains(part)))
    });
}

fn log_level(env: &TestEnv) -> String {
    Request::get("/-/admin/log-level").send(&env.sidecar_socket()).json()["level"].as_str().unwrap().to_owned()
}

/// The status code of a question about metrics by somebody who is neither root nor the daemon's user.
fn metrics_as_nobody(env: &TestEnv) -> String {
    let script = r#"
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"GET /-/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
print(s.recv(12).decode()[9:])
"#;
    let output = Command::new("python3").args(["-c", script]).arg(env.sidecar_socket()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_good_reload_changes_level_peers_and_limits_names_each_and_drops_no_connection() {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "[auth]\n", "mode = \"0666\"\n[auth]\n");
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.start_sidecar();
    env.wait_until_fresh();
    assert_eq!(env.status()["reload"], serde_json::Value::Null);
    let mut connection = Connection::new(&env.sidecar_socket());
    assert_eq!(lookup_request(&key_blob(3)).send_on(&mut connection).json()["id"], 3);
    let is_root = nix::unistd::Uid::effective().is_root();
    if is_root {
        assert_eq!(metrics_as_nobody(&env), "403");
    }
    env.replace_in_file("sidegate.toml", "level = \"info\"", "level = \"debug\"");
    let more = "[limits]\ndecoded_body_bytes = \"64KiB\"\n[[peer]]\nuid = 65534\nscopes = [\"metrics\"]\n[log]\n";
    env.replace_in_file("sidegate.toml", "[log]\n", more);
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "timeout = \"3s\"\nfeed = \"sidegate\"");
    reload(env.sidecar.as_mut().unwrap());
    log_has(
        &env,
        &["reloaded: ", "`log.level` changed from", "info", "debug", "`limits.decoded_body_bytes` changed from 1048576 to 65536"],
    );
    log_has(&env, &["`peer` changed from no rules to uid 65534: metrics"]);
    log_has(&env, &["`primary.timeout` changed from 2s to 3s, and needs a restart: `systemctl restart sidegate`"]);
    assert_eq!(lookup_request(&key_blob(3)).send_on(&mut connection).json()["id"], 3, "the same connection");
    if is_root {
        assert_eq!(metrics_as_nobody(&env), "200");
    }
    let large = Request::post("/api/v4/internal/lfs_authenticate", &serde_json::json!({"project": "x".repeat(70_000), "key_id": 3}));
    assert_eq!(env.request_sidecar(large).status, 413);
    assert_eq!(env.status()["reload"]["outcome"], "reloaded");
    assert_eq!(log_level(&env), "debug");
    reload(env.sidecar.as_mut().unwrap());
    log_has(&env, &["reloaded: nothing has changed"]);
}

#[test]
fn a_broken_configuration_or_secret_is_refused_whole_and_what_was_goes_on() {
    let mut env = TestEnv::running(&directory_of_keys(8));
    let good = std::fs::read_to_string(env.path().join("sidegate.toml")).unwrap();
    env.write("sidegate.toml", &good.replace("level = \"info\"", "level = \"loud\"").replace("[auth]", "[limits]\nheaders = 50\n[auth]"));
    reload(env.sidecar.as_mut().unwrap());
    let level = ["\"level\":\"error\"", "sidegate.toml:", "`log.level`: unknown variant `loud`, expected", "from before go on"];
    log_has(&env, &level);
    assert_eq!(env.status()["reload"]["outcome"], "refused");
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    assert!(metrics.contains("\nsidegate_config_last_reload_successful 0\n"), "{metrics}");
    // A secret that is broken keeps what is good of the same reload from being in force.
    env.write("sidegate.toml", &good.replace("level = \"info\"", "level = \"debug\""));
    env.write("sync_secret", "");
    reload(env.sidecar.as_mut().unwrap());
    log_has(&env, &["\"level\":\"error\"", "primary.sync_secret_file", "sync_secret", "this is empty", "from before go on"]);
    assert!(!env.sidecar.as_ref().unwrap().log().contains("`log.level` changed"));
    assert_eq!(log_level(&env), "info");
    env.wait_until_fresh();
    assert_eq!(env.request_sidecar(lookup_request(&key_blob(3))).json()["id"], 3);
    // Once the secret is whole again, all that was refused before is in force.
    env.write("sync_secret", SYNC_SECRET);
    reload(env.sidecar.as_mut().unwrap());
    log_has(&env, &["reloaded: `log.level` changed from"]);
    assert_eq!(log_level(&env), "debug");
}

/// A certificate and its key, good until a year begins.
fn certificate(end: i32) -> (rcgen::Certificate, rcgen::KeyPair) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(end, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

/// Writes a certificate that was just made, and returns it.
fn write_certificate(env: &TestEnv, end: i32) -> Vec<u8> {
    let (made, key) = certificate(end);
    env.write("chain.pem", &made.pem());
    env.write("key.pem", &key.serialize_pem());
    made.der().to_vec()
}

/// Returns when the primary says in its metrics that the chain which it has loaded ends.
fn shown_end(env: &TestEnv) -> String {
    let metrics = Request::get("/-/metrics").send(&env.primary_socket()).text();
    let name = format!("sidegate_certificate_expiry_timestamp_seconds{{file=\"{}\"}} ", env.path().join("chain.pem").display());
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{name} in {metrics}")).to_owned()
}

/// The first second of these years.
const START_OF: [(i32, &str); 3] = [(2061, "2871763200"), (2062, "2903299200"), (2063, "2934835200")];

/// Connects and asks; returns the certificate that was shown, and the open connection.
fn connect(address: std::net::SocketAddr, trusted: &[u8]) -> Option<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from(trusted.to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let client = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(address).unwrap());
    ask(&mut stream).then_some(stream)
}

fn ask(stream: &mut (impl std::io::Read + std::io::Write)) -> bool {
    let sent = stream.write_all(b"GET /-/liveness HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut head = [0; 12];
    if sent.is_err() || stream.read_exact(&mut head).is_err() {
        return false;
    }
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut body = Vec::new();
    while !body.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        body.push(byte[0]);
    }
    true
}

#[test]
fn a_changed_certificate_is_shown_from_the_next_connection_on_and_a_broken_one_never() {
    let mut env = TestEnv::new();
    let old = write_certificate(&env, START_OF[0].0);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = env.path().display();
    let listen = format!("[listen]\naddress = \"{free}\"\ntls_cert_file = \"{at}/chain.pem\"\ntls_key_file = \"{at}/key.pem\"\n[log]\n");
    env.replace_in_file("primary.toml", "[log]\n", &listen);
    env.start_primary();
    let mut open = connect(free, &old).expect("the first certificate");
    assert_eq!(shown_end(&env), START_OF[0].1);
    let new = write_certificate(&env, START_OF[1].0);
    reload(env.primary.as_mut().unwrap());
    log_has(&env, &["reloaded: ", "what `listen.tls_cert_file` names has changed"]);
    assert!(connect(free, &old).is_none() && connect(free, &new).is_some());
    assert_eq!(shown_end(&env), START_OF[1].1, "the metric shows the end of what is loaded");
    assert!(ask(&mut open), "a connection from before goes on");
    // A chain that does not go with its key, as between the two writes of a renewal.
    let (other, other_key) = certificate(START_OF[2].0);
    env.write("chain.pem", &other.pem());
    reload(env.primary.as_mut().unwrap());
    log_has(&env, &["\"level\":\"error\"", "listen.tls_cert_file", "does not go with the key"]);
    assert!(connect(free, &new).is_some());
    assert_eq!(shown_end(&env), START_OF[1].1, "a chain that was refused is not shown either");
    // Without a signal: the daemon looks at its files.
    env.write("key.pem", &other_key.serialize_pem());
    env.wait_for("the third certificate", || connect(free, other.der()).is_some());
    env.wait_for("its end among the metrics", || shown_end(&env) == START_OF[2].1);
}

#[test]
fn the_watchdog_is_fed_after_look_ups_of_the_daemon_s_own_also_while_the_primary_hangs() {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(8));
    let mut sidegate = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    sidegate.args(["serve", "--config"]).arg(env.path().join("sidegate.toml")).stdin(Stdio::null()).env("WATCHDOG_USEC", "400000");
    env.sidecar = Some(env.spawn_daemon(sidegate, "sidegate.toml"));
    env.wait_until_fresh();
    let probes = |env: &TestEnv| {
        let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
        let counted = metrics.lines().filter(|line| line.starts_with("sidegate_answers_total") && line.contains("\"readiness\""));
        counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    let mut sidecar = env.sidecar.take().unwrap();
    sidecar.wait_for_notification("WATCHDOG=1");
    let before = probes(&env);
    assert!(before > 0, "it was fed because something was answered");
    env.primary.as_ref().unwrap().signal(Signal::SIGSTOP);
    // What it has said before is read with this.
    reload(&mut sidecar);
    for _ in 0..3 {
        sidecar.wait_for_notification("WATCHDOG=1");
    }
    assert!(probes(&env) > before);
    env.primary.as_ref().unwrap().signal(Signal::SIGCONT);
    env.sidecar = Some(sidecar);
}

#[test]
fn systemd_is_told_in_words_how_a_daemon_does_whenever_that_changes() {
    let mut env = TestEnv::running(&directory_of_keys(8));
    let mut sidecar = env.sidecar.take().unwrap();
    sidecar.wait_for_notification_like("STATUS=", |line| line.starts_with("STATUS=serving: fresh, following, "));
    env.primary.as_mut().unwrap().kill();
    sidecar.wait_for_notification_like("STATUS=", |line| line.contains("serving: ") && line.contains("not following since 20"));
}
