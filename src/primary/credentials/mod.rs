//! Credentials that the primary stores or holds: recovery codes and access tokens (shown once, stored as SHA-256 hashes only), when keys
//! were last used, and secrets that may be replaced while it runs.

pub mod access_tokens;
pub mod last_used;
pub mod random;
pub mod recovery_codes;
pub mod reloadable_secret;
pub mod token_scope;
