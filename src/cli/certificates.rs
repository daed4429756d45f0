//! Until when the certificates are good that a daemon loads: of its own chain the first that ends, of those that it trusts the last.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::api::daemon_metrics::DaemonFacts;
use crate::model::time::Time;
use crate::wire::certificate_expiry::not_after;

/// Notes when the chain ends that the daemon shows to others: it is good until the first of its certificates ends.
pub fn note_own_chain(facts: &DaemonFacts, file: &Path) {
    facts.certificates.note(file.display().to_string(), ends(file).min());
}

/// Notes when the last of the certificates ends by which the daemon judges others.
pub fn note_trusted(facts: &DaemonFacts, file: &Path) {
    facts.certificates.note(file.display().to_string(), ends(file).max());
}

/// Returns when the certificates of a file end. What cannot be read is refused where the file is loaded.
fn ends(file: &Path) -> impl Iterator<Item = Time> {
    let certificates = CertificateDer::pem_file_iter(file).into_iter().flatten();
    certificates.filter_map(|certificate| certificate.ok().and_then(|certificate| not_after(&certificate)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::ends;

    #[test]
    fn of_a_file_with_several_certificates_each_end_is_read_and_of_none_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pem = |year| {
            let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        let file = folder.path().join("chain.pem");
        std::fs::write(&file, pem(2031) + &pem(2029) + "# a comment\n" + &pem(2035)).unwrap();
        assert_eq!(ends(&file).min().map(|end| end.day()), Some("2029-01-01".to_owned()));
        assert_eq!(ends(&file).max().map(|end| end.day()), Some("2035-01-01".to_owned()));
        assert_eq!(ends(&folder.path().join("missing")).next(), None);
    }
}
