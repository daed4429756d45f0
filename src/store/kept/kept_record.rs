//! The values of the database of kept answers, each with its checksum.
//!
//! What an answer says: CRC-32 of all that follows, the length of a header in JSON (two bytes, big-endian), the header, the
//! [body as it is held](crate::model::kept_body). When it was proven: CRC-32, and milliseconds on the [clock](crate::store::kept::kept_clock) (eight bytes,
//! big-endian): a proof that is renewed is written without the body.

use serde::{Deserialize, Serialize};

use crate::model::freshness::ProofTime;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject};
use crate::model::kept_body::KeptBody;
use crate::model::record_defaults::is_default;
use crate::model::time::Time;

const CHECKSUM_BYTES: usize = 4;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: KeptKind,
    #[serde(skip_serializing_if = "is_default", default)]
    origin: AnswerOrigin,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires_at: Option<Time>,
    subjects: Box<[KeptSubject]>,
}

/// Encodes what an answer says; `None` if it is too long to be written.
#[must_use]
pub fn encode_answer(answer: &KeptAnswer) -> Option<Vec<u8>> {
    let header = Header { kind: answer.kind, origin: answer.origin, expires_at: answer.expires_at, subjects: answer.subjects.clone() };
    let header = serde_json::to_vec(&header).ok()?;
    let length = u16::try_from(header.len()).ok()?;
    Some(with_checksum(&[&length.to_be_bytes(), &header, answer.body.held()]))
}

/// Decodes what an answer says, which was proven at `proven_at`; `None` if the bytes are damaged.
#[must_use]
pub fn decode_answer(bytes: &[u8], proven_at: ProofTime) -> Option<KeptAnswer> {
    let (length, rest) = checked(bytes)?.split_first_chunk::<2>()?;
    let (header, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let Header { kind, origin, expires_at, subjects } = serde_json::from_slice(header).ok()?;
    Some(KeptAnswer { kind, body: KeptBody::from_held(body)?, proven_at, origin, expires_at, subjects })
}

/// Encodes the time of a proof, in milliseconds on the database's clock.
#[must_use]
pub fn encode_proof(kept_milliseconds: i64) -> Vec<u8> {
    with_checksum(&[&kept_milliseconds.to_be_bytes()])
}

/// Decodes the time of a proof; `None` if the bytes are damaged.
#[must_use]
pub fn decode_proof(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(checked(bytes)?.try_into().ok()?))
}

fn with_checksum(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; CHECKSUM_BYTES];
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let checksum = crc32fast::hash(&bytes[CHECKSUM_BYTES..]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    (u32::from_be_bytes(*checksum) == crc32fast::hash(rest)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode_answer, decode_proof, encode_answer, encode_proof};
    use crate::model::freshness::ProofTime;
    use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject};
    use crate::model::kept_body::{KeptBody, MAX_KEPT_BODY_BYTES};
    use crate::model::time::{BootTime, Time};

    fn answer(body: Vec<u8>, expires: bool) -> KeptAnswer {
        KeptAnswer {
            kind: KeptKind::Pull,
            body: KeptBody::new(&body).unwrap(),
            proven_at: ProofTime::at(BootTime::default()),
            origin: if expires { AnswerOrigin::File } else { AnswerOrigin::Primary },
            expires_at: expires.then_some(Time::LAST),
            subjects: [KeptSubject::Key("11".parse().unwrap()), KeptSubject::Path("g/p".into())].into(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_flipped_bit_or_a_cut_is_damage(body in prop::collection::vec(any::<u8>(), 0..300), expires: bool, time: i64, at: prop::sample::Index, bit in 0..8_u8) {
            let answer = answer(body, expires);
            let (mut record, mut proof) = (encode_answer(&answer).unwrap(), encode_proof(time));
            prop_assert_eq!(decode_answer(&record, answer.proven_at), Some(answer.clone()));
            prop_assert_eq!(decode_proof(&proof), Some(time));
            let cut = at.index(record.len());
            prop_assert_eq!(decode_answer(&record[..cut], answer.proven_at), None);
            record[cut] ^= 1 << bit;
            prop_assert_eq!(decode_answer(&record, answer.proven_at), None);
            let flipped = at.index(proof.len());
            proof[flipped] ^= 1 << bit;
            prop_assert_eq!(decode_proof(&proof), None);
        }
    }

    #[test]
    fn the_longest_body_makes_a_value_below_16_kib() {
        let noise: Vec<u8> = (0..MAX_KEPT_BODY_BYTES).map(|number| (number * number / 7 % 251) as u8).collect();
        assert!(encode_answer(&answer(noise, true)).is_some_and(|record| record.len() < 16 << 10));
    }
}
