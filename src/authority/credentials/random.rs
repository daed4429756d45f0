//! Random bytes of the system, for what people are given.

use crate::authority::refusal::Refusal;

/// So many of them.
pub fn bytes<const COUNT: usize>() -> Result<[u8; COUNT], Refusal> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::fault(format_args!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
