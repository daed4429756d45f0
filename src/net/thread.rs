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
use crate::net::bounds::Bounds;
use crate::net::connection::{Goodbye, Hall, while_served};
use crate::net::fresh::{self, Fresh};
use crate::net::line::{Line, Lines, Place};
use crate::net::listen::{Socket, registered};
use crate::net::peer::Peer;
use crate::net::server::{Answer, Counted};

/// What the threads are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve.
    Serve,
    /// Accept what already waits, then no more; end when all is answered or time is up.
    End,
}

/// What one thread is for.
pub struct Duty<A> {
    /// Its own handles of the sockets.
    pub sockets: Vec<Socket>,
    /// Who answers.
    pub answer: Arc<A>,
    /// Shared by all threads; `open` is what the bound of connections is measured by.
    pub counted: Arc<Counted>,
    /// The bounds.
    pub bounds: Bounds,
    /// What to do.
    pub orders: watch::Receiver<Order>,
}

/// Runs until told to end. Says once whether it started.
pub fn run<A: Answer>(duty: Duty<A>, started: mpsc::Sender<io::Result<()>>) {
    let orders = duty.orders.clone();
    let shutdown_time = duty.bounds.shutdown_time;
    let (runtime, thread) = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).and_then(|runtime| {
        let thread = Thread::open(duty, &runtime)?;
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

struct Thread<A> {
    hall: Rc<Hall<A>>,
    lines: Rc<Lines>,
    bounds: Bounds,
    counted: Arc<Counted>,
    doors: Vec<Door>,
    refusals: Rc<()>,
    complaints: Cell<Option<BootTime>>,
}

enum Door {
    Unix(AsyncFd<UnixListener>),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

enum Came {
    Unix(UnixStream),
    Tcp(tokio::net::TcpStream, std::net::SocketAddr, Option<TlsAcceptor>),
}

impl Door {
    async fn accept(&self) -> io::Result<Came> {
        match self {
            Self::Unix(listener) => {
                let accepted = listener.async_io(Interest::READABLE, UnixListener::accept).await;
                accepted.map(|(stream, _)| Came::Unix(stream))
            }
            Self::Tcp(listener, tls) => listener.accept().await.map(|(stream, from)| Came::Tcp(stream, from, tls.clone())),
        }
    }
}

impl<A: Answer> Thread<A> {
    fn open(duty: Duty<A>, runtime: &LocalRuntime) -> io::Result<Rc<Self>> {
        let _here = runtime.enter();
        let doors = duty.sockets.into_iter().map(|socket| match socket {
            Socket::Unix(listener) => registered(listener).map(Door::Unix),
            Socket::Tcp(listener, tls) => TcpListener::from_std(listener).map(|listener| Door::Tcp(listener, tls.map(TlsAcceptor::from))),
        });
        Ok(Rc::new(Self {
            doors: doors.collect::<io::Result<_>>()?,
            hall: Rc::new(Hall::new(duty.answer, Arc::clone(&duty.counted), &duty.bounds)),
            lines: Lines::new(&duty.bounds),
            bounds: duty.bounds,
            counted: duty.counted,
            refusals: Rc::new(()),
            complaints: Cell::new(None),
        }))
    }

    async fn serve(self: Rc<Self>, mut orders: watch::Receiver<Order>, shutdown_time: Duration) {
        let accepting: Vec<_> = (0..self.doors.len()).map(|door| tokio::task::spawn_local(Rc::clone(&self).accept(door))).collect();
        let ticking = tokio::task::spawn_local(tick(Rc::clone(&self.lines)));
        if orders.wait_for(|order| *order == Order::End).await.is_err() {
            // Nobody is left who could tell: a server that was dropped goes on.
            std::future::pending::<()>().await;
        }
        for task in accepting {
            task.abort();
        }
        self.accept_waiting();
        self.lines.wind_down();
        if tokio::time::timeout(shutdown_time, self.lines.emptied()).await.is_err() {
            tracing::warn!(connections = self.lines.count(), "cut off what had not ended in time");
        }
        ticking.abort();
    }

    async fn accept(self: Rc<Self>, door: usize) {
        let Some(door) = self.doors.get(door) else { return };
        loop {
            match door.accept().await {
                Ok(came) => self.receive(came),
                Err(error) => self.complain(&error).await,
            }
        }
    }

    /// Takes what waited at the sockets when we were told to end.
    fn accept_waiting(self: &Rc<Self>) {
        for door in &self.doors {
            while let Some(Ok(came)) = futures_util::FutureExt::now_or_never(door.accept()) {
                self.receive(came);
            }
        }
    }

    fn receive(self: &Rc<Self>, came: Came) {
        match came {
            Came::Unix(stream) => {
                // Asked of the kernel before anything is read, and only once.
                let Ok(peer) = fresh::peer(&stream) else { return };
                self.admit(peer, |line| Fresh::new(stream, Rc::clone(line)));
            }
            Came::Tcp(stream, from, None) => {
                let _ = stream.set_nodelay(true);
                self.admit(Peer::Tcp(from), |_| stream);
            }
            Came::Tcp(stream, from, Some(tls)) => {
                let _ = stream.set_nodelay(true);
                let Some(visit) = self.enter(Peer::Tcp(from)) else { return };
                let hall = Rc::clone(&self.hall);
                tokio::task::spawn_local(async move {
                    let line = Rc::clone(&visit.place.line);
                    if let Some(Ok(stream)) = while_served(&line, tls.accept(stream)).await {
                        hall.serve(stream, Peer::Tcp(from), line, Goodbye::Notify).await;
                    }
                    drop(visit);
                });
            }
        }
    }

    fn admit<IO: AsyncRead + AsyncWrite + Unpin + 'static>(self: &Rc<Self>, peer: Peer, stream: impl FnOnce(&Rc<Line>) -> IO) {
        if let Some(visit) = self.enter(peer) {
            let hall = Rc::clone(&self.hall);
            let stream = stream(&visit.place.line);
            tokio::task::spawn_local(async move {
                hall.serve(stream, peer, Rc::clone(&visit.place.line), Goodbye::Close).await;
                drop(visit);
            });
        } else if Rc::strong_count(&self.refusals) <= REFUSALS_AT_ONCE {
            let place = self.lines.join();
            tokio::task::spawn_local(refuse(stream(&place.line), place, Rc::clone(&self.refusals)));
        }
    }

    /// Counts a connection in, if there is room for it.
    fn enter(&self, peer: Peer) -> Option<Visit> {
        let kept = if matches!(peer, Peer::Unix { uid: 0, .. }) { 0 } else { self.bounds.connections_for_root };
        let room = self.bounds.connections.saturating_sub(kept) as u64;
        self.counted.connections.fetch_add(1, Ordering::Relaxed);
        let visit = Visit { place: self.lines.join(), counted: Arc::clone(&self.counted) };
        if self.counted.open.fetch_add(1, Ordering::Relaxed) < room {
            return Some(visit);
        }
        self.counted.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    async fn complain(&self, error: &io::Error) {
        self.counted.accept_errors.fetch_add(1, Ordering::Relaxed);
        // Of the connection, not of us: it was gone before it was accepted.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        let now = clock::boot();
        if self.complaints.get().is_none_or(|last| now.since(last) > BETWEEN_COMPLAINTS) {
            self.complaints.set(Some(now));
            tracing::warn!(%error, "cannot accept a connection; trying again (said at most every ten seconds)");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(10);
/// Beyond so many that have not read their refusal, a thread only closes.
const REFUSALS_AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(50);

/// A connection that was counted in.
struct Visit {
    place: Place,
    counted: Arc<Counted>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.counted.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn tick(lines: Rc<Lines>) {
    let mut ticks = tokio::time::interval(lines.every());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        lines.tick();
    }
}

/// Says that there is no room, and waits until the other side has read it.
async fn refuse<IO: AsyncRead + AsyncWrite + Unpin>(mut stream: IO, place: Place, _counted: Rc<()>) {
    let act = async {
        stream.write_all(NO_ROOM).await?;
        stream.shutdown().await?;
        let mut unread = vec![0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    while_served(&place.line, act).await;
}

const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 64\r\n\r\n\
    {\"message\":\"503 Service Unavailable: too many open connections\"}";
