//! One HTTP/2 connection to a Gitaly server: over a Unix socket, TCP, or TLS. It ends when it is dropped, whatever is under way on it.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tower_service::Service;

use crate::net::gitaly::address::GitalyAddress;

type BoxError = Box<dyn Error + Send + Sync>;

/// An open connection. `Clone` of its service shares it.
pub struct GitalyConnection {
    /// Sends requests on it.
    pub service: Http2Service,
    /// What reads and writes; aborted with the connection, so that a server that never reads holds nothing here.
    _driver: JoinSet<()>,
}

/// Sends the requests of gRPC on one connection.
#[derive(Clone)]
pub struct Http2Service(SendRequest<Body>);

impl GitalyConnection {
    /// Connects; with TLS by `tls`, which must offer `h2`.
    pub async fn open(address: &GitalyAddress, tls: Option<Arc<ClientConfig>>) -> Result<Self, BoxError> {
        match address {
            GitalyAddress::Unix(path) => Self::start(UnixStream::connect(path).await?).await,
            GitalyAddress::Tcp(host, port) => Self::start(connect_tcp(host, *port).await?).await,
            GitalyAddress::Tls(host, port) => {
                let config = tls.ok_or("TLS is not set up")?;
                let name = ServerName::try_from(host.clone())?;
                let stream = TlsConnector::from(config).connect(name, connect_tcp(host, *port).await?).await?;
                Self::start(stream).await
            }
        }
    }

    async fn start(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, BoxError> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        // Its error reaches the request that is under way.
        driver.spawn(async move { drop(connection.await) });
        Ok(Self { service: Http2Service(sender), _driver: driver })
    }
}

async fn connect_tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Service<Request<Body>> for Http2Service {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
