//! TODO-DOC

#[cfg(feature = "daemon")]
pub mod credentials;
#[cfg(feature = "daemon")]
pub mod jwt;
#[cfg(feature = "daemon")]
pub mod secret;
