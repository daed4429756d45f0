//! A file of certificates to trust, in PEM. Everybody may read the copy, so it has nothing but certificates: a file that holds a private key
//! as well, as one for a server often does, is refused.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::exit_status::CommandError;
use crate::cli::setup::owned_file;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const CERTIFICATE: &str = "CERTIFICATE";

/// Reads a file that the operator names. Returns its certificates, without what stands between them.
pub fn read(file: &Path) -> Result<String, CommandError> {
    let text = owned_file::read_named(file)?.content;
    certificates_of(&String::from_utf8_lossy(&text)).map_err(|what| CommandError(format!("--ca-file {}: {what}", file.display())))
}

fn certificates_of(text: &str) -> Result<String, String> {
    let mut kept = String::new();
    let mut lines = text.lines().map(str::trim).enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else { continue };
        let number = index + 1;
        if label.contains("PRIVATE KEY") {
            return Err(format!("line {number} begins a {label}, and everybody may read the copy; name a file of the certificates alone"));
        }
        if label != CERTIFICATE {
            return Err(format!("line {number} begins a {label}, and certificates alone were expected; name a file of those"));
        }
        let end = format!("{END}{CERTIFICATE}{DASHES}");
        let mut is_whole = false;
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| {
                is_whole = *line == end;
                !is_whole
            })
            .collect();
        if !is_whole || body.is_empty() || STANDARD.decode(body.concat()).is_err() {
            return Err(format!("the certificate that begins in line {number} is not whole; name the right file"));
        }
        kept.push_str(&format!("{BEGIN}{CERTIFICATE}{DASHES}\n{}\n{end}\n", body.join("\n")));
    }
    if kept.is_empty() { Err("it has no certificate in PEM; name the right file".to_owned()) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::certificates_of;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n";

    #[test]
    fn certificates_alone_are_kept_and_a_key_is_refused_wherever_it_stands() {
        assert_eq!(certificates_of(&format!("# of the CA\n{ONE}\r\n  {ONE}")).unwrap(), format!("{ONE}{ONE}"));
        for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let key = format!("-----BEGIN {kind}-----\nQUJD\n-----END {kind}-----\n");
            for text in [format!("{ONE}{key}"), format!("{key}{ONE}"), key] {
                let refused = certificates_of(&text).unwrap_err();
                assert!(refused.contains(&format!("begins a {kind}, and everybody may read the copy")), "{refused}");
            }
        }
        for (text, says) in [
            ("", "no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\n", "not whole"),
            ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nQUJD\n", "not whole"),
            ("-----BEGIN DH PARAMETERS-----\nQUJD\n", "line 1 begins a DH PARAMETERS"),
        ] {
            let refused = certificates_of(text).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn no_text_with_a_private_key_is_copied(before in "(-----BEGIN CERTIFICATE-----|QUJD|-----END CERTIFICATE-----|\n|x){0,9}", after in "\\PC{0,20}") {
            let text = format!("{before}\n-----BEGIN PRIVATE KEY-----\nQUJD\n{after}");
            if let Ok(kept) = certificates_of(&text) {
                prop_assert!(!kept.contains("PRIVATE KEY"));
            }
        }
    }
}
