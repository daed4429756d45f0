//! One worker thread: accepts at every socket, serves or refuses each connection, and stops on command. Its accept loop outlives every
//! error.
//!
//! A stop turns nobody away. Whoever was accepted is answered, also one whose first byte has yet to come; idle connections are closed. The
//! queue of a socket is left alone meanwhile: the next process gets it with the socket, or, if the socket is this process's own, it is
//! answered last. It never waits long: if a request takes time to end, the queue is served until then.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::model::clock;
use crate::model::time::BootTime;
use crate::net::peer::Peer;
use crate::net::server::connection::{CloseMode, HttpService, run_until};
use crate::net::server::connection_state::{ConnectionSlot, ConnectionState, ConnectionTable, ServeMode};
use crate::net::server::counters::ServerCounters;
use crate::net::server::deferred_stream::{self, DeferredStream};
use crate::net::server::early_refusals::EarlyRefusal;
use crate::net::server::handler::Handler;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen::{ListenSocket, SocketOrigin};
use crate::net::server::listener::{Accepted, Listener};
use crate::net::server::probe::ProbeRound;
use crate::net::server::reading_end::EndReading;
use crate::net::server::socket_watch::Replacements;

/// What the worker threads are commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCommand {
    /// Accept and serve.
    Serve,
    /// Answer who was accepted, then end; at the latest when the time is up.
    Stop,
}

/// What one worker thread works with.
pub struct WorkerConfig<H> {
    /// The thread's own handles of the sockets, and who made each.
    pub sockets: Vec<(ListenSocket, SocketOrigin)>,
    /// What answers requests.
    pub handler: Arc<H>,
    /// Shared by all threads; the bound of connections is measured by `open_connections`.
    pub counters: Arc<ServerCounters>,
    /// The bounds of connections and requests.
    pub limits: watch::Receiver<ServerLimits>,
    /// Rounds of looking whether the threads answer.
    pub probes: watch::Receiver<Option<ProbeRound>>,
    /// The most threads on which this worker runs what blocks.
    pub blocking_threads: usize,
    /// The current command.
    pub commands: watch::Receiver<WorkerCommand>,
    /// The sockets that were made again since.
    pub replacements: watch::Receiver<Replacements>,
    /// Where the threads wait for each other when they stop.
    pub all_workers: Arc<Barrier>,
}

/// Runs one worker until it is commanded to stop. Reports once whether it started.
pub fn run_worker<H: Handler>(config: WorkerConfig<H>, report_start: mpsc::Sender<io::Result<()>>) {
    let orders = Orders {
        commands: config.commands.clone(),
        replacements: config.replacements.clone(),
        limits: config.limits.clone(),
        probes: config.probes.clone(),
    };
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(config.blocking_threads);
    let (runtime, worker) = match builder.build_local(LocalOptions::default()).and_then(|runtime| {
        let worker = Worker::new(config, &runtime)?;
        Ok((runtime, worker))
    }) {
        Ok(started) => started,
        Err(error) => {
            let _ = report_start.send(Err(error));
            return;
        }
    };
    let _ = report_start.send(Ok(()));
    // `HttpServer::start` waits until every sender is gone.
    drop(report_start);
    runtime.block_on(worker.serve(orders));
}

/// What a worker is told while it runs.
struct Orders {
    commands: watch::Receiver<WorkerCommand>,
    replacements: watch::Receiver<Replacements>,
    limits: watch::Receiver<ServerLimits>,
    probes: watch::Receiver<Option<ProbeRound>>,
}

struct Worker<H> {
    handler: Arc<H>,
    /// That of the connections that are accepted now; those before keep theirs.
    service: RefCell<Rc<HttpService<H>>>,
    connections: Rc<ConnectionTable>,
    limits: Cell<ServerLimits>,
    counters: Arc<ServerCounters>,
    listeners: RefCell<Vec<Rc<Listener>>>,
    pending_refusals: Rc<()>,
    all_workers: Arc<Barrier>,
    last_accept_warning: Cell<Option<BootTime>>,
}

impl<H: Handler> Worker<H> {
    fn new(config: WorkerConfig<H>, runtime: &LocalRuntime) -> io::Result<Rc<Self>> {
        let _context = runtime.enter();
        let listeners = config.sockets.into_iter().map(|(socket, origin)| Listener::register(socket, origin).map(Rc::new));
        let limits = *config.limits.borrow();
        let service = HttpService::new(Arc::clone(&config.handler), Arc::clone(&config.counters), &limits);
        Ok(Rc::new(Self {
            listeners: RefCell::new(listeners.collect::<io::Result<_>>()?),
            handler: config.handler,
            service: RefCell::new(Rc::new(service)),
            connections: ConnectionTable::new(&limits),
            limits: Cell::new(limits),
            counters: config.counters,
            pending_refusals: Rc::new(()),
            all_workers: config.all_workers,
            last_accept_warning: Cell::new(None),
        }))
    }

    async fn serve(self: Rc<Self>, orders: Orders) {
        let Orders { mut commands, mut replacements, mut limits, mut probes } = orders;
        let mut accept_loops = self.start_accept_loops();
        let ticks = tokio::task::spawn_local(run_ticks(Rc::clone(&self.connections)));
        loop {
            tokio::select! {
                stop = commands.wait_for(|command| *command == WorkerCommand::Stop) => {
                    if stop.is_ok() {
                        break;
                    }
                    // The server was dropped without a stop: it goes on serving.
                    std::future::pending::<()>().await;
                }
                Ok(()) = replacements.changed() => {
                    let replaced = replacements.borrow_and_update().clone();
                    self.replace_listeners(&replaced, &mut accept_loops);
                }
                Ok(()) = limits.changed() => self.set_limits(*limits.borrow_and_update()),
                Ok(()) = probes.changed() => self.answer_probe(probes.borrow_and_update().clone()),
            }
        }
        if replacements.has_changed().unwrap_or(true) {
            self.replace_listeners(&replacements.borrow_and_update(), &mut accept_loops);
        }
        self.stop(accept_loops).await;
        ticks.abort();
    }

    /// Takes over bounds for the connections that are accepted from now on.
    fn set_limits(&self, limits: ServerLimits) {
        self.limits.set(limits);
        self.service.replace(Rc::new(HttpService::new(Arc::clone(&self.handler), Arc::clone(&self.counters), &limits)));
    }

    /// Makes a look-up beside the connections, and says when it has ended.
    fn answer_probe(&self, round: Option<ProbeRound>) {
        let Some(ProbeRound(answered)) = round else { return };
        let handler = Arc::clone(&self.handler);
        tokio::task::spawn_local(async move {
            handler.probe().await;
            let _asked_again_meanwhile = answered.send(());
        });
    }

    /// Answers who was accepted, and who is in a queue that ends with this process.
    async fn stop(self: &Rc<Self>, accept_loops: Vec<JoinHandle<()>>) {
        let time = StopTime::starting_now(self.limits.get().shutdown_time);
        end_accept_loops(accept_loops).await;
        self.connections.drain_all();
        if !self.close_by(time.queue_waits_until()).await {
            self.serve_queue_until(time.last_accept()).await;
        }
        // Another thread may still serve the queue, and its requests may be answered by a task of this one.
        time.bound(self.all_workers.wait()).await;
        self.answer_ending_queues();
        if !self.close_by(time.queue_waits_until()).await {
            time.bound(self.connections.all_closed()).await;
        }
        let open = self.connections.count();
        if open > 0 {
            tracing::warn!(open, "closed {open} connections that did not end within the shutdown time");
        }
        time.bound(self.all_workers.wait()).await;
    }

    /// Waits until all connections are closed, or gives up those on which nothing was sent until then. Returns whether all are closed.
    async fn close_by(&self, limit: Instant) -> bool {
        if timeout_at(limit, self.connections.all_closed()).await.is_ok() {
            return true;
        }
        self.connections.give_up_unused();
        // They close once they have been polled.
        tokio::task::yield_now().await;
        self.connections.count() == 0
    }

    /// Goes on accepting while requests take long to end, so that nobody in the queue waits for them.
    async fn serve_queue_until(self: &Rc<Self>, limit: Instant) {
        let open = self.connections.count();
        tracing::info!(open, "{open} connections have yet to end; serving new ones until then");
        let accept_loops = self.start_accept_loops();
        let _late = timeout_at(limit, self.connections.all_closed()).await;
        end_accept_loops(accept_loops).await;
    }

    /// Accepts all who are in the queue of a socket that only this process has, and nobody after them.
    fn answer_ending_queues(self: &Rc<Self>) {
        let listeners = self.listeners.take();
        for listener in listeners.iter().filter(|listener| listener.origin == SocketOrigin::Created) {
            listener.refuse_newcomers();
            self.accept_queued(listener);
        }
    }

    fn start_accept_loops(self: &Rc<Self>) -> Vec<JoinHandle<()>> {
        let listeners = self.listeners.borrow().clone();
        listeners.into_iter().map(|listener| self.start_accepting(listener)).collect()
    }

    fn start_accepting(self: &Rc<Self>, listener: Rc<Listener>) -> JoinHandle<()> {
        tokio::task::spawn_local(Rc::clone(self).accept_loop(listener))
    }

    /// Accepts from sockets that were made again, in place of those at whose paths they are. What waits at the former is served.
    fn replace_listeners(self: &Rc<Self>, replaced: &Replacements, accept_loops: &mut [JoinHandle<()>]) {
        for (index, listener) in replaced {
            let socket = listener.try_clone().map(ListenSocket::Unix);
            let registered = socket.and_then(|socket| Listener::register(socket, SocketOrigin::Created));
            let mut listeners = self.listeners.borrow_mut();
            let (Some(former), Some(accept_loop)) = (listeners.get_mut(*index), accept_loops.get_mut(*index)) else { continue };
            match registered {
                Ok(listener) => {
                    accept_loop.abort();
                    self.accept_queued(former);
                    *former = Rc::new(listener);
                    *accept_loop = self.start_accepting(Rc::clone(former));
                }
                Err(error) => tracing::error!(%error, "a worker thread cannot accept from the socket that was made again: {error}"),
            }
        }
    }

    async fn accept_loop(self: Rc<Self>, listener: Rc<Listener>) {
        loop {
            match listener.accept().await {
                Ok(accepted) => self.handle_accepted(accepted),
                Err(error) => self.handle_accept_error(&error).await,
            }
        }
    }

    /// Accepts all who are in the queue at this moment.
    fn accept_queued(self: &Rc<Self>, listener: &Listener) {
        loop {
            match listener.accept_queued() {
                Ok(Some(accepted)) => self.handle_accepted(accepted),
                Ok(None) => return,
                // The client was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return tracing::error!(%error, "failed to accept who was in the queue of a socket that ends: {error}"),
            }
        }
    }

    fn handle_accepted(self: &Rc<Self>, accepted: Accepted) {
        match accepted {
            Accepted::Unix(stream) => {
                // Read before anything else, and only once.
                let Ok(peer) = deferred_stream::peer_credentials(&stream) else { return };
                self.serve_or_refuse(peer, |connection| DeferredStream::new(stream, Rc::clone(connection)));
            }
            Accepted::Tcp(stream, from, None) => {
                let _ = stream.set_nodelay(true);
                self.serve_or_refuse(Peer::Tcp(from), |_| stream);
            }
            Accepted::Tcp(stream, from, Some(tls)) => {
                let _ = stream.set_nodelay(true);
                let Some(permit) = self.try_acquire_permit(Peer::Tcp(from)) else { return };
                let service = self.service.borrow().clone();
                tokio::task::spawn_local(async move {
                    let connection = Rc::clone(&permit.slot.connection);
                    match run_until(ServeMode::Close, &connection, tls.accept(stream)).await {
                        Some(Ok(stream)) => {
                            service.serve_connection(stream, Peer::Tcp(from), connection, CloseMode::TlsCloseNotify).await;
                        }
                        failed => service.record_failed_handshake(&Peer::Tcp(from), &connection, failed.and_then(Result::err)),
                    }
                    drop(permit);
                });
            }
        }
    }

    fn serve_or_refuse<IO: AsyncRead + AsyncWrite + EndReading + Unpin + 'static>(
        self: &Rc<Self>,
        peer: Peer,
        stream: impl FnOnce(&Rc<ConnectionState>) -> IO,
    ) {
        if let Some(permit) = self.try_acquire_permit(peer) {
            let service = self.service.borrow().clone();
            let stream = stream(&permit.slot.connection);
            tokio::task::spawn_local(async move {
                service.serve_connection(stream, peer, Rc::clone(&permit.slot.connection), CloseMode::Socket).await;
                drop(permit);
            });
        } else if Rc::strong_count(&self.pending_refusals) <= MAX_PENDING_REFUSALS {
            let slot = self.connections.add();
            tokio::task::spawn_local(refuse_connection(stream(&slot.connection), slot, Rc::clone(&self.pending_refusals)));
        }
    }

    /// Counts a connection, and returns its permit if there is room for it. The last places are reserved for root.
    fn try_acquire_permit(&self, peer: Peer) -> Option<ConnectionPermit> {
        let limits = self.limits.get();
        let reserved = if matches!(peer, Peer::Unix { uid: 0, .. }) { 0 } else { limits.connections_for_root };
        let max_open = limits.connections.saturating_sub(reserved) as u64;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let permit = ConnectionPermit { slot: self.connections.add(), counters: Arc::clone(&self.counters) };
        if self.counters.open_connections.fetch_add(1, Ordering::Relaxed) < max_open {
            return Some(permit);
        }
        self.counters.refused_connections.fetch_add(1, Ordering::Relaxed);
        self.counters.early_refusals.record(EarlyRefusal::TooManyConnections, &peer);
        None
    }

    async fn handle_accept_error(&self, error: &io::Error) {
        self.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
        // The client was gone before it was accepted.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        let now = clock::boot_time();
        if self.last_accept_warning.get().is_none_or(|last| now.since(last) > ACCEPT_WARNING_INTERVAL) {
            self.last_accept_warning.set(Some(now));
            tracing::warn!(%error, "failed to accept a connection: {error}; trying again (logged at most every 10 s)");
        }
        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
    }
}

const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// Beyond so many connections that have not read their refusal, a thread closes further ones without a response.
const MAX_PENDING_REFUSALS: usize = 64;
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// The longest time that the queue of a socket is not served while connections end, and so the time that a client has to send its first byte
/// then. The helper that sshd starts gives up after 5 s, the start of the next process included.
const MAX_QUEUE_WAIT: Duration = Duration::from_secs(2);

/// Counts as one open connection until it is dropped.
struct ConnectionPermit {
    slot: ConnectionSlot,
    counters: Arc<ServerCounters>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.counters.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the loops, and returns once they are gone: until then they hold their sockets.
async fn end_accept_loops(accept_loops: Vec<JoinHandle<()>>) {
    for accept_loop in accept_loops {
        accept_loop.abort();
        let _cancelled = accept_loop.await;
    }
}

/// How long a stop may take.
#[derive(Clone, Copy)]
struct StopTime {
    deadline: Instant,
    queue_wait: Duration,
}

impl StopTime {
    fn starting_now(shutdown_time: Duration) -> Self {
        Self { deadline: Instant::now() + shutdown_time, queue_wait: MAX_QUEUE_WAIT.min(shutdown_time / 5) }
    }

    /// Returns until when the queue may wait from now on.
    fn queue_waits_until(self) -> Instant {
        self.deadline.min(Instant::now() + self.queue_wait)
    }

    /// Returns until when connections are accepted while others end.
    fn last_accept(self) -> Instant {
        self.deadline - self.queue_wait
    }

    /// Waits until the time is up at most.
    async fn bound(self, future: impl Future) {
        let _late = timeout_at(self.deadline, future).await;
    }
}

async fn run_ticks(connections: Rc<ConnectionTable>) {
    let mut ticks = tokio::time::interval(connections.tick_interval());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        connections.tick();
    }
}

/// Answers 503 because there is no room, and waits until the client has read it.
async fn refuse_connection<IO: AsyncRead + AsyncWrite + Unpin>(mut stream: IO, slot: ConnectionSlot, _pending: Rc<()>) {
    let refusal = async {
        stream.write_all(TOO_MANY_CONNECTIONS_RESPONSE).await?;
        stream.shutdown().await?;
        let mut unread = vec![0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    run_until(ServeMode::Drain, &slot.connection, refusal).await;
}

const TOO_MANY_CONNECTIONS_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 64\r\n\r\n\
    {\"message\":\"503 Service Unavailable: too many open connections\"}";
