//! The load that measures: threads with blocking sockets, each with one connection, in a closed loop.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether a connection is kept, or each request has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionMode {
    KeepAlive,
    PerRequest,
}

/// What one run came to. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    pub requests_per_second: f64,
    pub p50: f64,
    pub p99: f64,
    /// Microseconds on a processor for each request: what depends least on who else runs. 0 where it is not measured.
    pub cpu: f64,
}

impl Measurement {
    /// The better of two runs, figure by figure.
    pub fn best_of(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.max(other.requests_per_second),
            p50: self.p50.min(other.p50),
            p99: self.p99.min(other.p99),
            cpu: self.cpu.min(other.cpu),
        }
    }
}

/// A load: clients that ask one after another, each on its own connection, for a while.
pub struct Load<'a> {
    pub socket: &'a Path,
    /// Asked in turn.
    pub requests: &'a [Vec<u8>],
    pub mode: ConnectionMode,
    pub connections: usize,
    pub time: Duration,
    /// Reads a response to its end.
    pub read: fn(&mut UnixStream, &mut [u8]),
    /// Nanoseconds on a processor that the server has used so far, where that is measured.
    pub cpu_nanoseconds: &'a dyn Fn() -> f64,
}

impl Load<'_> {
    pub fn run(&self) -> Measurement {
        let (began, before) = (Instant::now(), (self.cpu_nanoseconds)());
        let until = began + self.time;
        let (socket, requests, mode, read) = (self.socket, self.requests, self.mode, self.read);
        let (times, kept): (Vec<Vec<u32>>, Vec<_>) = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..self.connections)
                .map(|number| scope.spawn(move || request_loop(socket, requests, mode, number * 7919, until, read)))
                .collect();
            clients.into_iter().map(|thread| thread.join().unwrap()).unzip()
        });
        let elapsed = began.elapsed().as_secs_f64();
        let used = (self.cpu_nanoseconds)() - before;
        // Only now: a thread of the echo ends with its connection, and what it used with it.
        drop(kept);
        let mut times = times.concat();
        times.sort_unstable();
        let at = |share: f64| f64::from(times[((times.len() - 1) as f64 * share) as usize]) / 1000.0;
        let count = times.len() as f64;
        Measurement { requests_per_second: count / elapsed, p50: at(0.5), p99: at(0.99), cpu: used / 1000.0 / count }
    }
}

/// Runs `requests` in turn over `connections` connections for a while. Every response must be a success or a 404.
pub fn run_load(socket: &Path, requests: &[Vec<u8>], mode: ConnectionMode, connections: usize, time: Duration) -> Measurement {
    Load { socket, requests, mode, connections, time, read: read_response, cpu_nanoseconds: &|| 0.0 }.run()
}

/// Nanoseconds of each request, and the connection if it was kept.
fn request_loop(
    socket: &Path,
    requests: &[Vec<u8>],
    mode: ConnectionMode,
    first: usize,
    until: Instant,
    read: fn(&mut UnixStream, &mut [u8]),
) -> (Vec<u32>, Option<UnixStream>) {
    let mut times = Vec::with_capacity(1 << 16);
    let mut buffer = vec![0; 16 << 10];
    let mut kept = (mode == ConnectionMode::KeepAlive).then(|| UnixStream::connect(socket).unwrap());
    let mut number = first;
    loop {
        let begun = Instant::now();
        if begun >= until {
            return (times, kept);
        }
        let request = &requests[number % requests.len()];
        number += 1;
        if let Some(stream) = &mut kept {
            stream.write_all(request).unwrap();
            read(stream, &mut buffer);
        } else {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.write_all(request).unwrap();
            read(&mut stream, &mut buffer);
        }
        times.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
}

/// Reads one whole answer with a `Content-Length`.
pub fn read_response(stream: &mut UnixStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the answer was cut off: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        let status = &text[9..12];
        assert!(status.starts_with('2') || status == "404", "{text}\n{}", String::from_utf8_lossy(&buffer[head..filled]));
        let length = text.split("\r\n").find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if filled >= head + 4 + length.unwrap().parse::<usize>().unwrap() {
            return;
        }
    }
}

/// Best of some runs of each, taking turns.
pub fn best_of_rounds(rounds: usize, runs: &[&dyn Fn() -> Measurement]) -> Vec<Measurement> {
    let mut best: Vec<Option<Measurement>> = vec![None; runs.len()];
    for _ in 0..rounds {
        for (run, best) in runs.iter().zip(&mut best) {
            let it = run();
            *best = Some(best.map_or(it, |best| best.best_of(it)));
        }
    }
    best.into_iter().map(Option::unwrap).collect()
}

/// Something that answers on a socket; ended when dropped.
pub struct BaselineServer {
    pub path: PathBuf,
    child: Option<Child>,
}

impl BaselineServer {
    /// Returns the ids of its worker processes; none where it is threads of this program.
    pub fn workers(&self) -> Vec<String> {
        let children = |process: &str| std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
        // The shell, the master, its workers.
        let masters = self.child.as_ref().map(|shell| children(&shell.id().to_string())).unwrap_or_default();
        masters.split_whitespace().flat_map(|master| children(master).split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

impl Drop for BaselineServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Binds a socket with a long queue.
pub fn bind_listener(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4096).unwrap()).unwrap();
    listener
}

/// A bare echo: reads a request of a known size, writes a response. A thread for each kept connection, and one a core for new ones; their
/// names begin with `echo`.
pub fn start_echo(path: PathBuf, request: usize, response: Vec<u8>, mode: ConnectionMode) -> BaselineServer {
    let listener = bind_listener(&path);
    let response = Arc::new(response);
    let answer = move |mut stream: UnixStream, response: &[u8]| {
        let mut buffer = vec![0; request];
        while stream.read_exact(&mut buffer).is_ok() && stream.write_all(response).is_ok() && mode == ConnectionMode::KeepAlive {}
    };
    let spawn = |work: Box<dyn FnOnce() + Send>| drop(std::thread::Builder::new().name("echo".into()).spawn(work).unwrap());
    for _ in 0..std::thread::available_parallelism().unwrap().get() {
        let (listener, response) = (listener.try_clone().unwrap(), Arc::clone(&response));
        spawn(Box::new(move || {
            for stream in listener.incoming() {
                let (stream, response) = (stream.unwrap(), Arc::clone(&response));
                if mode == ConnectionMode::KeepAlive {
                    spawn(Box::new(move || answer(stream, &response)));
                } else {
                    answer(stream, &response);
                }
            }
        }));
    }
    BaselineServer { path, child: None }
}

/// nginx that returns `body` on a Unix socket; `None` where it is not installed.
pub fn start_nginx(folder: &Path, body: &str) -> Option<BaselineServer> {
    let path = folder.join("nginx.sock");
    let at = folder.display();
    let user = if nix::unistd::Uid::effective().is_root() { "user root;\n" } else { "" };
    let text = format!(
        "worker_processes auto;\ndaemon off;\n{user}pid {at}/nginx.pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; default_type application/json;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         server {{ listen unix:{} backlog=4096; location / {{ return 200 '{body}'; }} }} }}\n",
        path.display(),
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    if !Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return None;
    }
    // The shell ends nginx when our end of the pipe closes, so also when this program is killed.
    let run = r#"nginx -c "$0/nginx.conf" -e "$0/error.log" 2>/dev/null & child=$!; read -r _; kill "$child"; wait"#;
    let child = Command::new("sh").args(["-c", run]).arg(folder).stdin(Stdio::piped()).spawn().unwrap();
    while UnixStream::connect(&path).is_err() {
        std::thread::yield_now();
    }
    Some(BaselineServer { path, child: Some(child) })
}
