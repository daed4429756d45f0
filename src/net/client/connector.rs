//! Opens a connection to the primary, with the connectors of hyperlocal (Unix), hyper-util (TCP) and hyper-rustls (TLS).

use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyperlocal::UnixConnector;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use crate::net::client::primary_url::PrimaryUrl;
use crate::net::client::root_certificates;

/// Opens connections to one primary.
pub enum Connector {
    /// Connects to a Unix socket; its URI, and its path for messages.
    Unix(Uri, String),
    /// Connects to a host, by scheme and authority.
    Http(Box<HttpsConnector<HttpConnector>>, Uri),
}

/// A connection that counts what is written to it.
pub struct CountingStream {
    io: Box<dyn IoStream>,
    bytes_written: Arc<AtomicU64>,
}

trait IoStream: Read + Write + Send + Unpin {}

impl<IO: Read + Write + Send + Unpin> IoStream for IO {}

impl Connector {
    /// Returns a connector for a URL. `ca_file` replaces the system's root certificates.
    pub fn new(url: PrimaryUrl, ca_file: Option<&Path>) -> Result<Self, String> {
        let origin = match url {
            PrimaryUrl::Unix(path) => return Ok(Self::Unix(hyperlocal::Uri::new(&path, "/").into(), path.display().to_string())),
            PrimaryUrl::Http { origin, .. } => origin,
        };
        let roots = match (origin.scheme_str(), ca_file) {
            (Some("https"), Some(file)) => root_certificates::load_ca_file(file)?,
            (Some("https"), None) => root_certificates::load_system_roots()?,
            _ => RootCertStore::empty(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self::Http(Box::new(tls), origin))
    }

    /// Returns the path or origin for messages.
    pub fn display_name(&self) -> String {
        match self {
            Self::Unix(_, path) => path.clone(),
            Self::Http(_, origin) => origin.to_string().trim_end_matches('/').to_owned(),
        }
    }

    /// Connects, and with TLS completes the handshake. `bytes_written` counts from then on.
    pub async fn connect(&self, bytes_written: Arc<AtomicU64>) -> Result<CountingStream, Box<dyn Error + Send + Sync>> {
        let io: Box<dyn IoStream> = match self {
            Self::Unix(socket, _) => Box::new(UnixConnector.call(socket.clone()).await?),
            Self::Http(connector, origin) => {
                // Its `poll_ready` is always ready and needs no call before.
                let mut connector = connector.clone();
                Box::new(connector.call(origin.clone()).await?)
            }
        };
        Ok(CountingStream { io, bytes_written })
    }
}

impl Read for CountingStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(context, buffer)
    }
}

impl Write for CountingStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io).poll_write(context, bytes);
        self.count_written(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io).poll_write_vectored(context, pieces);
        self.count_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(context)
    }
}

impl CountingStream {
    fn count_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.bytes_written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }
}
