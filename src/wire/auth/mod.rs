//! Credentials of a request: shared secrets and signed tokens.

#[cfg(feature = "daemon")]
pub mod credentials;
#[cfg(feature = "daemon")]
pub mod jwt;
#[cfg(feature = "daemon")]
pub mod secret;
