//! Recovery codes and access tokens of people: made of the system's random bytes, shown once, kept as SHA-256 hashes only.

pub mod access_tokens;
pub(crate) mod last_used;
mod random;
pub mod recovery_codes;
pub mod reloadable_secret;
pub(crate) mod requester;
pub mod token_auth;
pub mod token_scope;
