//! Serving: one single-threaded runtime a core, all accepting from the same sockets; an accept loop that outlives every error.
//!
//! A connection stays on the thread that accepted it, so handlers need not be `Send` and nothing is locked. One watch channel tells all
//! threads to end.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::net::server::counters::ServerCounters;
use crate::net::server::handler::Handler;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen::{BoundSocket, SocketFile};
use crate::net::server::worker::{WorkerCommand, WorkerConfig, run_worker};

/// A server that runs. Dropping it does not stop it.
pub struct HttpServer {
    commands: watch::Sender<WorkerCommand>,
    workers: Vec<JoinHandle<()>>,
    socket_files: Vec<SocketFile>,
}

impl HttpServer {
    /// Starts `threads` threads (0: one a core). A request with two lengths, or length and chunked, gets 400 with a `message`;
    /// so does an unreadable one (431 where its head is too large, 414 where its target is too long). Beyond `bounds.connections` a
    /// connection gets 503 with a message and is closed.
    pub fn start<A: Handler>(
        sockets: Vec<BoundSocket>,
        answer: Arc<A>,
        bounds: ServerLimits,
        threads: usize,
        counted: Arc<ServerCounters>,
    ) -> io::Result<Self> {
        let threads = if threads == 0 { std::thread::available_parallelism()?.get() } else { threads };
        let (orders, obeyed) = watch::channel(WorkerCommand::Serve);
        let mut server = Self { commands: orders, workers: Vec::with_capacity(threads), socket_files: Vec::new() };
        let (started, starts) = mpsc::channel();
        for number in 0..threads {
            let duty = WorkerConfig {
                sockets: sockets.iter().map(BoundSocket::try_clone).collect::<io::Result<_>>()?,
                handler: Arc::clone(&answer),
                counters: Arc::clone(&counted),
                limits: bounds,
                commands: obeyed.clone(),
            };
            let started = started.clone();
            let thread = std::thread::Builder::new().name(format!("gate-{number}"));
            server.workers.push(thread.spawn(move || run_worker(duty, started))?);
        }
        drop(started);
        for start in starts {
            if let Err(error) = start {
                server.commands.send_replace(WorkerCommand::Stop);
                return Err(error);
            }
        }
        server.socket_files = sockets.into_iter().filter_map(BoundSocket::into_socket_file).collect();
        Ok(server)
    }

    /// Stops accepting, lets requests in flight end within `bounds.shutdown_time`, removes the sockets that we made. Blocks.
    pub fn stop(self) {
        // First the name goes: whoever comes now is told that nobody is there, and whoever waits at the socket is still served.
        drop(self.socket_files);
        self.commands.send_replace(WorkerCommand::Stop);
        for thread in self.workers {
            if thread.join().is_err() {
                tracing::error!("a serving thread ended by a fault of sidegate itself");
            }
        }
    }
}
