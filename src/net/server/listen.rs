//! Listening sockets: bound so that they are never open to the wrong users, not even for a moment, or inherited from systemd.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, socket, sockopt};
use nix::unistd::{Gid, chown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::net::server::socket_alarms::{FileIdentity, PathState};

/// A listening socket. Its Unix path, if we made it, is removed when this is dropped.
pub struct BoundSocket {
    socket: ListenSocket,
    origin: SocketOrigin,
    /// What was at its path when it was made or handed over, if it is a Unix socket with a path.
    identity: Option<FileIdentity>,
    socket_file: Option<SocketFile>,
}

/// Who made a socket. That says who answers those who are still in its queue when this process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOrigin {
    /// This process: nobody else has it, so the queue ends with this process.
    Created,
    /// systemd, which keeps it and hands it to the next process.
    Inherited,
}

/// A handle of the socket; every worker thread has one.
pub enum ListenSocket {
    /// A Unix stream socket.
    Unix(UnixListener),
    /// A TCP socket, with TLS if so configured.
    Tcp(TcpListener, Option<Arc<rustls::ServerConfig>>),
}

/// The file of a Unix socket that we made. Removed when dropped, unless another socket has taken its name.
struct SocketFile {
    path: PathBuf,
    mode: u32,
    group: Option<u32>,
    identity: Option<FileIdentity>,
}

/// Why a socket could not be bound. It names the socket and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{socket}: {reason}")]
pub struct BindError {
    /// The path or address of the socket.
    pub socket: String,
    /// What is wrong and what to do.
    pub reason: String,
}

const MAX_SOCKET_PATH_BYTES: usize = 107;
/// The kernel cuts it to what it allows. nix would refuse more than the `SOMAXCONN` of the C library, which is 128 with musl.
const BACKLOG: i32 = 4096;

/// Binds a Unix socket with a backlog of 4096: it is made in a private folder beside its path, given mode and group, and then renamed
/// into place. Refuses a symbolic link, a path of more than 107 bytes, a file that is no socket, and a socket on which a process still
/// listens.
pub fn bind_unix(path: &Path, mode: u32, group: Option<u32>) -> Result<BoundSocket, BindError> {
    let refused = |reason: String| BindError { socket: path.display().to_string(), reason };
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH_BYTES {
        return Err(refused(format!("the path has {length} bytes, a socket's may have {MAX_SOCKET_PATH_BYTES}; choose a shorter one")));
    }
    let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(refused("this is not the path of a file; give a folder and a name".into()));
    };
    check_replaceable(path).map_err(refused)?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let failed =
        |what: &'static str| move |error: io::Error| BindError { socket: path.display().to_string(), reason: format!("{what}: {error}") };
    let private = tempfile::Builder::new()
        .prefix(".sidegate-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(folder)
        .map_err(failed("cannot make a folder beside it (the folder must exist and be writable for this user)"))?;
    // A short name, so that the path through our handle of the folder always fits into an address.
    let hidden = private.path().join("s");
    let listener = bind_unix_at(private.path(), &hidden).map_err(failed("cannot bind it"))?;
    if group.is_some() {
        chown(&hidden, None, group.map(Gid::from_raw))
            .map_err(io::Error::from)
            .map_err(failed("cannot give it its group (this user must be root or a member of the group)"))?;
    }
    fs::set_permissions(&hidden, Permissions::from_mode(mode)).map_err(failed("cannot set its mode"))?;
    let identity = FileIdentity::at(&hidden);
    fs::rename(&hidden, path).map_err(failed("cannot move it into place"))?;
    let file = SocketFile { path: path.to_owned(), mode, group, identity };
    Ok(BoundSocket { socket: ListenSocket::Unix(listener), origin: SocketOrigin::Created, identity, socket_file: Some(file) })
}

/// Refuses a path at which there is something that a new socket must not replace.
fn check_replaceable(path: &Path) -> Result<(), String> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot look at it: {error}")),
    };
    if kind.is_symlink() {
        return Err("a symbolic link is there; remove it, or configure the path that it points to".into());
    }
    if !kind.is_socket() {
        return Err("a file that is no socket is there; remove it, or choose another path".into());
    }
    match try_connect(path) {
        Ok(()) | Err(nix::Error::EAGAIN) => Err("another process listens there; stop it, or choose another path".into()),
        Err(nix::Error::ECONNREFUSED | nix::Error::ENOENT) => Ok(()),
        Err(error) => {
            Err(format!("a socket is there, and whether a process listens on it cannot be determined ({error}); remove it if none does"))
        }
    }
}

/// Connects without waiting: a full backlog is an error, where a plain connect would wait for ever.
fn try_connect(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(probe.as_raw_fd(), &UnixAddr::new(path)?)
}

fn bind_unix_at(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    if path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    } else {
        // The private folder made the path too long; the same file has a short name through our own handle of the folder.
        let folder = fs::File::open(folder)?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(path.file_name().unwrap_or_default());
        bind(socket.as_raw_fd(), &UnixAddr::new(&short)?)?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Returns the sockets that systemd passed (`LISTEN_FDS`), Unix or TCP; empty if there are none. To be called once, before any thread
/// starts.
pub fn inherited_sockets() -> Result<Vec<BoundSocket>, BindError> {
    let descriptors = sd_notify::listen_fds().map_err(|error| BindError {
        socket: "LISTEN_FDS".into(),
        reason: format!("{error}; start the daemon by its .socket unit, or unset it"),
    })?;
    descriptors.map(adopt_inherited).collect()
}

fn adopt_inherited(descriptor: i32) -> Result<BoundSocket, BindError> {
    // SAFETY: LISTEN_PID names this process, so by sd_listen_fds(3) the descriptors from 3 on are open and owned by nobody else; this is
    // called once, before anything else can have opened a descriptor of such a number.
    #[expect(unsafe_code, reason = "an inherited descriptor has no owner yet, only its number")]
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    adopt(socket, &format!("socket {descriptor} of LISTEN_FDS"))
}

/// Takes over a socket that another process made and keeps.
pub(super) fn adopt(socket: OwnedFd, name: &str) -> Result<BoundSocket, BindError> {
    let refused = |reason: String| BindError { socket: name.to_owned(), reason };
    let is_stream = getsockopt(&socket, sockopt::SockType).is_ok_and(|kind| kind == SockType::Stream);
    if !is_stream || !getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false) {
        return Err(refused("it is not a listening stream socket; use ListenStream= and Accept=no in the .socket unit".into()));
    }
    let (unix, tcp) = (UnixListener::from(socket.try_clone().map_err(|error| refused(error.to_string()))?), TcpListener::from(socket));
    let (socket, nonblocking) = match (unix.local_addr(), tcp.local_addr()) {
        (Ok(_), _) => {
            let nonblocking = unix.set_nonblocking(true);
            (ListenSocket::Unix(unix), nonblocking)
        }
        (Err(_), Ok(address)) => {
            require_loopback(address)?;
            let nonblocking = tcp.set_nonblocking(true);
            (ListenSocket::Tcp(tcp, None), nonblocking)
        }
        _ => return Err(refused("it is neither a Unix nor a TCP socket; use a path or an address in ListenStream=".into())),
    };
    nonblocking.map_err(|error| refused(format!("cannot make it non-blocking: {error}")))?;
    let mut inherited = BoundSocket { socket, origin: SocketOrigin::Inherited, identity: None, socket_file: None };
    inherited.identity = inherited.path().as_deref().and_then(FileIdentity::at);
    Ok(inherited)
}

fn require_loopback(address: SocketAddr) -> Result<(), BindError> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let reason = "without TLS only a loopback address is served; configure tls_cert_file and tls_key_file, or listen on 127.0.0.1 or [::1]";
    Err(BindError { socket: address.to_string(), reason: reason.into() })
}

/// Binds a TCP socket; without `tls` only on a loopback address.
pub fn bind_tcp(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Result<BoundSocket, BindError> {
    if tls.is_none() {
        require_loopback(address)?;
    }
    bind_tcp_with(address, tls)
}

/// Binds a TCP socket without TLS on any address: for what whoever reaches it may read.
pub fn bind_public_tcp(address: SocketAddr) -> Result<BoundSocket, BindError> {
    bind_tcp_with(address, None)
}

fn bind_tcp_with(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Result<BoundSocket, BindError> {
    let listener = bind_tcp_at(address)
        .map_err(|error| BindError { socket: address.to_string(), reason: format!("cannot bind it (is the port taken?): {error}") })?;
    Ok(BoundSocket { socket: ListenSocket::Tcp(listener, tls), origin: SocketOrigin::Created, identity: None, socket_file: None })
}

fn bind_tcp_at(address: SocketAddr) -> io::Result<TcpListener> {
    // The standard library sets a short backlog; listening again sets a longer one.
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Registers a Unix listener with the reactor of this thread. The streams that it accepts are not registered.
pub fn register_listener(listener: UnixListener) -> io::Result<AsyncFd<UnixListener>> {
    // SAFETY: the descriptor must stay the same and open as long as the listener lives. The standard library's listener owns its
    // descriptor, never changes it, and is given to nobody but the returned `AsyncFd`.
    #[expect(unsafe_code, reason = "the safe form was deprecated for types that may change their descriptor")]
    let registered = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

impl BoundSocket {
    /// Returns the path or address for messages.
    #[must_use]
    pub fn display_name(&self) -> String {
        match (self.path(), self.address()) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => "a socket without a name".into(),
        }
    }

    /// Returns the path of a Unix socket.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        if let Some(file) = &self.socket_file {
            return Some(file.path.clone());
        }
        match &self.socket {
            ListenSocket::Unix(listener) => listener.local_addr().ok()?.as_pathname().map(Path::to_owned),
            ListenSocket::Tcp(..) => None,
        }
    }

    /// Returns the address of a TCP socket, with the port that was assigned in place of a 0.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenSocket::Unix(_) => None,
            ListenSocket::Tcp(listener, _) => listener.local_addr().ok(),
        }
    }

    /// Returns who made the socket.
    #[must_use]
    pub fn origin(&self) -> SocketOrigin {
        self.origin
    }

    /// Returns another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<ListenSocket> {
        Ok(match &self.socket {
            ListenSocket::Unix(listener) => ListenSocket::Unix(listener.try_clone()?),
            ListenSocket::Tcp(listener, tls) => ListenSocket::Tcp(listener.try_clone()?, tls.clone()),
        })
    }

    /// Returns what is at the path of the socket now; `None` for one without a path.
    #[must_use]
    pub fn path_state(&self) -> Option<(PathBuf, PathState)> {
        let path = self.path()?;
        let state = PathState::of(&path, self.identity);
        Some((path, state))
    }

    /// Binds a socket at the path of this one again, with the same mode and group, as [`bind_unix`] does; `None` if we did not make it.
    #[must_use]
    pub fn bind_again(&self) -> Option<Result<Self, BindError>> {
        self.socket_file.as_ref().map(|file| bind_unix(&file.path, file.mode, file.group))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if PathState::of(&self.path, self.identity) == PathState::Ours
            && let Err(error) = fs::remove_file(&self.path)
        {
            let path = self.path.display();
            tracing::warn!(%path, %error, "failed to remove the socket {path}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    use super::{BoundSocket, bind_tcp, bind_unix, inherited_sockets};

    fn bind_error(made: Result<BoundSocket, super::BindError>) -> String {
        made.err().unwrap().to_string()
    }

    #[test]
    fn a_socket_has_its_mode_and_group_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let group = nix::unistd::Gid::current().as_raw();
        let made = bind_unix(&path, 0o620, Some(group)).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.permissions().mode() & 0o7777, found.gid()), (0o620, group));
        assert_eq!((made.path().unwrap(), made.display_name()), (path.clone(), path.display().to_string()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        UnixStream::connect(&path).unwrap();
        drop(made);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_used_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        drop(UnixListener::bind(&path).unwrap());
        let ours = bind_unix(&path, 0o600, None).unwrap();
        assert!(bind_error(bind_unix(&path, 0o600, None)).contains("another process listens"));
        drop(ours);
    }

    #[test]
    fn a_socket_with_a_full_backlog_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let mut waiting = Vec::new();
        while super::try_connect(&path).is_ok() {
            waiting.push(());
        }
        assert!(bind_error(bind_unix(&path, 0o600, None)).contains("another process listens"));
    }

    #[test]
    fn the_socket_of_a_successor_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let ours = bind_unix(&path, 0o600, None).unwrap();
        fs::remove_file(&path).unwrap();
        let successor = bind_unix(&path, 0o600, None).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(successor);
    }

    #[test]
    fn links_and_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "precious").unwrap();
        symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(bind_error(bind_unix(&file, 0o600, None)).contains("no socket"));
        assert!(bind_error(bind_unix(&link, 0o600, None)).contains("symbolic link"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert!(bind_error(bind_unix(&folder.path().join("no/api.sock"), 0o600, None)).contains("the folder must exist"));
        assert!(bind_error(bind_unix(Path::new("/"), 0o600, None)).contains("a folder and a name"));
    }

    #[test]
    fn a_path_may_have_107_bytes_and_not_one_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = |bytes: usize| folder.path().join("s".repeat(bytes - folder.path().as_os_str().len() - 1));
        let made = bind_unix(&path(107), 0o600, None).unwrap();
        UnixStream::connect(path(107)).unwrap();
        drop(made);
        assert!(bind_error(bind_unix(&path(108), 0o600, None)).contains("108 bytes"));
    }

    #[test]
    fn tcp_without_tls_stays_on_this_host() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            assert!(bind_error(bind_tcp(address.parse().unwrap(), None)).contains("loopback"), "{address}");
        }
        let made = bind_tcp("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let address = made.address().unwrap();
        assert_eq!(made.display_name(), address.to_string());
        assert!(bind_error(bind_tcp(address, None)).contains("is the port taken"));
    }

    /// Runs in a process of its own, started by the tests after it with a socket as descriptor 3.
    #[test]
    #[ignore = "started by a_socket_that_systemd_made_is_taken_over"]
    fn with_an_inherited_socket() {
        let expected = std::env::var("EXPECTED").unwrap();
        match inherited_sockets() {
            Ok(sockets) => {
                let names: Vec<_> = sockets.iter().map(BoundSocket::display_name).collect();
                assert_eq!(names.join(" "), expected);
                drop(sockets);
                assert!(!expected.starts_with('/') || Path::new(&expected).exists(), "what systemd made is not ours to remove");
            }
            Err(refused) => assert!(refused.to_string().contains(&expected), "{refused}"),
        }
    }

    fn pass_to_child(socket: std::os::fd::OwnedFd, expected: &str) {
        let tests = std::env::current_exe().unwrap();
        let test = "net::server::listen::tests::with_an_inherited_socket";
        let run = format!("exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec '{}' --ignored --exact {test}", tests.display());
        let output = std::process::Command::new("sh").args(["-c", &run]).env("EXPECTED", expected).stdin(socket).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    }

    #[test]
    fn a_socket_that_systemd_made_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        pass_to_child(UnixListener::bind(&path).unwrap().into(), path.to_str().unwrap());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        pass_to_child(tcp.into(), &address);
        pass_to_child(std::net::TcpListener::bind("0.0.0.0:0").unwrap().into(), "loopback");
        pass_to_child(UnixStream::pair().unwrap().0.into(), "not a listening stream socket");
        pass_to_child(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(), "not a listening stream socket");
    }

    #[test]
    fn without_systemd_nothing_is_handed_over() {
        assert!(inherited_sockets().unwrap().is_empty());
    }
}
