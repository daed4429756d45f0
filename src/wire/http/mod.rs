//! TODO-DOC

#[cfg(feature = "daemon")]
pub mod base64;
#[cfg(feature = "daemon")]
pub mod date_param;
#[cfg(feature = "daemon")]
pub mod json_body;
#[cfg(feature = "daemon")]
pub mod nested_params;
#[cfg(feature = "daemon")]
pub mod params;
#[cfg(feature = "daemon")]
pub mod percent_encoding;
#[cfg(feature = "daemon")]
pub mod request_target;
#[cfg(feature = "daemon")]
pub mod validation;
