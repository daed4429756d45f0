//! A stand-in for Gitaly: an HTTP/2 server that speaks `CreateRepository` as Gitaly does, checks the token, remembers the repositories that
//! it created, and is slow, silent or broken on demand. It is written on hyper and not on what the primary uses, so that both do not agree
//! on the same mistake.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

/// How long a test waits for a call.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a call comes to.
#[derive(Clone, Debug)]
pub enum Behavior {
    /// The repository is created; ALREADY_EXISTS if it is there.
    Create,
    /// The same, once the behavior is another.
    Wait,
    /// The answer is this status, with its text.
    Status(u32, &'static str),
    /// Connections are accepted and nothing is ever answered, not even HTTP/2's first frame.
    Silent,
    /// The connection is closed in the middle of the call.
    HangUp,
    /// The repository is created, and the connection is closed before the answer.
    CreateAndHangUp,
    /// The answer is that of a web server.
    NotFound,
}

/// One call, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub storage: String,
    pub relative_path: String,
    pub gl_repository: String,
    pub gl_project_path: String,
    pub default_branch: String,
}

/// A server that runs; it ends when it is dropped.
pub struct FakeGitaly {
    pub address: String,
    shared: Arc<Shared>,
    behavior: watch::Sender<Behavior>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

struct Shared {
    token: String,
    calls: Mutex<Vec<Call>>,
    called: Condvar,
    repositories: Mutex<HashSet<(String, String)>>,
}

// `proto/shared.proto` and `proto/repository.proto` of Gitaly.
#[derive(Clone, PartialEq, prost::Message)]
struct RepositoryMessage {
    #[prost(string, tag = "2")]
    storage_name: String,
    #[prost(string, tag = "3")]
    relative_path: String,
    #[prost(string, tag = "6")]
    gl_repository: String,
    #[prost(string, tag = "8")]
    gl_project_path: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestMessage {
    #[prost(message, optional, tag = "1")]
    repository: Option<RepositoryMessage>,
    #[prost(bytes = "vec", tag = "2")]
    default_branch: Vec<u8>,
}

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener, Option<tokio_rustls::TlsAcceptor>),
}

impl FakeGitaly {
    /// On a Unix socket in this folder.
    pub fn on_unix(folder: &Path, token: &str) -> Self {
        let path = folder.join("gitaly.sock");
        let address = format!("unix:{}", path.display());
        Self::start(token, address, move || Socket::Unix(UnixListener::bind(&path).unwrap()))
    }

    /// On a TCP port of its own.
    pub fn on_tcp(token: &str) -> Self {
        let (listener, address) = free_port();
        Self::start(token, format!("tcp://{address}"), move || Socket::Tcp(TcpListener::from_std(listener).unwrap(), None))
    }

    /// With TLS, for `localhost`; the certificate, by which it is trusted, is in this file from then on.
    pub fn on_tls(certificate_file: &Path, token: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(certificate_file, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (listener, address) = free_port();
        let address = format!("tls://localhost:{}", address.port());
        Self::start(token, address, move || Socket::Tcp(TcpListener::from_std(listener).unwrap(), Some(acceptor)))
    }

    fn start(token: &str, address: String, bind: impl FnOnce() -> Socket + Send + 'static) -> Self {
        let shared =
            Arc::new(Shared { token: token.to_owned(), calls: Mutex::default(), called: Condvar::new(), repositories: Mutex::default() });
        let (behavior, _) = watch::channel(Behavior::Create);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (served, watched) = (Arc::clone(&shared), behavior.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let socket = bind();
                ready.send(()).unwrap();
                tokio::select! { _ = stopped => {}, () = accept(socket, served, watched) => {} }
            });
        });
        is_ready.recv_timeout(TIMEOUT).unwrap();
        Self { address, shared, behavior, _stop: stop }
    }

    /// From now on, and for calls that wait.
    pub fn set(&self, behavior: Behavior) {
        self.behavior.send_replace(behavior);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// Waits until so many calls have arrived since the start, whatever became of them.
    pub fn wait_for_calls(&self, count: usize) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap();
        let (calls, waited) = self.shared.called.wait_timeout_while(calls, TIMEOUT, |calls| calls.len() < count).unwrap();
        assert!(!waited.timed_out(), "{count} calls of Gitaly were expected: {calls:?}");
        calls.clone()
    }

    /// The paths of the repositories that are there.
    pub fn repositories(&self) -> HashSet<String> {
        self.shared.repositories.lock().unwrap().iter().map(|(_, path)| path.clone()).collect()
    }
}

fn free_port() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accept(socket: Socket, shared: Arc<Shared>, behavior: watch::Sender<Behavior>) {
    loop {
        match &socket {
            Socket::Unix(listener) => serve(listener.accept().await.unwrap().0, &shared, &behavior),
            Socket::Tcp(listener, None) => serve(listener.accept().await.unwrap().0, &shared, &behavior),
            Socket::Tcp(listener, Some(tls)) => {
                let stream = listener.accept().await.unwrap().0;
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream, &shared, &behavior);
                }
            }
        }
    }
}

fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, shared: &Arc<Shared>, behavior: &watch::Sender<Behavior>) {
    let (shared, behavior) = (Arc::clone(shared), behavior.clone());
    tokio::spawn(async move {
        if matches!(*behavior.borrow(), Behavior::Silent) {
            let _held = stream;
            return std::future::pending().await;
        }
        let (hang_up, hung_up) = tokio::sync::mpsc::channel::<()>(1);
        let service = hyper::service::service_fn(move |request| {
            let (shared, behavior, hang_up) = (Arc::clone(&shared), behavior.clone(), hang_up.clone());
            async move { Ok::<_, std::convert::Infallible>(answer(request, &shared, &behavior, &hang_up).await) }
        });
        let mut hung_up = hung_up;
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::select! { _ = connection => {}, Some(()) = hung_up.recv() => {} }
    });
}

type AnswerBody = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>>;

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
    behavior: &watch::Sender<Behavior>,
    hang_up: &tokio::sync::mpsc::Sender<()>,
) -> Response<AnswerBody> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if parts.uri.path() != "/gitaly.RepositoryService/CreateRepository" || parts.headers["content-type"] != "application/grpc" {
        return status(12, "unknown method");
    }
    assert!(parts.headers.contains_key("grpc-timeout") && parts.headers["te"] == "trailers", "{parts:?}");
    if let Err((code, text)) = check_token(shared, parts.headers.get("authorization").and_then(|value| value.to_str().ok())) {
        return status(code, text);
    }
    let message = RequestMessage::decode(&body[5..]).unwrap();
    assert_eq!((body[0], u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize), (0, body.len() - 5), "gRPC's frame");
    let repository = message.repository.unwrap();
    let call = Call {
        storage: repository.storage_name.clone(),
        relative_path: repository.relative_path.clone(),
        gl_repository: repository.gl_repository,
        gl_project_path: repository.gl_project_path,
        default_branch: String::from_utf8(message.default_branch).unwrap(),
    };
    shared.calls.lock().unwrap().push(call);
    shared.called.notify_all();
    let mut behavior = behavior.subscribe();
    let behavior = behavior.wait_for(|behavior| !matches!(behavior, Behavior::Wait | Behavior::Silent)).await.unwrap().clone();
    let key = (repository.storage_name, repository.relative_path);
    let create = || shared.repositories.lock().unwrap().insert(key.clone());
    match behavior {
        Behavior::Create if create() => created(),
        Behavior::Create => status(6, "repository exists already"),
        Behavior::Status(code, text) => status(code, text),
        Behavior::NotFound => Response::builder().status(404).header("content-type", "text/html").body(frames(Vec::new())).unwrap(),
        Behavior::HangUp | Behavior::CreateAndHangUp => {
            if matches!(behavior, Behavior::CreateAndHangUp) {
                create();
            }
            let _ = hang_up.send(()).await;
            std::future::pending().await
        }
        Behavior::Wait | Behavior::Silent => unreachable!(),
    }
}

/// As Gitaly's own: no token is UNAUTHENTICATED, a wrong one or one of another time PERMISSION_DENIED.
fn check_token(shared: &Shared, authorization: Option<&str>) -> Result<(), (u32, &'static str)> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    if shared.token.is_empty() {
        return Ok(());
    }
    let Some(shown) = authorization.and_then(|value| value.strip_prefix("Bearer v2.")) else {
        return Err((16, "authentication required"));
    };
    let (hex, seconds) = shown.split_once('.').unwrap();
    let mut hmac = Hmac::<Sha256>::new_from_slice(shared.token.as_bytes()).unwrap();
    hmac.update(seconds.as_bytes());
    let expected: String = hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().abs_diff(seconds.parse().unwrap());
    if hex == expected && age <= 30 { Ok(()) } else { Err((7, "permission denied")) }
}

fn created() -> Response<AnswerBody> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = frames(vec![Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)]);
    Response::builder().header("content-type", "application/grpc").body(frames).unwrap()
}

fn status(code: u32, text: &str) -> Response<AnswerBody> {
    let answer = Response::builder().header("content-type", "application/grpc").header("grpc-status", code);
    answer.header("grpc-message", text).body(frames(Vec::new())).unwrap()
}

fn frames(frames: Vec<Frame<Bytes>>) -> AnswerBody {
    StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok).collect::<Vec<_>>()))
}
