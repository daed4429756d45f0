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
