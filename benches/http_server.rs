//! The socket against its equals, in one run: ours with an empty handler, a bare echo of the same sizes, an empty hyper server with the
//! same body, and nginx `return 200` with the same body where nginx is installed.
//!
//! Clients are threads with blocking sockets, each with one connection, in a closed loop. Every pairing runs three times, taking turns,
//! and the best run counts. Only the ratios mean anything, and only within one run: `cargo bench --bench http_server [-- SECONDS] ['KeepAlive, 8 at once']`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program: it reads the clock and prints"
)]

#[path = "load/mod.rs"]
#[allow(dead_code, reason = "the other measuring program needs more of it")]
mod load;

use std::convert::Infallible;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use sidegate::net::message::{Request, Response};
use sidegate::net::server::handler::Handler;
use sidegate::net::server::http_server::HttpServer;
use sidegate::net::server::limits::ServerLimits;
use sidegate::net::server::listen;

use crate::load::{BaselineServer, ConnectionMode, Load, Measurement, best_of_rounds, bind_listener, start_echo, start_nginx};

const ROUNDS: usize = 3;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(0.4);
    let only = std::env::args().skip(1).find(|argument| argument.contains("at once"));
    let folder = tempfile::tempdir().unwrap();
    let mut servers = vec![start_sidegate(folder.path()), start_hyper(folder.path()), start_bare_echo(folder.path())];
    servers.extend(start_bare_nginx(folder.path()));
    // The machine first runs warm.
    servers[0].measure(ConnectionMode::KeepAlive, 8, Duration::from_millis(300));
    print!("{:22} {:>12}", "", "server");
    ["req/s", "p50 us", "p99 us", "cpu us", "ours: req/s", "p50", "p99", "cpu"].iter().for_each(|name| print!(" {name:>11}"));
    println!();
    for mode in [ConnectionMode::KeepAlive, ConnectionMode::PerRequest] {
        for connections in [1, 8, 64] {
            let what = format!("{mode:?}, {connections} at once");
            if only.as_ref().is_some_and(|only| !what.contains(only)) {
                continue;
            }
            let time = Duration::from_secs_f64(seconds);
            let runs: Vec<_> = servers.iter().map(|server| move || server.measure(mode, connections, time)).collect();
            let runs: Vec<&dyn Fn() -> Measurement> = runs.iter().map(|run| run as _).collect();
            let best = best_of_rounds(ROUNDS, &runs);
            let ours = best[0];
            for (server, it) in servers.iter().zip(best) {
                print!("{what:22} {:>12}", server.name);
                [it.requests_per_second, it.p50, it.p99, it.cpu].iter().for_each(|figure| print!(" {figure:>11.1}"));
                let ratios = [ours.requests_per_second / it.requests_per_second, ours.p50 / it.p50, ours.p99 / it.p99, ours.cpu / it.cpu];
                ratios.iter().for_each(|ratio| print!(" {ratio:>11.2}"));
                println!();
            }
        }
    }
}

/// A server of this comparison.
struct BenchServer {
    name: &'static str,
    path: PathBuf,
    /// Its second socket, if kept connections have one of their own.
    keep_alive_path: Option<PathBuf>,
    /// What runs beside this program, or beside its main thread; ended when dropped.
    baselines: Vec<BaselineServer>,
    /// What the names of its threads begin with.
    thread_prefix: &'static str,
}

impl BenchServer {
    /// Nanoseconds on a processor of all its threads so far.
    fn cpu_nanoseconds(&self) -> f64 {
        let folder = |process: &str| std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
        let mut processes: Vec<String> = self.baselines.iter().flat_map(BaselineServer::workers).collect();
        if processes.is_empty() {
            processes.push("self".to_owned());
        }
        let tasks = processes.iter().flat_map(|process| folder(process)).map(|task| task.unwrap().path());
        let text = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let ours = tasks.filter(|task| text(task, "comm").starts_with(self.thread_prefix));
        ours.filter_map(|task| text(&task, "schedstat").split_whitespace().next()?.parse::<f64>().ok()).sum()
    }

    /// Load of `connections` threads for a while.
    fn measure(&self, mode: ConnectionMode, connections: usize, time: Duration) -> Measurement {
        let socket = match (mode, &self.keep_alive_path) {
            (ConnectionMode::KeepAlive, Some(kept)) => kept,
            _ => &self.path,
        };
        let read = if mode == ConnectionMode::KeepAlive { read_to_brace } else { read_to_end };
        Load { socket, requests: &[encode_request(mode)], mode, connections, time, read, cpu_nanoseconds: &|| self.cpu_nanoseconds() }.run()
    }
}

fn response_body() -> String {
    format!("{{\"id\":1,\"title\":\"laptop\",\"key\":\"ssh-ed25519 {}\",\"usage_type\":\"auth_and_signing\"}}", "A".repeat(68))
}

fn encode_request(mode: ConnectionMode) -> Vec<u8> {
    let close = if mode == ConnectionMode::PerRequest { "Connection: close\r\n" } else { "" };
    let key = "A".repeat(68);
    format!(
        "GET /api/v4/internal/authorized_keys?key={key} HTTP/1.1\r\nHost: unix\r\n{close}Gitlab-Shell-Api-Request: {}\r\n\r\n",
        "t".repeat(140)
    )
    .into_bytes()
}

/// Every response here ends with the one brace that closes the body.
fn read_to_brace(stream: &mut UnixStream, buffer: &mut [u8]) {
    loop {
        let length = stream.read(buffer).unwrap();
        assert!(length > 0, "closed");
        if buffer[..length].ends_with(b"}") {
            return;
        }
    }
}

fn read_to_end(stream: &mut UnixStream, buffer: &mut [u8]) {
    while stream.read(buffer).unwrap() > 0 {}
}

struct FixedResponse(Bytes);

impl Handler for FixedResponse {
    async fn handle(self: &Arc<Self>, _: Request) -> Response {
        Response::json(StatusCode::OK, self.0.clone())
    }
}

fn start_sidegate(folder: &Path) -> BenchServer {
    let path = folder.join("ours.sock");
    let socket = listen::bind_unix(&path, 0o600, None).unwrap();
    let limits = ServerLimits { requests_per_connection: u64::MAX, ..ServerLimits::default() };
    // Serves until the program ends.
    let server = HttpServer::start(vec![socket], Arc::new(FixedResponse(response_body().into())), limits, 0, Arc::default()).unwrap();
    std::mem::forget(server);
    BenchServer { name: "ours", path, keep_alive_path: None, baselines: Vec::new(), thread_prefix: "gate-" }
}

fn start_hyper(folder: &Path) -> BenchServer {
    let path = folder.join("hyper.sock");
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("hyper").enable_all().build().unwrap();
    let socket = bind_listener(&path);
    socket.set_nonblocking(true).unwrap();
    let body = Bytes::from(response_body());
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::from_std(socket).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let body = body.clone();
                let service = hyper::service::service_fn(move |_| {
                    let body = body.clone();
                    async move { Ok::<_, Infallible>(http::Response::new(Full::new(body))) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        })
    });
    BenchServer { name: "empty hyper", path, keep_alive_path: None, baselines: Vec::new(), thread_prefix: "hyper" }
}

/// Two echoes, since one of them keeps its connections and the other does not.
fn start_bare_echo(folder: &Path) -> BenchServer {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 149\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";
    let response = format!("{head}{}", response_body()).into_bytes();
    let start = |name: &str, mode| start_echo(folder.join(name), encode_request(mode).len(), response.clone(), mode);
    let (new, kept) = (start("echo.sock", ConnectionMode::PerRequest), start("kept-echo.sock", ConnectionMode::KeepAlive));
    let (path, keep_alive_path) = (new.path.clone(), Some(kept.path.clone()));
    BenchServer { name: "bare echo", path, keep_alive_path, baselines: vec![new, kept], thread_prefix: "echo" }
}

fn start_bare_nginx(folder: &Path) -> Option<BenchServer> {
    let Some(nginx) = start_nginx(folder, &response_body()) else {
        println!("nginx is not installed: left out");
        return None;
    };
    Some(BenchServer { name: "nginx", path: nginx.path.clone(), keep_alive_path: None, baselines: vec![nginx], thread_prefix: "nginx" })
}
