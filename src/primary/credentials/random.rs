//! Random bytes of the system, for what people are given.

use crate::api::error::ApiError;

/// So many of them.
pub fn random_bytes<const COUNT: usize>() -> Result<[u8; COUNT], ApiError> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(format_args!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
