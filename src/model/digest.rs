//! The digest by which two whole directories are compared: the sum modulo 2^256 of the SHA-256 of each canonical record.
//!
//! A sum does not depend on the order of the commits, and a record is subtracted from it as easily as added. It finds drift; it is no
//! protection against a forger.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A 256-bit sum, printed as 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u64; 4]);

/// The text is not 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hex digits")]
pub struct InvalidDigest;

impl Digest {
    /// Returns the digest of one canonical record.
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        Self::from_bytes(&Sha256::digest(canonical).into())
    }

    /// Returns the sum with `other`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sum = [0; 4];
        let mut carry = false;
        for index in (0..4).rev() {
            let (partial, first) = self.0[index].overflowing_add(other.0[index]);
            let (whole, second) = partial.overflowing_add(u64::from(carry));
            sum[index] = whole;
            carry = first || second;
        }
        Self(sum)
    }

    /// Returns the difference to `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let mut difference = [0; 4];
        let mut borrow = false;
        for index in (0..4).rev() {
            let (partial, first) = self.0[index].overflowing_sub(other.0[index]);
            let (whole, second) = partial.overflowing_sub(u64::from(borrow));
            difference[index] = whole;
            borrow = first || second;
        }
        Self(difference)
    }

    /// Returns the sum as 32 bytes, big-endian.
    #[must_use]
    pub fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// Returns the digest of 32 bytes, big-endian.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        }
        Self(words)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(out, "{word:016x}"))
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hex {
            return Err(InvalidDigest);
        }
        let mut words = [0; 4];
        for (index, word) in words.iter_mut().enumerate() {
            *word = u64::from_str_radix(&text[index * 16..index * 16 + 16], 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(words))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The digest and the number of records of a whole directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryDigest {
    /// The sum of the records' digests.
    pub digest: Digest,
    /// The number of records.
    pub count: u64,
}

impl DirectoryDigest {
    /// Returns the digest with one more record.
    #[must_use]
    pub fn with_record(self, canonical: &[u8]) -> Self {
        Self { digest: self.digest.plus(Digest::of(canonical)), count: self.count + 1 }
    }

    /// Returns the digest without a record, which must have been counted before.
    #[must_use]
    pub fn without_record(self, canonical: &[u8]) -> Self {
        Self { digest: self.digest.minus(Digest::of(canonical)), count: self.count.saturating_sub(1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Digest, DirectoryDigest, InvalidDigest};

    proptest! {
        #[test]
        fn a_digest_does_not_depend_on_order_and_a_removed_record_leaves_no_trace(mut records: Vec<Vec<u8>>, extra: Vec<u8>) {
            let forward = records.iter().fold(DirectoryDigest::default(), |state, record| state.with_record(record));
            records.reverse();
            let backward = records.iter().fold(DirectoryDigest::default().with_record(&extra), |state, record| state.with_record(record)).without_record(&extra);
            prop_assert_eq!(forward, backward);
        }

        #[test]
        fn print_and_parse_are_inverse(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(&bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            prop_assert_eq!(digest.bytes(), bytes);
        }
    }

    #[test]
    fn a_digest_in_text_is_strict() {
        assert_eq!("0".repeat(63).parse::<Digest>(), Err(InvalidDigest));
        assert_eq!("A".repeat(64).parse::<Digest>(), Err(InvalidDigest));
        assert_eq!("+".repeat(64).parse::<Digest>(), Err(InvalidDigest));
    }
}
