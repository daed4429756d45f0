//! Encoding and decoding: bytes into values and values into bytes, one file for each endpoint. Nothing here decides, stores or sends.

pub mod authorized_keys;

#[cfg(feature = "daemon")]
pub mod allowed;
pub mod auth;
#[cfg(feature = "daemon")]
pub mod check;
#[cfg(feature = "daemon")]
pub mod claimant;
pub mod directory;
#[cfg(feature = "daemon")]
pub mod discover;
#[cfg(feature = "daemon")]
pub mod error_tracking_allowed;
#[cfg(feature = "daemon")]
pub mod gitaly;
#[cfg(feature = "daemon")]
pub mod gitaly_authorization;
#[cfg(feature = "daemon")]
pub mod gitaly_client_context;
pub mod http;
#[cfg(feature = "daemon")]
pub mod kubernetes;
#[cfg(feature = "daemon")]
pub mod kubernetes_vulnerability;
#[cfg(feature = "daemon")]
pub mod lfs_authenticate;
#[cfg(feature = "daemon")]
pub mod lfs_verify;
#[cfg(feature = "daemon")]
pub mod post_receive;
#[cfg(feature = "daemon")]
pub mod pre_receive;
#[cfg(feature = "daemon")]
pub mod secret_mask;
