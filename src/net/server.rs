//! Serving: one single-threaded runtime a core, all accepting from the same sockets; an accept loop that outlives every error.
//!
//! A connection stays on the thread that accepted it, so handlers need not be `Send` and nothing is locked. One watch channel tells all
//! threads to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::net::bounds::Bounds;
use crate::net::listen::{Listening, Made};
use crate::net::message::{Asked, Reply};
use crate::net::thread::{Duty, Order, run};

/// Who answers requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers one. Runs on the thread of the connection: whatever blocks goes elsewhere. Dropped unfinished when the asker hangs up.
    fn answer(self: &Arc<Self>, asked: Asked) -> impl Future<Output = Reply>;
}

/// What the server has counted; plain atomics, read by the metrics.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each name says it")]
pub struct Counted {
    pub connections: AtomicU64,
    pub open: AtomicU64,
    pub refused: AtomicU64,
    pub accept_errors: AtomicU64,
    pub bad_requests: AtomicU64,
}

/// A server that runs. Dropping it does not stop it.
pub struct Server {
    orders: watch::Sender<Order>,
    threads: Vec<JoinHandle<()>>,
    made: Vec<Made>,
}

impl Server {
    /// Starts `threads` threads (0: one a core). A request with two lengths, or length and chunked, gets 400 with a `message`;
    /// so does an unreadable one (431 where its head is too large, 414 where its target is too long). Beyond `bounds.connections` a
    /// connection gets 503 with a message and is closed.
    pub fn start<A: Answer>(
        sockets: Vec<Listening>,
        answer: Arc<A>,
        bounds: Bounds,
        threads: usize,
        counted: Arc<Counted>,
    ) -> io::Result<Self> {
        let threads = if threads == 0 { std::thread::available_parallelism()?.get() } else { threads };
        let (orders, obeyed) = watch::channel(Order::Serve);
        let mut server = Self { orders, threads: Vec::with_capacity(threads), made: Vec::new() };
        let (started, starts) = mpsc::channel();
        for number in 0..threads {
            let duty = Duty {
                sockets: sockets.iter().map(Listening::again).collect::<io::Result<_>>()?,
                answer: Arc::clone(&answer),
                counted: Arc::clone(&counted),
                bounds,
                orders: obeyed.clone(),
            };
            let started = started.clone();
            let thread = std::thread::Builder::new().name(format!("gate-{number}"));
            server.threads.push(thread.spawn(move || run(duty, &started))?);
        }
        drop(started);
        for start in starts {
            if let Err(error) = start {
                server.orders.send_replace(Order::End);
                return Err(error);
            }
        }
        server.made = sockets.into_iter().filter_map(Listening::into_made).collect();
        Ok(server)
    }

    /// Stops accepting, lets requests in flight end within `bounds.shutdown_time`, removes the sockets that we made. Blocks.
    pub fn stop(self) {
        // First the name goes: whoever comes now is told that nobody is there, and whoever waits at the socket is still served.
        drop(self.made);
        self.orders.send_replace(Order::End);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a serving thread ended by a fault of sidegate itself");
            }
        }
    }
}
