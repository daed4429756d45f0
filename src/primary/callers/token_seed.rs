//! From which secret the LFS tokens of somebody are signed.

use crate::primary::user_data;
use crate::rules::lfs_token::{LfsTokenHolder, TokenSeed};
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// Returns the seed: the store's; a user whose id another had before has one of their own, so that no token of the other is theirs. The
/// tokens of a deploy key depend on its fingerprint. Blocks.
pub fn holder_seed(store: &PrimaryStore, holder: &LfsTokenHolder) -> Result<TokenSeed, StoreError> {
    match holder {
        LfsTokenHolder::User(user) => user_data::token_seed(store, user.id),
        LfsTokenHolder::DeployKey(_) => Ok(store.token_seed()),
    }
}
