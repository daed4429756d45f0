//! One worker thread: accepts at every socket, serves or refuses each connection, and stops on command. Its accept loop outlives every
//! error.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::model::clock;
use crate::model::time::BootTime;
use crate::net::peer::Peer;
use crate::net::server::connection::{CloseMode, HttpService, run_while_serving};
use crate::net::server::connection_state::{ConnectionSlot, ConnectionState, ConnectionTable};
use crate::net::server::counters::ServerCounters;
use crate::net::server::deferred_stream::{self, DeferredStream};
use crate::net::server::handler::Handler;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen::{ListenSocket, register_listener};
use crate::net::server::socket_watch::Replacements;

/// What the worker threads are commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCommand {
    /// Accept and serve.
    Serve,
    /// Accept what already waits, then no more; end when all requests are answered or the time is up.
    Stop,
}

/// What one worker thread works with.
pub struct WorkerConfig<H> {
    /// The thread's own handles of the sockets.
    pub sockets: Vec<ListenSocket>,
    /// What answers requests.
    pub handler: Arc<H>,
    /// Shared by all threads; the bound of connections is measured by `open_connections`.
    pub counters: Arc<ServerCounters>,
    /// The bounds of connections and requests.
    pub limits: ServerLimits,
    /// The current command.
    pub commands: watch::Receiver<WorkerCommand>,
    /// The sockets that were made again since.
    pub replacements: watch::Receiver<Replacements>,
}

/// Runs one worker until it is commanded to stop. Reports once whether it started.
pub fn run_worker<H: Handler>(config: WorkerConfig<H>, report_start: mpsc::Sender<io::Result<()>>) {
    let (commands, replacements) = (config.commands.clone(), config.replacements.clone());
    let shutdown_time = config.limits.shutdown_time;
    let (runtime, worker) = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).and_then(|runtime| {
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
    runtime.block_on(worker.serve(commands, replacements, shutdown_time));
}

struct Worker<H> {
    service: Rc<HttpService<H>>,
    connections: Rc<ConnectionTable>,
    limits: ServerLimits,
    counters: Arc<ServerCounters>,
    listeners: RefCell<Vec<Rc<Listener>>>,
    pending_refusals: Rc<()>,
    last_accept_warning: Cell<Option<BootTime>>,
}

enum Listener {
    Unix(AsyncFd<UnixListener>),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

enum Accepted {
    Unix(UnixStream),
    Tcp(tokio::net::TcpStream, std::net::SocketAddr, Option<TlsAcceptor>),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => {
                let accepted = listener.async_io(Interest::READABLE, UnixListener::accept).await;
                accepted.map(|(stream, _)| Accepted::Unix(stream))
            }
            Self::Tcp(listener, tls) => listener.accept().await.map(|(stream, from)| Accepted::Tcp(stream, from, tls.clone())),
        }
    }
}

impl<H: Handler> Worker<H> {
    fn new(config: WorkerConfig<H>, runtime: &LocalRuntime) -> io::Result<Rc<Self>> {
        let _context = runtime.enter();
        let listeners = config.sockets.into_iter().map(|socket| match socket {
            ListenSocket::Unix(listener) => register_listener(listener).map(|listener| Rc::new(Listener::Unix(listener))),
            ListenSocket::Tcp(listener, tls) => {
                TcpListener::from_std(listener).map(|listener| Rc::new(Listener::Tcp(listener, tls.map(TlsAcceptor::from))))
            }
        });
        Ok(Rc::new(Self {
            listeners: RefCell::new(listeners.collect::<io::Result<_>>()?),
            service: Rc::new(HttpService::new(config.handler, Arc::clone(&config.counters), &config.limits)),
            connections: ConnectionTable::new(&config.limits),
            limits: config.limits,
            counters: config.counters,
            pending_refusals: Rc::new(()),
            last_accept_warning: Cell::new(None),
        }))
    }

    async fn serve(
        self: Rc<Self>,
        mut commands: watch::Receiver<WorkerCommand>,
        mut replacements: watch::Receiver<Replacements>,
        shutdown_time: Duration,
    ) {
        let listeners = self.listeners.borrow().clone();
        let mut accept_loops: Vec<_> = listeners.into_iter().map(|listener| self.start_accepting(listener)).collect();
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
            }
        }
        for task in accept_loops {
            task.abort();
        }
        self.accept_pending();
        self.connections.drain_all();
        if tokio::time::timeout(shutdown_time, self.connections.all_closed()).await.is_err() {
            let connections = self.connections.count();
            tracing::warn!(connections, "closed {connections} connections that did not end within the shutdown time");
        }
        ticks.abort();
    }

    fn start_accepting(self: &Rc<Self>, listener: Rc<Listener>) -> JoinHandle<()> {
        tokio::task::spawn_local(Rc::clone(self).accept_loop(listener))
    }

    /// Accepts from sockets that were made again, in place of those at whose paths they are. What waits at the former is served.
    fn replace_listeners(self: &Rc<Self>, replaced: &Replacements, accept_loops: &mut [JoinHandle<()>]) {
        for (index, listener) in replaced {
            let registered = listener.try_clone().and_then(register_listener);
            let mut listeners = self.listeners.borrow_mut();
            let (Some(former), Some(accept_loop)) = (listeners.get_mut(*index), accept_loops.get_mut(*index)) else { continue };
            match registered {
                Ok(listener) => {
                    accept_loop.abort();
                    self.accept_pending_at(former);
                    *former = Rc::new(Listener::Unix(listener));
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

    /// Accepts the connections that waited in the backlog when the stop was commanded.
    fn accept_pending(self: &Rc<Self>) {
        for listener in self.listeners.borrow().iter() {
            self.accept_pending_at(listener);
        }
    }

    fn accept_pending_at(self: &Rc<Self>, listener: &Listener) {
        while let Some(Ok(accepted)) = futures_util::FutureExt::now_or_never(listener.accept()) {
            self.handle_accepted(accepted);
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
                let service = Rc::clone(&self.service);
                tokio::task::spawn_local(async move {
                    let connection = Rc::clone(&permit.slot.connection);
                    if let Some(Ok(stream)) = run_while_serving(&connection, tls.accept(stream)).await {
                        service.serve_connection(stream, Peer::Tcp(from), connection, CloseMode::TlsCloseNotify).await;
                    }
                    drop(permit);
                });
            }
        }
    }

    fn serve_or_refuse<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
        self: &Rc<Self>,
        peer: Peer,
        stream: impl FnOnce(&Rc<ConnectionState>) -> IO,
    ) {
        if let Some(permit) = self.try_acquire_permit(peer) {
            let service = Rc::clone(&self.service);
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
        let reserved = if matches!(peer, Peer::Unix { uid: 0, .. }) { 0 } else { self.limits.connections_for_root };
        let max_open = self.limits.connections.saturating_sub(reserved) as u64;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let permit = ConnectionPermit { slot: self.connections.add(), counters: Arc::clone(&self.counters) };
        if self.counters.open_connections.fetch_add(1, Ordering::Relaxed) < max_open {
            return Some(permit);
        }
        self.counters.refused_connections.fetch_add(1, Ordering::Relaxed);
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
    run_while_serving(&slot.connection, refusal).await;
}

const TOO_MANY_CONNECTIONS_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 64\r\n\r\n\
    {\"message\":\"503 Service Unavailable: too many open connections\"}";
