//! Tests of the client and the server together: TLS, and connections that many runtimes share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::RequestError;
use crate::net::message::{Request, Response};
use crate::net::server::certificate;
use crate::net::server::counters::ServerCounters;
use crate::net::server::early_refusals::EarlyRefusal;
use crate::net::server::handler::Handler;
use crate::net::server::http_server::HttpServer;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen::{self, BoundSocket};

pub(in crate::net) const LONG: Duration = Duration::from_secs(30);

pub(in crate::net) fn get(path: &str) -> http::Request<OutgoingBody> {
    http::Request::get(path).body(OutgoingBody::from_bytes(Bytes::new())).unwrap()
}

pub(in crate::net) fn post(path: &str, body: &'static str) -> http::Request<OutgoingBody> {
    http::Request::post(path).body(OutgoingBody::from_bytes(body)).unwrap()
}

pub(in crate::net) async fn response_text(client: &HttpClient, request: http::Request<OutgoingBody>) -> String {
    let answer = client.send(request, LONG).await.unwrap();
    String::from_utf8(answer.into_body().read(1 << 20, LONG).await.unwrap().to_vec()).unwrap()
}

pub(in crate::net) async fn request_error(client: &HttpClient, request: http::Request<OutgoingBody>, within: Duration) -> RequestError {
    client.send(request, within).await.err().unwrap()
}

/// Responds with the request.
struct EchoHandler;

impl Handler for EchoHandler {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        let host = request.parts.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
        let body = format!("{} {} {}", request.parts.method, request.parts.uri, host.unwrap_or_default());
        let body = if request.parts.method == Method::POST { Bytes::from(body) } else { request.body.read(100, LONG).await.unwrap() };
        Response::json(StatusCode::OK, body)
    }
}

struct TlsServer {
    address: std::net::SocketAddr,
    server: HttpServer,
    ca: PathBuf,
    _folder: tempfile::TempDir,
    counters: Arc<ServerCounters>,
}

fn start_tls_server() -> TlsServer {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (ca, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&ca, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    assert!(certificate::load_tls_config(&ca, &key).err().unwrap().reason.contains("0600"), "a key that others can read");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let socket = listen::bind_tcp("127.0.0.1:0".parse().unwrap(), Some(certificate::load_tls_config(&ca, &key).unwrap())).unwrap();
    let address = BoundSocket::address(&socket).unwrap();
    let counters = Arc::new(ServerCounters::default());
    let server = HttpServer::start(vec![socket], Arc::new(EchoHandler), ServerLimits::default(), 1, Arc::clone(&counters)).unwrap();
    TlsServer { address, server, counters, ca, _folder: folder }
}

#[tokio::test]
async fn https_connects_only_to_the_host_that_the_certificate_names() {
    let tls = start_tls_server();
    let port = tls.address.port();
    let client = HttpClient::new(&format!("https://localhost:{port}/gitlab/"), Some(&tls.ca), false).unwrap();
    assert_eq!(response_text(&client, post("/api/v4/x?y", "z")).await, format!("POST /gitlab/api/v4/x?y localhost:{port}"));
    let other_name = HttpClient::new(&format!("https://127.0.0.1:{port}"), Some(&tls.ca), false).unwrap();
    assert!(!request_error(&other_name, post("/", "secret"), LONG).await.may_have_reached);
    let plain = HttpClient::new(&format!("http://127.0.0.1:{port}"), None, false).unwrap();
    request_error(&plain, get("/"), LONG).await;
    drop((client, other_name, plain));
    tokio::task::spawn_blocking(|| tls.server.stop()).await.unwrap();
    let refusals = &tls.counters.early_refusals;
    assert_eq!(refusals.count(EarlyRefusal::TlsHandshake), 2, "a client that wants another name, and one without TLS");
    assert!(refusals.last().unwrap().peer.starts_with("127.0.0.1:"));
}

#[test]
fn many_runtimes_share_the_connections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    let server = HttpServer::start(
        vec![listen::bind_unix(&path, 0o600, None).unwrap()],
        Arc::new(EchoHandler),
        ServerLimits::default(),
        1,
        Arc::default(),
    )
    .unwrap();
    let client = HttpClient::new(&format!("http+unix://{}", path.display()), None, false).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                for number in 0..100 {
                    let body = format!("{number}");
                    let request = http::Request::put("/")
                        .body(OutgoingBody::relay(IncomingBody::from_bytes(body.clone().into()), 100, LONG))
                        .unwrap();
                    assert_eq!(runtime.block_on(response_text(&client, request)), body);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    server.stop();
}
