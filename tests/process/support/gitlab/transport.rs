//! Listening over a Unix socket, TCP or TLS, and connections that all look alike.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::fake_primary::RecordedRequest;
use crate::support::gitlab::Endpoint;

/// Both halves of a connection.
trait Transport: Read + Write + Send {}
impl<T: Read + Write + Send> Transport for T {}

/// A connection on which requests come.
pub struct Stream(BufReader<Box<dyn Transport>>);

/// Somebody listens until this is dropped; connections that are open then are cut.
pub struct Listener {
    stopped: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<RawStream>>>,
    /// Another handle of the socket that accepts.
    socket: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

/// What a connection is cut by.
enum RawStream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A server's certificate, and the authority that signed it.
pub struct Certificate {
    authority: CertifiedIssuer<'static, KeyPair>,
    current: Mutex<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Certificate")
    }
}

impl Stream {
    /// Returns the next request; `None` when the other side has had enough.
    pub fn read_request(&mut self) -> Option<RecordedRequest> {
        RecordedRequest::read_from(&mut self.0)
    }

    /// Writes an answer, and returns whether that went well.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let stream = self.0.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
    }
}

impl Listener {
    /// Listens, writes the port that was given into the endpoint, and hands each connection to a thread of its own.
    pub fn bind(endpoint: &mut Endpoint, serve: impl Fn(Stream) + Send + Sync + 'static) -> Self {
        let (stopped, open, serve) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<RawStream>>>::default(), Arc::new(serve));
        let accepted = {
            let open = Arc::clone(&open);
            move |raw: RawStream, wrap: Box<dyn FnOnce() -> Option<Box<dyn Transport>> + Send>| {
                let ends = raw.try_clone();
                open.lock().unwrap().push(raw);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || {
                    if let Some(transport) = wrap() {
                        serve(Stream(BufReader::new(transport)));
                    }
                    // The other handle of it stays open.
                    ends.cut();
                });
            }
        };
        let is_stopped = Arc::clone(&stopped);
        let (socket, thread) = match endpoint {
            Endpoint::Unix(path) => {
                let _ = std::fs::remove_file(&path);
                let listener = UnixListener::bind(&path).unwrap();
                let socket = OwnedFd::from(listener.try_clone().unwrap());
                let run = move || {
                    while let Ok((stream, _)) = listener.accept()
                        && !is_stopped.load(Ordering::SeqCst)
                    {
                        accepted(RawStream::Unix(stream.try_clone().unwrap()), Box::new(move || Some(Box::new(stream) as Box<_>)));
                    }
                };
                (socket, std::thread::spawn(run))
            }
            Endpoint::Tcp(address) | Endpoint::Tls { address, .. } => {
                let listener = TcpListener::bind(*address).unwrap();
                *address = listener.local_addr().unwrap();
                let socket = OwnedFd::from(listener.try_clone().unwrap());
                let certificate = if let Endpoint::Tls { certificate, .. } = endpoint { Some(Arc::clone(certificate)) } else { None };
                let run = move || {
                    while let Ok((stream, _)) = listener.accept()
                        && !is_stopped.load(Ordering::SeqCst)
                    {
                        let certificate = certificate.clone();
                        accepted(RawStream::Tcp(stream.try_clone().unwrap()), Box::new(move || wrap_tcp(stream, certificate.as_deref())));
                    }
                };
                (socket, std::thread::spawn(run))
            }
        };
        Self { stopped, open, socket, thread: Some(thread) }
    }
}

fn wrap_tcp(stream: TcpStream, certificate: Option<&Certificate>) -> Option<Box<dyn Transport>> {
    let _ = stream.set_nodelay(true);
    let Some(certificate) = certificate else { return Some(Box::new(stream)) };
    let config = Arc::clone(&certificate.current.lock().unwrap());
    Some(Box::new(StreamOwned::new(ServerConnection::new(config).ok()?, stream)))
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A thread that waits in `accept` is woken by it.
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.open.lock().unwrap().drain(..).for_each(|stream| stream.cut());
    }
}

impl RawStream {
    fn try_clone(&self) -> Self {
        match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
        }
    }

    fn cut(&self) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
        };
    }
}

impl Certificate {
    /// Makes an authority, whose certificate goes to a file, and has it sign one for `localhost`.
    pub fn issue(ca_file: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a private authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(ca_file, authority.pem()).unwrap();
        let current = Mutex::new(server_config(&authority, 2099));
        Self { authority, current }
    }

    /// From the next connection on the certificate is one that has expired.
    pub fn expire(&self) {
        *self.current.lock().unwrap() = server_config(&self.authority, 2021);
    }

    /// From the next connection on it is valid again.
    pub fn renew(&self) {
        *self.current.lock().unwrap() = server_config(&self.authority, 2099);
    }
}

fn server_config(authority: &CertifiedIssuer<'static, KeyPair>, last_year: i32) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}
