//! SSH public keys: the type, the decoded blob, and the SHA-256 fingerprint by which a key is found.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The longest blob that a key may have, in bytes; a 16,384-bit RSA key needs 2.1 KiB.
pub const MAX_BLOB_BYTES: usize = 8 * 1024;

/// The key types that an instance can have rules for, by the names that the rules and their messages use.
pub const KEY_TYPES: [&str; 6] = ["rsa", "dsa", "ecdsa", "ed25519", "ecdsa_sk", "ed25519_sk"];

/// SHA-256 of a key's decoded blob. Printed as OpenSSH does: `SHA256:` and unpadded Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a decoded blob.
    #[must_use]
    pub fn of(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }

    /// Parses a fingerprint as it is printed, with or without the padding of its Base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let base64 = text.trim().strip_prefix("SHA256:")?.trim_end_matches('=');
        STANDARD_NO_PAD.decode(base64).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

/// A public key as OpenSSH writes it, without options and without its comment: `<type> <padded Base64>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    algorithm: Box<str>,
    blob: Box<[u8]>,
}

/// Why a line is not a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKey {
    /// The line does not begin with a key type: options, a private key, or something else.
    #[error("a key is `<type> <base64> [comment]` without options; `{0}` is not a key type")]
    UnknownType(String),
    /// The second field is missing or is not the Base64 of a key blob.
    #[error("the key's second word is not the Base64 of a key of its type: {0}")]
    InvalidBlob(String),
    /// The line has a line feed or another control byte.
    #[error("a key is one line without control bytes")]
    ControlByte,
}

impl PublicKey {
    /// Returns the algorithm, as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Returns the type by its name in [`KEY_TYPES`]; for a type without rules the algorithm.
    #[must_use]
    pub fn key_type(&self) -> &str {
        match self.algorithm() {
            "ssh-rsa" => "rsa",
            "ssh-dss" => "dsa",
            "ssh-ed25519" => "ed25519",
            "sk-ssh-ed25519@openssh.com" => "ed25519_sk",
            "sk-ecdsa-sha2-nistp256@openssh.com" => "ecdsa_sk",
            other if other.starts_with("ecdsa-sha2-") => "ecdsa",
            other => other,
        }
    }

    /// Returns the decoded blob.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the SHA-256 of the blob.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }

    /// Returns the blob in padded Base64.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.blob)
    }

    /// Returns the bits of the key as GitLab counts them; `None` for types that it does not measure.
    #[must_use]
    pub fn bits(&self) -> Option<u32> {
        use ssh_key::public::KeyData;
        let key = ssh_key::PublicKey::from_bytes(&self.blob).ok()?;
        match key.key_data() {
            KeyData::Rsa(rsa) => rsa.n.as_positive_bytes().map(bit_length),
            KeyData::Dsa(dsa) => dsa.p.as_positive_bytes().map(bit_length),
            KeyData::Ecdsa(ecdsa) => match ecdsa.curve() {
                ssh_key::EcdsaCurve::NistP256 => Some(256),
                ssh_key::EcdsaCurve::NistP384 => Some(384),
                ssh_key::EcdsaCurve::NistP521 => Some(521),
            },
            KeyData::Ed25519(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => Some(256),
            _ => None,
        }
    }
}

fn bit_length(bytes: &[u8]) -> u32 {
    let leading_zeros = bytes.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(bytes.len()).unwrap_or(u32::MAX / 8).saturating_mul(8).saturating_sub(leading_zeros)
}

/// Decodes the Base64 of a blob, padded (sshd's `%k`) or not (gitlab-sshd). Strict: refuses other characters and wrong padding.
#[must_use]
pub fn decode_blob(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > MAX_BLOB_BYTES * 4 / 3 + 4 {
        return None;
    }
    let engine = if text.ends_with('=') { &STANDARD } else { &STANDARD_NO_PAD };
    engine.decode(text).ok().filter(|blob| blob.len() <= MAX_BLOB_BYTES)
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    /// Parses `<type> <base64> [comment]` and drops the comment, and the end of the line that a key has in the file of its own.
    fn from_str(line: &str) -> Result<Self, InvalidPublicKey> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(InvalidPublicKey::ControlByte);
        }
        let mut fields = line.split_ascii_whitespace();
        let algorithm = fields.next().unwrap_or_default();
        if ssh_key::Algorithm::new(algorithm).is_err() {
            return Err(InvalidPublicKey::UnknownType(algorithm.chars().take(40).collect()));
        }
        let blob = fields.next().and_then(decode_blob).ok_or_else(|| InvalidPublicKey::InvalidBlob("it is not Base64".to_owned()))?;
        let key = ssh_key::PublicKey::from_bytes(&blob).map_err(|error| InvalidPublicKey::InvalidBlob(error.to_string()))?;
        if key.algorithm().as_str() != algorithm {
            return Err(InvalidPublicKey::InvalidBlob(format!("the blob is of type {}", key.algorithm().as_str())));
        }
        Ok(Self { algorithm: algorithm.into(), blob: blob.into_boxed_slice() })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidPublicKey;

    fn try_from(line: String) -> Result<Self, InvalidPublicKey> {
        line.parse()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, InvalidPublicKey, PublicKey, decode_blob};

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_key_prints_without_its_comment() {
        let key: Result<PublicKey, _> = format!("{ED25519} zoë@laptop  2").parse();
        assert_eq!(key.map(|key| key.to_string()).as_deref(), Ok(ED25519));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let fingerprint = Fingerprint::of(b"a blob");
        for text in [fingerprint.to_string(), format!(" {fingerprint}=\n")] {
            assert_eq!(Fingerprint::parse(&text), Some(fingerprint), "{text:?}");
        }
        let printed = fingerprint.to_string();
        for text in ["", "SHA256:", &printed[1..], &printed[..40], "MD5:00:11"] {
            assert_eq!(Fingerprint::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_end_of_its_line_is_taken_with_a_key() {
        for end in ["\n", "\r\n", " zoe@laptop\r\n\n"] {
            assert_eq!(format!("{ED25519}{end}").parse::<PublicKey>().map(|key| key.to_string()).as_deref(), Ok(ED25519));
        }
    }

    #[test]
    fn options_control_bytes_and_a_wrong_type_are_refused() {
        let with_options = format!("command=\"/bin/sh\" {ED25519}").parse::<PublicKey>();
        assert!(matches!(with_options, Err(InvalidPublicKey::UnknownType(_))), "{with_options:?}");
        assert_eq!(format!("{ED25519}\nssh-rsa x").parse::<PublicKey>(), Err(InvalidPublicKey::ControlByte));
        assert!(matches!(ED25519.replace("ed25519", "rsa").parse::<PublicKey>(), Err(InvalidPublicKey::InvalidBlob(_))));
        assert!(matches!("ssh-ed25519".parse::<PublicKey>(), Err(InvalidPublicKey::InvalidBlob(_))));
    }

    #[test]
    fn a_blob_is_read_padded_and_unpadded_and_nothing_else() {
        assert_eq!(decode_blob("AA=="), decode_blob("AA"));
        for wrong in ["", "A", "AA=", "A A=", "AA==\n", "AB==", "A-=="] {
            assert_eq!(decode_blob(wrong), None, "{wrong:?}");
        }
    }
}
