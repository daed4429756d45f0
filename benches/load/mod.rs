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
}

impl Measurement {
    /// The better of two runs, figure by figure.
    pub fn best_of(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.max(other.requests_per_second),
            p50: self.p50.min(other.p50),
            p99: self.p99.min(other.p99),
        }
    }
}

/// Runs `requests` in turn over `connections` connections for a while. Every answer must be a success or a 404.
pub fn run_load(socket: &Path, requests: &[Vec<u8>], keeping: ConnectionMode, connections: usize, time: Duration) -> Measurement {
    let began = Instant::now();
    let mut took: Vec<u32> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..connections)
            .map(|number| scope.spawn(move || request_loop(socket, requests, keeping, number * 7919, began + time)))
            .collect();
        asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let elapsed = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| f64::from(took[((took.len() - 1) as f64 * share) as usize]) / 1000.0;
    Measurement { requests_per_second: took.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99) }
}

fn request_loop(socket: &Path, requests: &[Vec<u8>], keeping: ConnectionMode, first: usize, until: Instant) -> Vec<u32> {
    let mut took = Vec::with_capacity(1 << 16);
    let mut buffer = vec![0; 16 << 10];
    let mut kept = None;
    let mut number = first;
    while Instant::now() < until {
        let request = &requests[number % requests.len()];
        number += 1;
        let begun = Instant::now();
        let mut stream = kept.take().unwrap_or_else(|| UnixStream::connect(socket).unwrap());
        stream.write_all(request).unwrap();
        read_response(&mut stream, &mut buffer);
        if keeping == ConnectionMode::KeepAlive {
            kept = Some(stream);
        }
        took.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    took
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

impl Drop for BaselineServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// A bare echo: reads a request of a known size, writes an answer of a known size.
pub fn start_echo(path: PathBuf, request: usize, answer: Vec<u8>, keeping: ConnectionMode) -> BaselineServer {
    let listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4096).unwrap()).unwrap();
    let answer = Arc::new(answer);
    let one = move |mut stream: UnixStream, answer: &[u8]| {
        let mut buffer = vec![0; request];
        while stream.read_exact(&mut buffer).is_ok() && stream.write_all(answer).is_ok() && keeping == ConnectionMode::KeepAlive {}
    };
    for _ in 0..2 {
        let (listener, answer) = (listener.try_clone().unwrap(), Arc::clone(&answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                if keeping == ConnectionMode::KeepAlive {
                    std::thread::spawn(move || one(stream, &answer));
                } else {
                    one(stream, &answer);
                }
            }
        });
    }
    BaselineServer { path, child: None }
}

/// nginx that returns `body` on a Unix socket; `None` where it is not installed.
pub fn start_nginx(folder: &Path, body: &str) -> Option<BaselineServer> {
    let path = folder.join("nginx.sock");
    let config = folder.join("nginx.conf");
    let at = folder.display();
    let text = format!(
        "worker_processes auto;\ndaemon off;\nuser root;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; default_type application/json;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         server {{ listen unix:{} backlog=4096; location / {{ return 200 '{body}'; }} }} }}\n",
        path.display(),
    );
    std::fs::write(&config, text).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(&config).arg("-e").arg(folder.join("error.log")).stderr(Stdio::null());
    let child = nginx.spawn().ok()?;
    while UnixStream::connect(&path).is_err() {
        std::thread::yield_now();
    }
    Some(BaselineServer { path, child: Some(child) })
}
