//! Spelling: bytes into words and words into bytes. Nothing here decides, keeps or carries.

pub mod authorized_keys;

#[cfg(feature = "daemon")]
pub mod allowed;
pub mod auth;
#[cfg(feature = "daemon")]
pub mod claimant;
pub mod directory;
#[cfg(feature = "daemon")]
pub mod error_tracking_allowed;
#[cfg(feature = "daemon")]
pub mod gitaly_client_context;
pub mod http;
#[cfg(feature = "daemon")]
pub mod kubernetes;
#[cfg(feature = "daemon")]
pub mod kubernetes_vulnerability;
#[cfg(feature = "daemon")]
pub mod lfs;
#[cfg(feature = "daemon")]
pub mod post_receive;
#[cfg(feature = "daemon")]
pub mod responses;
