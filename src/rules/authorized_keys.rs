//! `authorized_keys`: whose key is this? (server.md 2.3)
//!
//! A key that has expired, or whose owner is blocked or gone, is found all the same: `allowed` tells the person why they may not. A key
//! that is only for signing is not.

use std::sync::Arc;

use crate::model::directory::{Directory, DirectoryError};
use crate::model::enums::KeyUsage;
use crate::model::key::Fingerprint;
use crate::model::record::{Key, Settings, User};

/// A key that sshd may let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// The key.
    pub key: Arc<Key>,
    /// Its owner; `None` for a deploy key, and where the owner is gone.
    pub owner: Option<Arc<User>>,
    /// The settings, which name the host.
    pub settings: Arc<Settings>,
}

/// Finds the key of a blob, as sshd passes it.
pub fn decide(directory: &dyn Directory, blob: &[u8]) -> Result<Option<FoundKey>, DirectoryError> {
    let found = directory.key_by_fingerprint(&Fingerprint::of(blob))?;
    let Some(key) = found.filter(|key| key.usage != KeyUsage::Signing) else { return Ok(None) };
    let owner = match key.user_id {
        Some(id) => directory.user(id)?,
        None => None,
    };
    Ok(Some(FoundKey { key, owner, settings: directory.settings()? }))
}

#[cfg(test)]
mod tests {
    use super::decide;
    use crate::model::key::decode_blob;
    use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};

    fn key(id: u64, more: &str) -> String {
        let key = ed25519_public_key(id);
        format!(r#"{{"kind":"key","id":{id},"title":"t","key":"{key}","created_at":"2020-01-01T00:00:00Z"{more}}}"#)
    }

    #[test]
    fn an_expired_key_and_one_of_a_blocked_or_missing_user_are_found_and_one_for_signing_is_not() {
        let lines = [
            r#"{"kind":"user","id":7,"username":"zoe","name":"Zoe","state":"blocked"}"#.to_owned(),
            key(1, r#","user_id":7,"expires_at":"2021-01-01T00:00:00Z""#),
            key(2, r#","user_id":8"#),
            key(3, r#","user_id":7,"usage":"signing""#),
        ];
        let directory = MemoryDirectory::from_lines(lines.iter().map(String::as_str));
        let found = |id: u64| {
            let line = ed25519_public_key(id);
            let found = decide(&directory, &decode_blob(line.split(' ').nth(1).unwrap()).unwrap()).unwrap();
            found.map(|found| (found.key.id.number(), found.owner.map(|owner| owner.username.to_string())))
        };
        assert_eq!(found(1), Some((1, Some("zoe".to_owned()))));
        assert_eq!(found(2), Some((2, None)));
        assert_eq!((found(3), found(4)), (None, None));
    }
}
