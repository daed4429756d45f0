//! Recovery codes and access tokens of people: made of the system's random bytes, shown once, kept as SHA-256 hashes only.

pub mod codes;
pub mod holder;
mod random;
pub mod scope;
pub mod tokens;
