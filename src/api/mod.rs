//! TODO-DOC

pub(crate) mod blocking;
pub mod peer_policy;
pub mod rate_limit;
