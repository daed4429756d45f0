//! The certificates that a daemon shows to other hosts: they can be read, their key is theirs, and they are valid now and for a while.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::findings::Findings;
use crate::cli::units::duration_text;
use crate::model::time::Time;
use crate::net::server::certificate;
use crate::wire::certificate_expiry::{not_after, not_before};

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// From when until when a chain is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

const OTHERWISE: &str = "name the files of a certificate and of its key, in PEM, that the daemon's user may read";

/// Finds what the daemon would refuse of a chain of certificates and its key. `section` of the configuration names the files.
pub fn check_files(section: &str, chain: &Path, key: &Path, daemon: &DaemonUser, found: &mut Findings) {
    if let Err(error) = daemon.act(|| certificate::load_tls_config(chain, key)) {
        found.refuse(format!("{section}: {error}"), OTHERWISE);
    }
}

/// Judges how long the certificate is valid, which a daemon does not look at when it starts.
pub fn check_validity(section: &str, chain: &Path, now: Time, daemon: &DaemonUser, found: &mut Findings) {
    if let Some(validity) = daemon.act(|| read_validity(chain)) {
        judge_validity(&format!("{section}: the certificate in {}", chain.display()), validity, now, found);
    }
}

/// Returns how long a chain is valid: from the beginning of its first certificate to the first end of any. `None` if it cannot be read, which
/// is found where it is loaded.
fn read_validity(chain: &Path) -> Option<Validity> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain).ok()?.flatten().collect();
    let ends = certificates.iter().filter_map(|certificate| not_after(certificate));
    Some(Validity { not_before: not_before(certificates.first()?).unwrap_or(Time::EPOCH), not_after: ends.min()? })
}

fn judge_validity(name: &str, validity: Validity, now: Time, found: &mut Findings) {
    let Validity { not_before, not_after } = validity;
    let renew = "renew it, and restart the daemon";
    if now > not_after {
        found.fail(format!("{name} expired on {}, so no host connects", not_after.day()), renew);
    } else if now < not_before {
        found.fail(format!("{name} is valid only from {not_before}, and it is {now}"), "set the clock, or take another certificate");
    } else if not_after.since(now) < SOON {
        found.warn(format!("{name} expires in {}, on {}", duration_text(not_after.since(now).as_secs()), not_after.day()), renew);
    } else {
        found.ok(format!("{name} is valid until {}", not_after.day()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Validity, judge_validity};
    use crate::cli::check::findings::{Findings, Level};

    #[test]
    fn a_certificate_is_judged_by_now() {
        let validity = Validity { not_before: "2026-01-10T00:00:00Z".parse().unwrap(), not_after: "2026-03-01T00:00:00Z".parse().unwrap() };
        let level = |now: &str| {
            let mut found = Findings::default();
            judge_validity("it", validity, now.parse().unwrap(), &mut found);
            found.as_slice()[0].level
        };
        assert_eq!(level("2026-01-09T23:59:59Z"), Level::Error);
        assert_eq!(level("2026-02-15T00:00:00Z"), Level::Ok);
        assert_eq!(level("2026-02-15T00:00:01Z"), Level::Warning);
        assert_eq!(level("2026-03-01T00:00:01Z"), Level::Error);
    }
}
