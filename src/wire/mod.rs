//! Spelling: bytes into words and words into bytes. Nothing here decides, keeps or carries.

pub mod authorized_keys;
pub mod directory;
pub mod record_lines;

#[cfg(feature = "daemon")]
pub mod allowed;
#[cfg(feature = "daemon")]
pub mod answer;
#[cfg(feature = "daemon")]
mod base64;
#[cfg(feature = "daemon")]
pub mod claimant;
#[cfg(feature = "daemon")]
pub mod client_context;
#[cfg(feature = "daemon")]
pub mod credentials;
#[cfg(feature = "daemon")]
pub mod date;
#[cfg(feature = "daemon")]
pub mod error_tracking;
#[cfg(feature = "daemon")]
pub mod feed;
#[cfg(feature = "daemon")]
pub mod json;
#[cfg(feature = "daemon")]
pub mod kubernetes;
#[cfg(feature = "daemon")]
pub mod lfs;
#[cfg(feature = "daemon")]
pub mod nest;
#[cfg(feature = "daemon")]
pub mod params;
#[cfg(feature = "daemon")]
pub mod path;
#[cfg(feature = "daemon")]
pub mod percent;
#[cfg(feature = "daemon")]
pub mod post_receive;
#[cfg(feature = "daemon")]
pub mod secret;
#[cfg(feature = "daemon")]
pub mod token;
#[cfg(feature = "daemon")]
pub mod validation;
#[cfg(feature = "daemon")]
pub mod vulnerability;
