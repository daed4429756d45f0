//! Random bytes of the operating system, for credentials.

use crate::api::error::ApiError;

/// Returns `COUNT` random bytes.
pub fn random_bytes<const COUNT: usize>() -> Result<[u8; COUNT], ApiError> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal(format_args!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
