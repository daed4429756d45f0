//! Recovery codes: ten for each person, every new set in the place of the one before. (server.md 2.6)
//!
//! ```text
//! codes/<user>   {"made_at": time, "sha256": [hex, …]}
//! ```

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::authority::credentials::random;
use crate::authority::refusal::Refusal;
use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// How many codes a set has.
pub const CODES: usize = 10;

const PREFIX: &[u8] = b"codes/";

#[derive(Serialize, Deserialize)]
struct Kept {
    made_at: Time,
    sha256: Vec<Digest>,
}

/// A new set in the place of any other, on disk when it returns; to be shown once. Blocks.
pub fn replace(ledger: &Ledger, user: Id, now: Time) -> Result<Vec<String>, Refusal> {
    let codes = (0..CODES).map(|_| random::bytes().map(hex)).collect::<Result<Vec<_>, _>>()?;
    let kept = Kept { made_at: now, sha256: codes.iter().map(|code| Digest::of(code.as_bytes())).collect() };
    ledger.write(Writes { entries: vec![(place(user), Some(serde_json::to_vec(&kept)?))] })?;
    Ok(codes)
}

/// How many people have a set.
pub fn count(ledger: &Ledger) -> Result<usize, Damage> {
    Ok(ledger.scan(PREFIX)?.len())
}

fn place(user: Id) -> Vec<u8> {
    [PREFIX, &user.bytes()].concat()
}

fn hex(bytes: [u8; 8]) -> String {
    bytes.iter().fold(String::with_capacity(16), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn a_code_is_sixteen_hex_digits() {
        assert_eq!(hex([0, 1, 0x2f, 0xff, 9, 10, 11, 12]), "00012fff090a0b0c");
    }
}
