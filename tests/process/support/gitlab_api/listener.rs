//! Listening on a Unix socket or a port of loopback, one thread for each connection.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Both halves of a connection.
pub trait Transport: Read + Write + Send {}
impl<T: Read + Write + Send> Transport for T {}

/// A connection on which requests come.
pub type Connection = BufReader<Box<dyn Transport>>;

/// Listens until it is dropped; connections that are open then are cut.
pub struct Listener {
    stopped: Arc<AtomicBool>,
    open: Arc<Mutex<BTreeMap<u64, Cut>>>,
    socket: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

/// Cuts a connection.
type Cut = Box<dyn Fn() + Send>;

/// Where somebody has come from: the connection, and what cuts it.
type Accepted = (Box<dyn Transport>, Cut);

impl Listener {
    /// Listens at a path, in place of whatever stood there.
    pub fn on_unix(path: &Path, serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let socket = listener.try_clone().unwrap().into();
        let accept = move || -> Option<Accepted> {
            let (stream, _) = listener.accept().ok()?;
            let other: UnixStream = stream.try_clone().unwrap();
            Some((Box::new(stream), Box::new(move || drop(other.shutdown(Shutdown::Both)))))
        };
        Self::start(socket, accept, serve)
    }

    /// Listens on this port of loopback, or with 0 on a free one. Returns the port as well.
    pub fn on_tcp(port: u16, serve: impl Fn(Connection) + Send + Sync + 'static) -> (Self, u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = listener.try_clone().unwrap().into();
        let accept = move || -> Option<Accepted> {
            let (stream, _) = listener.accept().ok()?;
            let _ = stream.set_nodelay(true);
            let other: TcpStream = stream.try_clone().unwrap();
            Some((Box::new(stream), Box::new(move || drop(other.shutdown(Shutdown::Both)))))
        };
        (Self::start(socket, accept, serve), port)
    }

    fn start(
        socket: OwnedFd,
        accept: impl Fn() -> Option<Accepted> + Send + 'static,
        serve: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Self {
        let (stopped, open, serve) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<BTreeMap<u64, Cut>>>::default(), Arc::new(serve));
        let (is_stopped, kept) = (Arc::clone(&stopped), Arc::clone(&open));
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while let Some((stream, cut)) = accept()
                && !is_stopped.load(Ordering::SeqCst)
            {
                number += 1;
                kept.lock().unwrap().insert(number, cut);
                let (serve, kept) = (Arc::clone(&serve), Arc::clone(&kept));
                std::thread::spawn(move || {
                    serve(BufReader::new(stream));
                    // Whatever cuts it holds it open as well.
                    let cut = kept.lock().unwrap().remove(&number);
                    cut.into_iter().for_each(|cut| cut());
                });
            }
        });
        Self { stopped, open, socket, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A thread that waits in `accept` is woken by it.
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::mem::take(&mut *self.open.lock().unwrap()).into_values().for_each(|cut| cut());
    }
}
