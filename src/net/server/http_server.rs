//! The HTTP server: one single-threaded runtime for each core, all accepting from the same sockets.
//!
//! A connection stays on the thread that accepted it, so the futures of handlers need not be `Send` and nothing is locked. One watch
//! channel tells all threads to stop.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::{Barrier, watch};

use crate::net::server::counters::ServerCounters;
use crate::net::server::handler::Handler;
use crate::net::server::limits::{self, ServerLimits};
use crate::net::server::listen::BoundSocket;
use crate::net::server::probe::Prober;
use crate::net::server::socket_watch::{Replacements, SocketWatch};
use crate::net::server::worker::{WorkerCommand, WorkerConfig, run_worker};

/// A running server. Dropping it does not stop it.
pub struct HttpServer {
    pub(super) commands: watch::Sender<WorkerCommand>,
    limits: watch::Sender<ServerLimits>,
    prober: Prober,
    workers: Vec<JoinHandle<()>>,
    socket_watch: Option<SocketWatch>,
}

impl HttpServer {
    /// Starts `threads` worker threads (0: one for each core). A request with two lengths, or length and chunked, gets 400 with a `message`;
    /// so does an unreadable one (431 where its head is too large, 414 where its target is too long). Beyond `limits.connections` a
    /// connection gets 503 with a `message` and is closed.
    pub fn start<H: Handler>(
        sockets: Vec<BoundSocket>,
        handler: Arc<H>,
        limits: ServerLimits,
        threads: usize,
        counters: Arc<ServerCounters>,
    ) -> io::Result<Self> {
        let threads = if threads == 0 { std::thread::available_parallelism()?.get() } else { threads };
        let (commands, received) = watch::channel(WorkerCommand::Serve);
        let (replacements, replaced) = watch::channel(Replacements::new());
        let (limits, limited) = watch::channel(limits);
        let (prober, probed) = Prober::new(threads);
        let mut server = Self { commands, limits, prober, workers: Vec::with_capacity(threads), socket_watch: None };
        let (report_start, starts) = mpsc::channel();
        let all_workers = Arc::new(Barrier::new(threads));
        for number in 0..threads {
            let config = WorkerConfig {
                sockets: sockets.iter().map(|socket| Ok((socket.try_clone()?, socket.origin()))).collect::<io::Result<_>>()?,
                handler: Arc::clone(&handler),
                counters: Arc::clone(&counters),
                limits: limited.clone(),
                probes: probed.clone(),
                blocking_threads: limits::blocking_threads(threads),
                commands: received.clone(),
                replacements: replaced.clone(),
                all_workers: Arc::clone(&all_workers),
            };
            let report_start = report_start.clone();
            let thread = std::thread::Builder::new().name(format!("gate-{number}"));
            server.workers.push(thread.spawn(move || run_worker(config, report_start))?);
        }
        drop(report_start);
        for start in starts {
            if let Err(error) = start {
                server.commands.send_replace(WorkerCommand::Stop);
                return Err(error);
            }
        }
        server.socket_watch = Some(SocketWatch::start(sockets, counters, replacements)?);
        Ok(server)
    }

    /// Replaces the bounds of a running server that can be replaced: from the next connection on, and for its end.
    pub fn set_limits(&self, next: ServerLimits) {
        self.limits.send_modify(|limits| *limits = limits.reloaded(next));
    }

    /// Returns the bounds as they are now.
    #[must_use]
    pub fn limits(&self) -> ServerLimits {
        *self.limits.borrow()
    }

    /// Returns what finds out whether its threads answer.
    #[must_use]
    pub fn prober(&self) -> Prober {
        self.prober.clone()
    }

    /// Answers everybody who was accepted, within `limits.shutdown_time`, and ends. The queue of a socket that was handed over is left to the
    /// next process; that of one that we made is answered too, and the socket removed. Blocks.
    pub fn stop(self) {
        // First, so that no socket is made again whose queue nobody would answer.
        let mut sockets = self.socket_watch.map(SocketWatch::stop).unwrap_or_default();
        // A handle of ours would keep the queue of a TCP socket open after the workers have answered it.
        sockets.retain(|socket| socket.address().is_none());
        self.commands.send_replace(WorkerCommand::Stop);
        for thread in self.workers {
            if thread.join().is_err() {
                tracing::error!("worker thread panicked; its connections were dropped");
            }
        }
        drop(sockets);
    }
}
