//! Where the feed comes from: the source as a trait, the primary over HTTP, and the connection that is made again and again.

pub mod clock_offset;
pub mod connection;
pub mod http_feed;
pub mod line_splitter;
pub mod snapshot_decoder;
pub mod source;
