//! The HTTP/1.1 client to the primary: its URL, its connections, its errors, and the delays between tries.

pub mod backoff;
mod connection_pool;
mod connector;
pub mod error_chain;
pub mod http_client;
pub mod primary_url;
pub mod request_error;
pub mod root_certificates;
#[cfg(test)]
mod tests;
