//! The socket against its equals, in one run: ours with an empty handler, a bare echo of the same sizes, an empty hyper server with the
//! same body, and nginx `return 200` with the same body where nginx is installed.
//!
//! Clients are threads with blocking sockets, each with one connection, in a closed loop. Every pairing runs three times, taking turns,
//! and the best run counts. Only the ratios mean anything, and only within one run: `cargo bench --bench http_server [-- SECONDS] ['Kept, 8 at once']`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program: it reads the clock and prints"
)]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use sidegate::net::message::{Request, Response};
use sidegate::net::server::handler::Handler;
use sidegate::net::server::http_server::HttpServer;
use sidegate::net::server::limits::ServerLimits;
use sidegate::net::server::listen;

const ROUNDS: usize = 3;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(0.4);
    let only = std::env::args().skip(1).find(|argument| argument.contains("at once"));
    let folder = tempfile::tempdir().unwrap();
    let mut servers = vec![start_sidegate(folder.path()), start_hyper(folder.path()), start_echo(folder.path())];
    servers.extend(start_nginx(folder.path()));
    // The machine first runs warm.
    run_load(&servers[0], ConnectionMode::KeepAlive, 8, Duration::from_millis(300));
    print!("{:22} {:>12}", "", "server");
    ["req/s", "p50 us", "p99 us", "cpu us", "ours: req/s", "p50", "p99", "cpu"].iter().for_each(|name| print!(" {name:>11}"));
    println!();
    for keeping in [ConnectionMode::KeepAlive, ConnectionMode::PerRequest] {
        for connections in [1, 8, 64] {
            let what = format!("{keeping:?}, {connections} at once");
            if only.as_ref().is_some_and(|only| !what.contains(only)) {
                continue;
            }
            let mut best: Vec<Option<Measurement>> = vec![None; servers.len()];
            for _ in 0..ROUNDS {
                for (server, best) in servers.iter().zip(&mut best) {
                    let run = run_load(server, keeping, connections, Duration::from_secs_f64(seconds));
                    *best = Some(best.map_or(run, |best| best.best_of(run)));
                }
            }
            let ours = best[0].unwrap();
            for (server, figures) in servers.iter().zip(best) {
                let it = figures.unwrap();
                print!("{what:22} {:>12}", server.name);
                [it.requests_per_second, it.p50, it.p99, it.cpu].iter().for_each(|figure| print!(" {figure:>11.1}"));
                let ratios = [ours.requests_per_second / it.requests_per_second, ours.p50 / it.p50, ours.p99 / it.p99, ours.cpu / it.cpu];
                ratios.iter().for_each(|ratio| print!(" {ratio:>11.2}"));
                println!();
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionMode {
    KeepAlive,
    PerRequest,
}

#[derive(Clone, Copy)]
struct Measurement {
    requests_per_second: f64,
    p50: f64,
    p99: f64,
    /// Microseconds on a processor for each request: what depends least on who else runs.
    cpu: f64,
}

impl Measurement {
    fn best_of(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.max(other.requests_per_second),
            p50: self.p50.min(other.p50),
            p99: self.p99.min(other.p99),
            cpu: self.cpu.min(other.cpu),
        }
    }
}

struct BenchServer {
    name: &'static str,
    path: PathBuf,
    keep_alive_path: Option<PathBuf>,
    child: Option<Child>,
    /// What the names of its threads begin with.
    thread_prefix: &'static str,
}

impl BenchServer {
    /// Nanoseconds on a processor of all its threads so far.
    fn cpu_nanoseconds(&self) -> f64 {
        let folder = |process: &str| std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
        let mut tasks: Vec<_> = folder("self").map(|task| task.unwrap().path()).collect();
        if let Some(shell) = &self.child {
            // The shell, nginx's master, its workers.
            let children = |process: &str| std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
            let masters = children(&shell.id().to_string());
            let workers: String = masters.split_whitespace().map(children).collect();
            tasks = workers.split_whitespace().flat_map(folder).map(|task| task.unwrap().path()).collect();
        }
        let text = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let ours = tasks.iter().filter(|task| text(task, "comm").starts_with(self.thread_prefix));
        ours.filter_map(|task| text(task, "schedstat").split_whitespace().next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for BenchServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

fn response_body() -> String {
    format!("{{\"id\":1,\"title\":\"laptop\",\"key\":\"ssh-ed25519 {}\",\"usage_type\":\"auth_and_signing\"}}", "A".repeat(68))
}

fn encode_request(keeping: ConnectionMode) -> Vec<u8> {
    let close = if keeping == ConnectionMode::PerRequest { "Connection: close\r\n" } else { "" };
    let key = "A".repeat(68);
    format!(
        "GET /api/v4/internal/authorized_keys?key={key} HTTP/1.1\r\nHost: unix\r\n{close}Gitlab-Shell-Api-Request: {}\r\n\r\n",
        "t".repeat(140)
    )
    .into_bytes()
}

/// Load of `connections` threads for a while.
fn run_load(subject: &BenchServer, keeping: ConnectionMode, connections: usize, time: Duration) -> Measurement {
    let path = match (keeping, &subject.keep_alive_path) {
        (ConnectionMode::KeepAlive, Some(kept)) => kept,
        _ => &subject.path,
    };
    let (began, before) = (Instant::now(), subject.cpu_nanoseconds());
    let (mut took, kept): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..connections).map(|_| scope.spawn(move || request_loop(path, keeping, began + time))).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).unzip()
    });
    let elapsed = began.elapsed().as_secs_f64();
    let used = subject.cpu_nanoseconds() - before;
    // Only now: a thread of the echo ends with its connection, and its figures with it.
    drop(kept);
    let mut took: Vec<u32> = took.drain(..).flatten().collect();
    took.sort_unstable();
    let at = |share: f64| f64::from(took[((took.len() - 1) as f64 * share) as usize]) / 1000.0;
    Measurement { requests_per_second: took.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99), cpu: used / 1000.0 / took.len() as f64 }
}

/// Nanoseconds of each request, and the connection if it was kept.
fn request_loop(path: &Path, keeping: ConnectionMode, until: Instant) -> (Vec<u32>, Option<UnixStream>) {
    let request = encode_request(keeping);
    let mut took = Vec::with_capacity(1 << 16);
    let mut kept = (keeping == ConnectionMode::KeepAlive).then(|| UnixStream::connect(path).unwrap());
    let mut buffer = [0; 4096];
    loop {
        let began = Instant::now();
        if began >= until {
            return (took, kept);
        }
        match &mut kept {
            Some(stream) => {
                stream.write_all(&request).unwrap();
                read_response(stream, &mut buffer);
            }
            None => {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.write_all(&request).unwrap();
                while stream.read(&mut buffer).unwrap() > 0 {}
            }
        }
        took.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
}

/// Every answer here ends with the one brace that closes the body.
fn read_response(stream: &mut UnixStream, buffer: &mut [u8]) {
    loop {
        let length = stream.read(buffer).unwrap();
        assert!(length > 0, "closed");
        if buffer[..length].ends_with(b"}") {
            return;
        }
    }
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
    let bounds = ServerLimits { requests_per_connection: u64::MAX, ..ServerLimits::default() };
    // Serves until the program ends.
    let server = HttpServer::start(vec![socket], Arc::new(FixedResponse(response_body().into())), bounds, 0, Arc::default()).unwrap();
    std::mem::forget(server);
    BenchServer { name: "ours", path, keep_alive_path: None, child: None, thread_prefix: "gate-" }
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
    BenchServer { name: "empty hyper", path, keep_alive_path: None, child: None, thread_prefix: "hyper" }
}

fn bind_listener(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4096).unwrap()).unwrap();
    listener
}

/// Reads a request of the known size, writes an answer of the size of ours: a thread for each kept connection, and one a core for new ones.
fn start_echo(folder: &Path) -> BenchServer {
    let (path, kept_path) = (folder.join("echo.sock"), folder.join("kept-echo.sock"));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 149\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";
    let answer = Arc::new(format!("{head}{}", response_body()).into_bytes());
    let answering = |mut stream: UnixStream, answer: &[u8], size: usize| {
        let mut buffer = vec![0; size];
        while stream.read_exact(&mut buffer).is_ok() && stream.write_all(answer).is_ok() {
            if size == encode_request(ConnectionMode::PerRequest).len() {
                return;
            }
        }
    };
    let new = bind_listener(&path);
    for _ in 0..std::thread::available_parallelism().unwrap().get() {
        let (new, answer) = (new.try_clone().unwrap(), Arc::clone(&answer));
        let echo = std::thread::Builder::new().name("echo".into());
        let echoing = echo.spawn(move || {
            let size = encode_request(ConnectionMode::PerRequest).len();
            for stream in new.incoming() {
                answering(stream.unwrap(), &answer, size);
            }
        });
        echoing.unwrap();
    }
    let kept = bind_listener(&kept_path);
    std::thread::spawn(move || {
        let size = encode_request(ConnectionMode::KeepAlive).len();
        for stream in kept.incoming() {
            let answer = Arc::clone(&answer);
            let echo = std::thread::Builder::new().name("echo".into());
            echo.spawn(move || answering(stream.unwrap(), &answer, size)).unwrap();
        }
    });
    BenchServer { name: "bare echo", path, keep_alive_path: Some(kept_path), child: None, thread_prefix: "echo" }
}

fn start_nginx(folder: &Path) -> Option<BenchServer> {
    let path = folder.join("nginx.sock");
    let config = folder.join("nginx.conf");
    let at = folder.display();
    let text = format!(
        "worker_processes auto;\ndaemon off;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\nevents {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; default_type application/json;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         server {{ listen unix:{} backlog=4096; location / {{ return 200 '{}'; }} }} }}\n",
        path.display(),
        response_body()
    );
    std::fs::write(&config, text).unwrap();
    if !Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("nginx is not installed: left out");
        return None;
    }
    // The shell ends nginx when our end of the pipe closes, so also when this program is killed.
    let run = r#"nginx -c "$0/nginx.conf" -e "$0/error.log" & child=$!; read -r _; kill "$child"; wait"#;
    let child = Command::new("sh").args(["-c", run]).arg(folder).stdin(Stdio::piped()).spawn().unwrap();
    while UnixStream::connect(&path).is_err() {
        std::thread::yield_now();
    }
    Some(BenchServer { name: "nginx", path, keep_alive_path: None, child: Some(child), thread_prefix: "nginx" })
}
