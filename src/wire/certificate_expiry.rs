//! When a certificate begins and ends: `notBefore` and `notAfter` of an X.509 certificate in DER (RFC 5280, 4.1), and nothing else of it. Whether it is good is the TLS
//! library's to judge, which does not say until when.

use crate::model::time::Time;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Returns when the certificate begins; `None` for bytes that are no certificate, or one that begins before 1970.
#[must_use]
pub fn not_before(certificate: &[u8]) -> Option<Time> {
    first_time(validity(certificate)?)
}

/// Returns when the certificate ends; `None` for bytes that are no certificate, or one that ends before 1970.
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<Time> {
    let (_, after_begin) = any_element(validity(certificate)?)?;
    first_time(after_begin)
}

/// Returns the content of `validity`: two times.
fn validity(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    for skipped in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = element(fields, skipped)?;
    }
    element(fields, SEQUENCE).map(|(validity, _)| validity)
}

fn first_time(times: &[u8]) -> Option<Time> {
    let (tag, text) = (*times.first()?, any_element(times)?.0);
    parse_time(tag, std::str::from_utf8(text).ok()?)
}

/// Splits off an element with this tag: its content, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if *bytes.first()? == tag { any_element(bytes) } else { None }
}

fn any_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, content) = match *bytes.get(1)? {
        short @ 0..=0x7f => (usize::from(short), bytes.get(2..)?),
        long @ 0x81..=0x84 => {
            let (digits, content) = bytes.get(2..)?.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), content)
        }
        _ => return None,
    };
    content.split_at_checked(length)
}

/// Parses `YYMMDDhhmmssZ`, of 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn parse_time(tag: u8, text: &str) -> Option<Time> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let digits = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    // A certificate without an end says the last second of 9999, which is beyond what a time here can be.
    if digits.starts_with("9999") {
        return Some(Time::LAST);
    }
    let [year, month, day, hour, minute, second] =
        [(0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14)].map(|(from, to)| digits.get(from..to).unwrap_or_default());
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{not_after, not_before};
    use crate::model::time::Time;

    fn certificate_until(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["gitlab.example.com".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 9);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_a_time() {
        for (year, end) in [(2027, "2027-03-09T00:00:00Z"), (2049, "2049-03-09T00:00:00Z"), (2051, "2051-03-09T00:00:00Z")] {
            assert_eq!(not_after(&certificate_until(year)), Some(end.parse::<Time>().unwrap()), "{year}");
        }
        assert_eq!(not_after(&certificate_until(1969)), None);
        assert_eq!(not_after(&certificate_until(9999)), Some(Time::LAST));
    }

    #[test]
    fn the_beginning_of_a_certificate_is_read() {
        let mut params = CertificateParams::new(vec!["gitlab.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 31);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(not_before(certificate.der()), Some("2026-01-31T00:00:00Z".parse::<Time>().unwrap()));
        assert_eq!(not_before(b"-----BEGIN CERTIFICATE-----"), None);
    }

    #[test]
    fn what_is_cut_short_or_no_certificate_has_no_end() {
        let whole = certificate_until(2030);
        let needed = (0..=whole.len()).find(|length| not_after(&whole[..*length]).is_some()).unwrap();
        assert_eq!(needed, whole.len(), "the outermost length says that something is missing");
        assert_eq!(not_after(b"-----BEGIN CERTIFICATE-----"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0_usize..400, byte in any::<u8>()) {
            let _ = not_after(&bytes);
            let mut certificate = certificate_until(2030);
            if let Some(place) = certificate.get_mut(at) {
                *place = byte;
            }
            let _ = not_after(&certificate);
        }
    }
}
