//! One serving thread: accepts at every socket, takes in or refuses, and ends when it is told.

use std::cell::Cell;
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

/// What the threads are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCommand {
    /// Serve.
    Serve,
    /// Accept what already waits, then no more; end when all is answered or time is up.
    Stop,
}

/// What one thread is for.
pub struct WorkerConfig<A> {
    /// Its own handles of the sockets.
    pub(in crate::net) sockets: Vec<ListenSocket>,
    /// Who answers.
    pub handler: Arc<A>,
    /// Shared by all threads; `open` is what the bound of connections is measured by.
    pub counters: Arc<ServerCounters>,
    /// The bounds.
    pub limits: ServerLimits,
    /// What to do.
    pub commands: watch::Receiver<WorkerCommand>,
}

/// Runs until told to end. Says once whether it started.
pub fn run_worker<A: Handler>(duty: WorkerConfig<A>, started: mpsc::Sender<io::Result<()>>) {
    let orders = duty.commands.clone();
    let shutdown_time = duty.limits.shutdown_time;
    let (runtime, thread) = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).and_then(|runtime| {
        let thread = Worker::new(duty, &runtime)?;
        Ok((runtime, thread))
    }) {
        Ok(both) => both,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(()));
    // The starter waits until every thread has spoken.
    drop(started);
    runtime.block_on(thread.serve(orders, shutdown_time));
}

struct Worker<A> {
    service: Rc<HttpService<A>>,
    connections: Rc<ConnectionTable>,
    limits: ServerLimits,
    counters: Arc<ServerCounters>,
    listeners: Vec<Listener>,
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

impl<A: Handler> Worker<A> {
    fn new(duty: WorkerConfig<A>, runtime: &LocalRuntime) -> io::Result<Rc<Self>> {
        let _here = runtime.enter();
        let doors = duty.sockets.into_iter().map(|socket| match socket {
            ListenSocket::Unix(listener) => register_listener(listener).map(Listener::Unix),
            ListenSocket::Tcp(listener, tls) => {
                TcpListener::from_std(listener).map(|listener| Listener::Tcp(listener, tls.map(TlsAcceptor::from)))
            }
        });
        Ok(Rc::new(Self {
            listeners: doors.collect::<io::Result<_>>()?,
            service: Rc::new(HttpService::new(duty.handler, Arc::clone(&duty.counters), &duty.limits)),
            connections: ConnectionTable::new(&duty.limits),
            limits: duty.limits,
            counters: duty.counters,
            pending_refusals: Rc::new(()),
            last_accept_warning: Cell::new(None),
        }))
    }

    async fn serve(self: Rc<Self>, mut orders: watch::Receiver<WorkerCommand>, shutdown_time: Duration) {
        let accepting: Vec<_> =
            (0..self.listeners.len()).map(|door| tokio::task::spawn_local(Rc::clone(&self).accept_loop(door))).collect();
        let ticking = tokio::task::spawn_local(run_ticks(Rc::clone(&self.connections)));
        if orders.wait_for(|order| *order == WorkerCommand::Stop).await.is_err() {
            // Nobody is left who could tell: a server that was dropped goes on.
            std::future::pending::<()>().await;
        }
        for task in accepting {
            task.abort();
        }
        self.accept_pending();
        self.connections.drain_all();
        if tokio::time::timeout(shutdown_time, self.connections.all_closed()).await.is_err() {
            tracing::warn!(connections = self.connections.count(), "cut off what had not ended in time");
        }
        ticking.abort();
    }

    async fn accept_loop(self: Rc<Self>, door: usize) {
        let Some(door) = self.listeners.get(door) else { return };
        loop {
            match door.accept().await {
                Ok(came) => self.handle_accepted(came),
                Err(error) => self.handle_accept_error(&error).await,
            }
        }
    }

    /// Takes what waited at the sockets when we were told to end.
    fn accept_pending(self: &Rc<Self>) {
        for door in &self.listeners {
            while let Some(Ok(came)) = futures_util::FutureExt::now_or_never(door.accept()) {
                self.handle_accepted(came);
            }
        }
    }

    fn handle_accepted(self: &Rc<Self>, came: Accepted) {
        match came {
            Accepted::Unix(stream) => {
                // Asked of the kernel before anything is read, and only once.
                let Ok(peer) = deferred_stream::peer_credentials(&stream) else { return };
                self.serve_or_refuse(peer, |line| DeferredStream::new(stream, Rc::clone(line)));
            }
            Accepted::Tcp(stream, from, None) => {
                let _ = stream.set_nodelay(true);
                self.serve_or_refuse(Peer::Tcp(from), |_| stream);
            }
            Accepted::Tcp(stream, from, Some(tls)) => {
                let _ = stream.set_nodelay(true);
                let Some(visit) = self.try_acquire_permit(Peer::Tcp(from)) else { return };
                let hall = Rc::clone(&self.service);
                tokio::task::spawn_local(async move {
                    let line = Rc::clone(&visit.slot.connection);
                    if let Some(Ok(stream)) = run_while_serving(&line, tls.accept(stream)).await {
                        hall.serve_connection(stream, Peer::Tcp(from), line, CloseMode::TlsCloseNotify).await;
                    }
                    drop(visit);
                });
            }
        }
    }

    fn serve_or_refuse<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
        self: &Rc<Self>,
        peer: Peer,
        stream: impl FnOnce(&Rc<ConnectionState>) -> IO,
    ) {
        if let Some(visit) = self.try_acquire_permit(peer) {
            let hall = Rc::clone(&self.service);
            let stream = stream(&visit.slot.connection);
            tokio::task::spawn_local(async move {
                hall.serve_connection(stream, peer, Rc::clone(&visit.slot.connection), CloseMode::Socket).await;
                drop(visit);
            });
        } else if Rc::strong_count(&self.pending_refusals) <= MAX_PENDING_REFUSALS {
            let place = self.connections.add();
            tokio::task::spawn_local(refuse_connection(stream(&place.connection), place, Rc::clone(&self.pending_refusals)));
        }
    }

    /// Counts a connection in, if there is room for it.
    fn try_acquire_permit(&self, peer: Peer) -> Option<ConnectionPermit> {
        let kept = if matches!(peer, Peer::Unix { uid: 0, .. }) { 0 } else { self.limits.connections_for_root };
        let room = self.limits.connections.saturating_sub(kept) as u64;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let visit = ConnectionPermit { slot: self.connections.add(), counters: Arc::clone(&self.counters) };
        if self.counters.open_connections.fetch_add(1, Ordering::Relaxed) < room {
            return Some(visit);
        }
        self.counters.refused_connections.fetch_add(1, Ordering::Relaxed);
        None
    }

    async fn handle_accept_error(&self, error: &io::Error) {
        self.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
        // Of the connection, not of us: it was gone before it was accepted.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        let now = clock::boot_time();
        if self.last_accept_warning.get().is_none_or(|last| now.since(last) > ACCEPT_WARNING_INTERVAL) {
            self.last_accept_warning.set(Some(now));
            tracing::warn!(%error, "cannot accept a connection; trying again (said at most every ten seconds)");
        }
        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
    }
}

const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// Beyond so many that have not read their refusal, a thread only closes.
const MAX_PENDING_REFUSALS: usize = 64;
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// A connection that was counted in.
struct ConnectionPermit {
    slot: ConnectionSlot,
    counters: Arc<ServerCounters>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.counters.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn run_ticks(lines: Rc<ConnectionTable>) {
    let mut ticks = tokio::time::interval(lines.tick_interval());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        lines.tick();
    }
}

/// Says that there is no room, and waits until the other side has read it.
async fn refuse_connection<IO: AsyncRead + AsyncWrite + Unpin>(mut stream: IO, place: ConnectionSlot, _counted: Rc<()>) {
    let act = async {
        stream.write_all(TOO_MANY_CONNECTIONS_RESPONSE).await?;
        stream.shutdown().await?;
        let mut unread = vec![0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    run_while_serving(&place.connection, act).await;
}

const TOO_MANY_CONNECTIONS_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 64\r\n\r\n\
    {\"message\":\"503 Service Unavailable: too many open connections\"}";
