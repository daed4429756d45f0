//! The HTTP/1.1 client to the primary: its URL, its connections, its errors, and the delays between tries.

pub mod backoff;
mod connection_pool;
mod connector;
pub mod http_client;
pub mod primary_url;
pub mod request_error;
#[cfg(test)]
mod tests;
