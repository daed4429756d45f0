//! Watches that clients find the sockets of this daemon. A file that is gone or is another's, and that this process made, is made again, and
//! the workers are handed the new socket. One that systemd made is not ours to make: an alarm says what to do (`socket_alarms.rs`).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::net::server::counters::ServerCounters;
use crate::net::server::listen::{BoundSocket, ListenSocket};
use crate::net::server::socket_alarms::PathState;

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// What is to be done about a socket that systemd made.
const RESTART_SOCKET_UNIT: &str = "make it anew with `systemctl restart sidegate.socket`, which restarts the daemon too";

/// The sockets that were made again, by their place among the sockets of the server; the last of each.
pub type Replacements = BTreeMap<usize, Arc<UnixListener>>;

/// A thread that watches. Dropping it ends the thread.
pub struct SocketWatch {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<BoundSocket>>,
}

impl SocketWatch {
    /// Starts to watch `sockets`. `replacements` reaches the workers.
    pub fn start(sockets: Vec<BoundSocket>, counters: Arc<ServerCounters>, replacements: watch::Sender<Replacements>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("socket-watch".to_owned());
        let thread = thread.spawn(move || {
            let mut sockets = sockets;
            while stopped.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                for (index, socket) in sockets.iter_mut().enumerate() {
                    check_socket(index, socket, &counters, &replacements);
                }
            }
            sockets
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends the watch, and returns the sockets as they are then. The files that this process made go with them. Blocks.
    pub fn stop(self) -> Vec<BoundSocket> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| {
            tracing::error!("the thread that watches the sockets panicked; their files may have been left behind");
            Vec::new()
        })
    }
}

fn check_socket(index: usize, socket: &mut BoundSocket, counters: &ServerCounters, replacements: &watch::Sender<Replacements>) {
    let Some((path, found)) = socket.path_state() else { return };
    if found == PathState::Ours {
        return counters.sockets.clear(&path);
    }
    match socket.bind_again() {
        None => counters.sockets.raise(&path, found, RESTART_SOCKET_UNIT),
        Some(Err(error)) => counters.sockets.raise(&path, found, &format!("it could not be made again: {error}")),
        Some(Ok(made)) => {
            match made.try_clone() {
                Ok(ListenSocket::Unix(listener)) => replacements.send_modify(|all| drop(all.insert(index, Arc::new(listener)))),
                Ok(ListenSocket::Tcp(..)) => return,
                Err(error) => return counters.sockets.raise(&path, found, &format!("it could not be made again: {error}")),
            }
            // The former one goes last: until then its inode is in use, so its file cannot be taken for the new one.
            *socket = made;
            counters.sockets.clear(&path);
            counters.sockets.record_remade(&path, found);
        }
    }
}
