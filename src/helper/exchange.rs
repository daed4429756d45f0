//! One request and its response over the Unix socket, within one deadline for connecting, writing and reading together.
//!
//! The kernel keeps the time: `SO_SNDTIMEO` bounds `connect` too, which waits while the listener's queue is full, and `SO_RCVTIMEO`
//! bounds a read. They are set again only when the deadline is nearer by more than [`TIMEOUT_SLACK`], so that the usual lookup
//! sets each once.
//!
//! A restart of the daemon refuses nobody: a socket that is not there, or a connection that ended before an answer began, is tried again
//! until that has lasted for [`RESTART_TIME`].

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::helper::lookup_error::LookupError;
use crate::helper::response::{HttpResponse, MAX_RESPONSE_BYTES, parse_response};
use crate::model::clock;
use crate::model::time::BootTime;

/// How much longer than to the deadline a call may wait.
const TIMEOUT_SLACK: Duration = Duration::from_millis(20);
/// For how long a daemon that is not there is taken for one that is being restarted.
const RESTART_TIME: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Sends `request` to the socket at `path` and returns the whole response. The request may be sent twice, so it must only ask.
pub fn exchange(path: &Path, request: &[u8], timeout: Duration) -> Result<HttpResponse, LookupError> {
    let deadline = Deadline { started_at: clock::boot_time(), timeout };
    let mut unreachable_since = None;
    loop {
        match try_exchange(path, request, deadline) {
            Err(error) if error.is_unreachable() => {
                let now = clock::boot_time();
                let lasted = now.since(*unreachable_since.get_or_insert(now));
                if lasted >= RESTART_TIME || deadline.remaining().is_err() {
                    return Err(error);
                }
                thread::sleep(RETRY_INTERVAL);
            }
            result => return result,
        }
    }
}

fn try_exchange(path: &Path, request: &[u8], deadline: Deadline) -> Result<HttpResponse, LookupError> {
    let mut stream = connect_stream(path, deadline)?;
    send_request(&mut stream, request, deadline)?;
    receive_response(&mut stream, deadline)
}

#[derive(Clone, Copy)]
struct Deadline {
    started_at: BootTime,
    timeout: Duration,
}

impl Deadline {
    fn remaining(self) -> Result<Duration, LookupError> {
        let remaining = self.timeout.saturating_sub(clock::boot_time().since(self.started_at));
        if remaining.is_zero() { Err(LookupError::Timeout(self.timeout)) } else { Ok(remaining) }
    }

    /// Returns the remaining time if the timeout `current` exceeds it by more than the slack.
    fn updated_timeout(self, current: Duration) -> Result<Option<Duration>, LookupError> {
        let remaining = self.remaining()?;
        Ok((current > remaining + TIMEOUT_SLACK).then_some(remaining))
    }
}

fn connect_stream(path: &Path, deadline: Deadline) -> Result<UnixStream, LookupError> {
    let address = UnixAddr::new(path).map_err(LookupError::from_connect_error)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(LookupError::SocketFailed)?;
    loop {
        let limit = TimeVal::microseconds(i64::try_from(deadline.remaining()?.as_micros()).unwrap_or(i64::MAX).max(1));
        setsockopt(&fd, sockopt::SendTimeout, &limit).map_err(LookupError::SocketFailed)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(fd.into()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(LookupError::from_connect_error(error)),
        }
    }
}

fn send_request(stream: &mut UnixStream, mut request: &[u8], deadline: Deadline) -> Result<(), LookupError> {
    let mut current = deadline.timeout;
    while !request.is_empty() {
        if let Some(remaining) = deadline.updated_timeout(current)? {
            stream.set_write_timeout(Some(remaining)).map_err(|error| LookupError::from_io_error(&error, deadline.timeout))?;
            current = remaining;
        }
        match stream.write(request) {
            Ok(written) => request = request.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The daemon closed before it read the request: its response may already be here, or the next daemon's to give.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => return Ok(()),
            Err(error) => return Err(LookupError::from_io_error(&error, deadline.timeout)),
        }
    }
    Ok(())
}

fn receive_response(stream: &mut UnixStream, deadline: Deadline) -> Result<HttpResponse, LookupError> {
    let mut current = Duration::MAX;
    let mut received = Vec::with_capacity(2048);
    let mut chunk = [0; 4096];
    loop {
        if let Some(remaining) = deadline.updated_timeout(current)? {
            stream.set_read_timeout(Some(remaining)).map_err(|error| LookupError::from_io_error(&error, deadline.timeout))?;
            current = remaining;
        }
        let ended = match stream.read(&mut chunk) {
            Ok(length) => {
                received.extend_from_slice(chunk.get(..length).unwrap_or_default());
                length == 0
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && received.is_empty() => true,
            Err(error) => return Err(LookupError::from_io_error(&error, deadline.timeout)),
        };
        if ended && received.is_empty() {
            return Err(LookupError::NoAnswer);
        }
        if let Some(response) = parse_response(&received, ended)? {
            return Ok(response);
        }
        if received.len() > MAX_RESPONSE_BYTES {
            return Err(LookupError::TooLong);
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
    use crate::helper::lookup_error::LookupError;

    const SHORT_TIMEOUT: Duration = Duration::from_millis(60);

    fn temp_socket() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        (folder, path)
    }

    #[test]
    fn a_daemon_that_accepts_and_does_not_answer_times_out() {
        let (_folder, path) = temp_socket();
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(exchange(&path, b"GET / HTTP/1.1\r\n\r\n", SHORT_TIMEOUT), Err(LookupError::Timeout(SHORT_TIMEOUT)));
    }

    #[test]
    fn a_daemon_that_sends_slowly_without_an_end_times_out() {
        let (_folder, path) = temp_socket();
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while stream.write_all(b"x").is_ok() {
                std::thread::yield_now();
            }
        });
        let result = exchange(&path, b"GET / HTTP/1.1\r\n\r\n", SHORT_TIMEOUT);
        assert!(matches!(result, Err(LookupError::Timeout(_) | LookupError::TooLong)), "{result:?}");
        daemon.join().unwrap();
    }

    #[test]
    fn a_full_queue_is_waited_for_and_then_reported_as_busy() {
        let (_folder, path) = temp_socket();
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
        assert_eq!(exchange(&path, b"GET / HTTP/1.1\r\n\r\n", SHORT_TIMEOUT), Err(LookupError::Busy));
    }

    #[test]
    fn a_daemon_that_is_restarted_meanwhile_answers() {
        let (_folder, path) = temp_socket();
        let listener = UnixListener::bind(&path).unwrap();
        let (socket, daemon_path) = (path.clone(), path.clone());
        let daemon = std::thread::spawn(move || {
            // One connection is cut off; then there is no socket at all, and then there is one again.
            drop(listener.accept().unwrap());
            drop(listener);
            std::fs::remove_file(&daemon_path).unwrap();
            let (mut stream, _) = UnixListener::bind(&daemon_path).unwrap().accept().unwrap();
            let mut request = [0; 18];
            std::io::Read::read_exact(&mut stream, &mut request).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        });
        let response = exchange(&socket, b"GET / HTTP/1.1\r\n\r\n", Duration::from_secs(5)).unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, &b"{}"[..]));
        daemon.join().unwrap();
    }

    #[test]
    fn a_daemon_that_goes_on_cutting_connections_off_is_an_outage() {
        let (_folder, path) = temp_socket();
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = std::thread::spawn(move || {
            while listener.accept().is_ok_and(|(mut stream, _)| std::io::Read::read(&mut stream, &mut [0]).is_ok_and(|length| length > 0)) {
            }
        });
        let result = exchange(&path, b"GET / HTTP/1.1\r\n\r\n", Duration::from_secs(5));
        assert_eq!(result, Err(LookupError::NoAnswer));
        drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
        daemon.join().unwrap();
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error_without_a_connection() {
        let result = exchange(&PathBuf::from(format!("/{}", "a".repeat(200))), b"", SHORT_TIMEOUT);
        assert!(matches!(result, Err(LookupError::SocketFailed(_))), "{result:?}");
    }
}
