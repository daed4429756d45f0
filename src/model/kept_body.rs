//! The body of a kept answer as it is held in memory and on disk: compressed against a sample of what a GitLab writes.
//!
//! A GitLab's answers are one text with other names and numbers in it, so of a kilobyte a fifth is left. The sample is part of the format on
//! disk: with another one, what was written before cannot be read.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::LazyLock;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The longest body, in bytes: a value of the store should stay below 16 KiB, and a GitLab's answers are below 2 KiB, but for its Gitaly's
/// feature flags.
pub const MAX_KEPT_BODY_BYTES: usize = 12 << 10;

const LEVEL: i32 = 3;
/// How a body begins that is held as it is.
const PLAIN: u8 = 0;
/// How one begins that is compressed.
const COMPRESSED: u8 = 1;

static ENCODER_SAMPLE: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(SAMPLE, LEVEL));
static DECODER_SAMPLE: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(SAMPLE));
const SAMPLE: &[u8] = include_bytes!("kept_body_sample.jsonl");

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A body as it is held.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptBody(Bytes);

impl KeptBody {
    /// Compresses a body, which is at most [`MAX_KEPT_BODY_BYTES`] long; `None` if it is longer.
    #[must_use]
    pub fn new(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_KEPT_BODY_BYTES {
            return None;
        }
        let compressed = compress(body).ok().filter(|compressed| compressed.len() < body.len());
        let (kind, rest) = compressed.as_deref().map_or((PLAIN, body), |compressed| (COMPRESSED, compressed));
        Some(Self([&[kind], rest].concat().into()))
    }

    /// Takes a body as it was held; `None` if it is none.
    #[must_use]
    pub fn from_held(held: &[u8]) -> Option<Self> {
        let body = Self(Bytes::copy_from_slice(held));
        body.expand().is_some().then_some(body)
    }

    /// Returns it as it is held.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.0
    }

    /// Returns the body itself. `None` cannot happen to one that was made here, but for a lack of memory.
    #[must_use]
    pub fn expand(&self) -> Option<Bytes> {
        match self.0.split_first()? {
            (&PLAIN, body) if body.len() <= MAX_KEPT_BODY_BYTES => Some(self.0.slice(1..)),
            (&COMPRESSED, compressed) => decompress(compressed).ok().map(Bytes::from),
            _ => None,
        }
    }
}

/// Says only how long it is: there are tokens in it.
impl fmt::Debug for KeptBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeptBody({} bytes)", self.0.len())
    }
}

fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Some(compressor) => compressor.compress(body),
        None => compressor.insert(Compressor::with_prepared_dictionary(&ENCODER_SAMPLE)?).compress(body),
    })
}

fn decompress(compressed: &[u8]) -> io::Result<Vec<u8>> {
    let length = Decompressor::upper_bound(compressed).filter(|length| *length <= MAX_KEPT_BODY_BYTES);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Some(decompressor) => decompressor.decompress(compressed, length),
        None => decompressor.insert(Decompressor::with_prepared_dictionary(&DECODER_SAMPLE)?).decompress(compressed, length),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{KeptBody, MAX_KEPT_BODY_BYTES, SAMPLE};

    proptest! {
        #[test]
        fn a_body_is_what_it_was(body in prop::collection::vec(any::<u8>(), 0..2000), text in "[a-f\":,{}]{0,2000}") {
            for body in [&body[..], text.as_bytes()] {
                let held = KeptBody::new(body).unwrap();
                let expanded = held.expand();
                prop_assert_eq!(expanded.as_deref(), Some(body));
                prop_assert_eq!(KeptBody::from_held(held.held()), Some(held));
            }
        }

        #[test]
        fn whatever_the_bytes_are_nothing_longer_than_a_body_comes_of_them(held in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3_u8) {
            let held = [&[kind], &held[..]].concat();
            let body = KeptBody::from_held(&held).and_then(|body| body.expand());
            prop_assert!(body.is_none_or(|body| body.len() <= MAX_KEPT_BODY_BYTES));
        }
    }

    #[test]
    fn a_body_one_byte_past_the_limit_is_not_held() {
        assert!(KeptBody::new(&vec![b'x'; MAX_KEPT_BODY_BYTES]).is_some());
        assert_eq!(KeptBody::new(&vec![b'x'; MAX_KEPT_BODY_BYTES + 1]), None);
        assert_eq!(KeptBody::from_held(&vec![0; MAX_KEPT_BODY_BYTES + 2]), None);
    }

    #[test]
    fn of_what_a_gitlab_writes_a_third_is_left_at_most() {
        for line in SAMPLE.split(|byte| *byte == b'\n').filter(|line| line.len() > 500) {
            let other =
                String::from_utf8(line.to_vec()).unwrap().replace("6b86b273ff34fce19d6b804eff5a3f57", "d4735e3a265e16eee03f59718b9b5d03");
            let other = other.replace("group/project", "teams/tool").replace("root", "somebody").replace("null", "\"a-secret-token\"");
            let held = KeptBody::new(other.as_bytes()).unwrap().held().len();
            assert!(held * 3 <= other.len(), "{held} of {} bytes", other.len());
        }
    }
}
