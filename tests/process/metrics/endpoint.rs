//! The address of `[metrics] listen`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::metrics::{LISTEN, metrics_address, scrape};
use crate::mirror::{MirrorEnv, WALKS_ONCE};
use crate::support::env::{SHELL_SECRET, TestEnv};
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::instance::records::Instance;
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
/// One more than may be open.
const CONNECTIONS: usize = 33;

#[test]
fn each_daemon_answers_get_metrics_at_an_address_of_its_own_and_nothing_else_there() {
    let mut env = TestEnv::with_config(LISTEN, LISTEN);
    env.start_primary();
    env.start_sidecar();
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, Instance::new());
    let mut site = MirrorEnv::prepare(gitlab, WALKS_ONCE, LISTEN);
    site.start_mirror();
    for (name, daemon, socket) in [
        ("sidecar", env.sidecar.as_ref().unwrap(), env.sidecar_socket()),
        ("primary", env.primary.as_ref().unwrap(), env.primary_socket()),
        ("mirror", site.mirror.as_ref().unwrap(), site.socket()),
    ] {
        let address = metrics_address(daemon);
        assert!(address.ip().is_loopback() && !daemon.log().contains("metrics.listen: "), "{}", daemon.log());
        let shown = scrape(daemon);
        let version = env!("CARGO_PKG_VERSION");
        let build = format!("sidegate_build_info{{daemon=\"{name}\",version=\"{version}\"}}");
        assert_eq!(shown["sidegate_build_info"].samples, [(build, "1".to_owned())]);
        let classic = Request::get("/metrics?x=y").send_tcp(address);
        assert_eq!((classic.status, classic.header("content-type")), (200, Some(CLASSIC)));
        let open = Request::get("/metrics").header("Accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1").send_tcp(address);
        assert_eq!(open.header("content-type"), Some(OPEN_METRICS));
        assert!(open.text().ends_with("# EOF\n") && open.text().contains("# TYPE sidegate_connections counter\n"));
        let head = Request::new("HEAD", "/metrics").send_tcp(address);
        assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, Some(CLASSIC), 0), "{name}");
        for (method, target, status) in [
            ("POST", "/metrics", 405),
            ("DELETE", "/metrics", 405),
            ("GET", "/", 404),
            ("GET", "/metrics/", 404),
            ("GET", "/-/metrics", 404),
            ("GET", "/-/admin/status", 404),
            ("GET", "/-/liveness", 404),
            ("GET", "/api/v4/internal/check", 404),
            ("POST", "/hooks/gitlab", 404),
            ("GET", "http://other/metrics", 404),
        ] {
            let refused = Request::new(method, target).send_tcp(address);
            assert_eq!(refused.status, status, "{name}: {method} {target}: {}", refused.text());
            assert!(refused.json()["message"].is_string(), "{name}: {method} {target}: {}", refused.text());
            assert_eq!(refused.header("allow"), (status == 405).then_some("GET, HEAD"));
        }
        let on_socket = Request::get("/-/metrics").send(&socket).text();
        assert!(shown.keys().all(|metric| on_socket.contains(&format!("# TYPE {metric} "))), "{name}: {on_socket}");
    }
}

#[test]
fn who_reads_metrics_slowly_or_too_often_delays_no_look_up() {
    let mut env = TestEnv::with_config("", LISTEN);
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.start_sidecar();
    env.wait_until_fresh();
    let address = metrics_address(env.sidecar.as_ref().unwrap());
    // Each has sent half a request, and one more than may be open is refused.
    let mut readers: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    for reader in &mut readers {
        let _closed_already = reader.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n");
    }
    let mut refusal = String::new();
    let last = readers.last_mut().unwrap();
    last.set_read_timeout(Some(crate::support::TIMEOUT)).unwrap();
    last.read_to_string(&mut refusal).unwrap();
    assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("\"message\""), "{refusal}");
    assert_eq!(env.request_sidecar(lookup_request(&key_blob(3))).json()["id"], 3);
    let open = env.status()["sockets"]["connections_open"].as_u64().unwrap();
    assert!(open < CONNECTIONS as u64, "they take no place of the socket's: {open}");
    for reader in readers.iter_mut().take(CONNECTIONS - 1) {
        reader.write_all(b"Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        reader.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[test]
fn an_address_that_others_reach_is_served_with_a_warning_and_one_that_is_taken_is_refused() {
    let mut env = TestEnv::with_config(&LISTEN.replace("127.0.0.1", "0.0.0.0"), "");
    env.start_primary();
    // The log is written a moment later, and this line after the warning.
    let port = metrics_address(env.primary.as_ref().unwrap()).port();
    let log = env.primary.as_ref().unwrap().log();
    assert!(log.contains("metrics.listen: whoever reaches 0.0.0.0:0 reads the metrics of this daemon"), "{log}");
    assert_eq!(Request::get("/metrics").send_tcp(([127, 0, 0, 1], port).into()).status, 200);
    let config = std::fs::read_to_string(env.path().join("sidegate.toml")).unwrap();
    env.write("sidegate.toml", &format!("{config}[metrics]\nlisten = \"0.0.0.0:{port}\"\n"));
    let said = env.start_expecting_failure("serve", "sidegate.toml");
    assert!(said.contains(&format!("metrics.listen: 0.0.0.0:{port}: cannot bind it (is the port taken?)")), "{said}");
}
