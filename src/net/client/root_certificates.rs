//! The root certificates that servers are verified by: those of a configured file, or the system's.

use std::error::Error;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Returns the certificates of a file in PEM, of which there is at least one. Blocks.
pub fn load_ca_file(file: &Path) -> Result<RootCertStore, String> {
    let unreadable = |error: &dyn Error| format!("cannot read certificates in PEM from ca_file {}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        roots.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(format!("ca_file {} has no certificate in PEM", file.display()));
    }
    Ok(roots)
}

/// Returns the root certificates of the system, of which there is at least one. Blocks.
pub fn load_system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("the system has no root certificates; install ca-certificates, or set ca_file".into());
    }
    Ok(roots)
}
