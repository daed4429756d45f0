//! The certificate that a TCP socket shows: it can be replaced while connections are open, which keep theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::net::server::listen::BindError;

/// The certificate of one address, and the files that it is read from.
#[derive(Debug)]
pub struct ServerCertificate {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl ServerCertificate {
    /// Loads it from PEM files. Refuses a key that others than its owner can read, and one that does not go with the chain.
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Self>, BindError> {
        let current = ArcSwap::new(load_key(chain, key)?);
        Ok(Arc::new(Self { chain: chain.to_owned(), key: key.to_owned(), current }))
    }

    /// Returns the file of the chain.
    #[must_use]
    pub fn chain_file(&self) -> &Path {
        &self.chain
    }

    /// Reads the files again, and changes nothing: what was read is for [`Self::replace`].
    pub fn read_again(&self) -> Result<Arc<CertifiedKey>, BindError> {
        load_key(&self.chain, &self.key)
    }

    /// Shows this one from the next connection on.
    pub fn replace(&self, next: Arc<CertifiedKey>) {
        self.current.store(next);
    }

    /// Returns the configuration of TLS 1.2 and 1.3 that shows it.
    pub fn tls_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, BindError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| BindError { socket: self.chain.display().to_string(), reason: format!("TLS cannot be set up: {error}") })?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Loads the configuration of TLS 1.2 and 1.3 from PEM files. Refuses a key that others than its owner can read.
pub fn load_tls_config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, BindError> {
    ServerCertificate::load(certificates, key)?.tls_config()
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn load_key(certificates: &Path, key: &Path) -> Result<Arc<CertifiedKey>, BindError> {
    let refused = |file: &Path, reason: String| BindError { socket: file.display().to_string(), reason };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect)
        .map_err(|error| refused(certificates, format!("cannot read certificates in PEM from it: {error}")))?;
    if chain.is_empty() {
        return Err(refused(certificates, "it has no certificate in PEM; give the chain, our own certificate first".into()));
    }
    let mode = fs::metadata(key).map_err(|error| refused(key, format!("cannot read it: {error}")))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(refused(key, "others than its owner can read it; chmod 0600, or hand it over with LoadCredential=".into()));
    }
    let private_key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, format!("cannot read a private key in PEM from it: {error}")))?;
    CertifiedKey::from_der(chain, private_key, &rustls::crypto::aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|error| refused(certificates, format!("it does not go with the key in {}: {error}", key.display())))
}
