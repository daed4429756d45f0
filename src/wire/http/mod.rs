//! What every endpoint reads and writes alike: the request target, parameters in query and body, messages.

#[cfg(feature = "daemon")]
pub mod base64;
#[cfg(feature = "daemon")]
pub mod date_param;
#[cfg(feature = "daemon")]
pub mod decoded_size;
#[cfg(feature = "daemon")]
pub mod json_body;
pub mod message;
#[cfg(feature = "daemon")]
pub mod nested_params;
#[cfg(feature = "daemon")]
pub mod params;
#[cfg(feature = "daemon")]
pub mod params_error;
#[cfg(feature = "daemon")]
pub mod percent_encoding;
#[cfg(feature = "daemon")]
pub mod request_target;
#[cfg(feature = "daemon")]
pub mod validation;
