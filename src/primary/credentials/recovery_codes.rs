//! Recovery codes: ten for each person, every new set in the place of the one before. (server.md 2.6)
//!
//! ```text
//! codes/<user>   {"made_at": time, "sha256": [hex, …]}
//! ```

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::api::error::ApiError;
use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::primary::credentials::random;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// How many codes a set has.
pub const CODE_COUNT: usize = 10;

const KEY_PREFIX: &[u8] = b"codes/";

#[derive(Serialize, Deserialize)]
struct StoredRecoveryCodes {
    made_at: Time,
    sha256: Vec<Digest>,
}

/// A new set in the place of any other, on disk when it returns; to be shown once. Blocks.
pub fn replace_codes(private_store: &PrivateStore, user: Id, now: Time) -> Result<Vec<String>, ApiError> {
    let codes = (0..CODE_COUNT).map(|_| random::random_bytes().map(encode_hex)).collect::<Result<Vec<_>, _>>()?;
    let kept = StoredRecoveryCodes { made_at: now, sha256: codes.iter().map(|code| Digest::of(code.as_bytes())).collect() };
    private_store.write(PrivateWrites { entries: vec![(store_key(user), Some(serde_json::to_vec(&kept)?))] })?;
    Ok(codes)
}

/// How many people have a set.
pub fn count_users(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn store_key(user: Id) -> Vec<u8> {
    [KEY_PREFIX, &user.bytes()].concat()
}

fn encode_hex(bytes: [u8; 8]) -> String {
    bytes.iter().fold(String::with_capacity(16), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::encode_hex;

    #[test]
    fn a_code_is_sixteen_hex_digits() {
        assert_eq!(encode_hex([0, 1, 0x2f, 0xff, 9, 10, 11, 12]), "00012fff090a0b0c");
    }
}
