//! One request and its answer over the Unix socket, within one deadline: connecting, writing and all reading count together.
//!
//! The kernel keeps the time: `SO_SNDTIMEO` bounds `connect` too, which waits while the listener's queue is full, and `SO_RCVTIMEO`
//! bounds a read. They are set again only when the deadline has come nearer by more than [`SLACK`], which keeps the usual lookup at
//! one call for each direction.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::client::answer::{Answer, MOST_BYTES, read_answer};
use crate::client::unanswered::Unanswered;
use crate::model::clock;
use crate::model::time::BootTime;

const SLACK: Duration = Duration::from_millis(20);

/// Sends `request` to `path` and reads the whole answer.
pub fn exchange(path: &Path, request: &[u8], within: Duration) -> Result<Answer, Unanswered> {
    let deadline = Deadline { began: clock::boot(), within };
    let mut stream = connected(path, deadline)?;
    send(&mut stream, request, deadline)?;
    receive(&mut stream, deadline)
}

#[derive(Clone, Copy)]
struct Deadline {
    began: BootTime,
    within: Duration,
}

impl Deadline {
    fn remaining(self) -> Result<Duration, Unanswered> {
        let remaining = self.within.saturating_sub(clock::boot().since(self.began));
        if remaining.is_zero() { Err(Unanswered::Late(self.within)) } else { Ok(remaining) }
    }

    /// What remains, if a limit of `set` is no longer near enough.
    fn renewed(self, set: Duration) -> Result<Option<Duration>, Unanswered> {
        let remaining = self.remaining()?;
        Ok((set > remaining + SLACK).then_some(remaining))
    }
}

fn connected(path: &Path, deadline: Deadline) -> Result<UnixStream, Unanswered> {
    let address = UnixAddr::new(path).map_err(Unanswered::connecting)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(Unanswered::Failed)?;
    loop {
        let limit = TimeVal::microseconds(i64::try_from(deadline.remaining()?.as_micros()).unwrap_or(i64::MAX).max(1));
        setsockopt(&fd, sockopt::SendTimeout, &limit).map_err(Unanswered::Failed)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(fd.into()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(Unanswered::connecting(error)),
        }
    }
}

fn send(stream: &mut UnixStream, mut request: &[u8], deadline: Deadline) -> Result<(), Unanswered> {
    let mut set = deadline.within;
    while !request.is_empty() {
        if let Some(remaining) = deadline.renewed(set)? {
            stream.set_write_timeout(Some(remaining)).map_err(|error| Unanswered::moving(&error, deadline.within))?;
            set = remaining;
        }
        match stream.write(request) {
            Ok(written) => request = request.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Refused before it was read: the answer that says so may be waiting.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Unanswered::moving(&error, deadline.within)),
        }
    }
    Ok(())
}

fn receive(stream: &mut UnixStream, deadline: Deadline) -> Result<Answer, Unanswered> {
    let mut set = Duration::MAX;
    let mut received = Vec::with_capacity(2048);
    let mut piece = [0; 4096];
    loop {
        if let Some(remaining) = deadline.renewed(set)? {
            stream.set_read_timeout(Some(remaining)).map_err(|error| Unanswered::moving(&error, deadline.within))?;
            set = remaining;
        }
        let ended = match stream.read(&mut piece) {
            Ok(length) => {
                received.extend_from_slice(piece.get(..length).unwrap_or_default());
                length == 0
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Unanswered::moving(&error, deadline.within)),
        };
        if let Some(answer) = read_answer(&received, ended)? {
            return Ok(answer);
        }
        if received.len() > MOST_BYTES {
            return Err(Unanswered::TooLong);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::time::Duration;

    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};

    use super::exchange;
    use crate::client::unanswered::Unanswered;

    const SHORT: Duration = Duration::from_millis(60);

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        (folder, path)
    }

    #[test]
    fn a_daemon_that_accepts_and_is_silent_is_late() {
        let (_folder, path) = place();
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(exchange(&path, b"GET / HTTP/1.1\r\n\r\n", SHORT), Err(Unanswered::Late(SHORT)));
    }

    #[test]
    fn a_daemon_that_drips_without_an_end_is_late() {
        let (_folder, path) = place();
        let listener = UnixListener::bind(&path).unwrap();
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while stream.write_all(b"x").is_ok() {
                std::thread::yield_now();
            }
        });
        let said = exchange(&path, b"GET / HTTP/1.1\r\n\r\n", SHORT);
        assert!(matches!(said, Err(Unanswered::Late(_) | Unanswered::TooLong)), "{said:?}");
        dripping.join().unwrap();
    }

    #[test]
    fn a_full_queue_is_waited_for_and_then_is_busy() {
        let (_folder, path) = place();
        let address = UnixAddr::new(&path).unwrap();
        let plain = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        let listener = plain(SockFlag::empty());
        bind(listener.as_raw_fd(), &address).unwrap();
        listen(&listener, Backlog::new(1).unwrap()).unwrap();
        let mut waiting: Vec<OwnedFd> = Vec::new();
        loop {
            let one = plain(SockFlag::SOCK_NONBLOCK);
            if connect(one.as_raw_fd(), &address).is_err() {
                break;
            }
            waiting.push(one);
        }
        assert_eq!(exchange(&path, b"GET / HTTP/1.1\r\n\r\n", SHORT), Err(Unanswered::Busy));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_said_and_not_asked() {
        let said = exchange(&PathBuf::from(format!("/{}", "a".repeat(200))), b"", SHORT);
        assert!(matches!(said, Err(Unanswered::Failed(_))), "{said:?}");
    }
}
