//! Recovery codes: ten for each user; a new set replaces the previous one. (server.md 2.6)
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
use crate::primary::user_data::RECOVERY_CODES_PREFIX;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// How many codes a set has.
const CODE_COUNT: usize = 10;

#[derive(Serialize, Deserialize)]
struct StoredRecoveryCodes {
    made_at: Time,
    sha256: Vec<Digest>,
}

/// Creates a set that replaces any other, and returns it to be shown once; its hashes are on disk when it returns. `is_entitled` says
/// whether the directory still has who asked, at the moment of the write; `None` if not. Blocks.
pub fn replace_codes(
    store: &PrimaryStore,
    user: Id,
    now: Time,
    is_entitled: impl FnOnce(&Generation) -> Result<bool, ApiError>,
) -> Result<Option<Vec<String>>, ApiError> {
    let codes = (0..CODE_COUNT).map(|_| random::random_bytes().map(encode_hex)).collect::<Result<Vec<_>, _>>()?;
    let stored = StoredRecoveryCodes { made_at: now, sha256: codes.iter().map(|code| Digest::of(code.as_bytes())).collect() };
    store.private_store().update::<_, ApiError>(|_| {
        if !is_entitled(&store.directory())? {
            return Ok((PrivateWrites::default(), None));
        }
        Ok((PrivateWrites { entries: vec![(store_key(user), Some(serde_json::to_vec(&stored)?))] }, Some(codes)))
    })
}

/// Returns how many users have a set.
pub fn count_users(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(RECOVERY_CODES_PREFIX)?.len())
}

fn store_key(user: Id) -> Vec<u8> {
    [RECOVERY_CODES_PREFIX, &user.bytes()].concat()
}

fn encode_hex(bytes: [u8; 8]) -> String {
    bytes.iter().fold(String::with_capacity(16), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::{encode_hex, replace_codes};
    use crate::model::digest::Digest;
    use crate::model::time::Time;
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    #[test]
    fn a_code_is_sixteen_hex_digits() {
        assert_eq!(encode_hex([0, 1, 0x2f, 0xff, 9, 10, 11, 12]), "00012fff090a0b0c");
    }
    #[test]
    fn only_the_hashes_of_the_newest_set_are_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let private_store = store.private_store();
        let [first, second] = [(); 2].map(|()| replace_codes(&store, "1".parse().unwrap(), Time::EPOCH, |_| Ok(true)).unwrap().unwrap());
        let entries = private_store.scan_prefix(b"").unwrap();
        let stored: Vec<_> = entries.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
        let is_stored = |text: &str| stored.iter().any(|value| value.contains(text));
        let hash = |code: &String| Digest::of(code.as_bytes()).to_string();
        assert!(second.iter().all(|code| is_stored(&hash(code))), "the hashes are stored");
        assert!(first.iter().all(|code| !is_stored(&hash(code))), "those of the previous set are gone");
        assert!(first.iter().chain(&second).all(|code| !is_stored(code)), "no code is stored");
    }
}
