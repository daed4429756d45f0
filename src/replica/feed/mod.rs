//! Where the feed comes from: the source as a trait, the primary over HTTP, the connection that is made again and again, and the bound
//! that the primary has confirmed to this host.

pub mod clock_offset;
pub mod confirmed_bound;
pub mod connection;
pub mod http_feed;
pub mod line_splitter;
pub mod snapshot_decoder;
pub mod source;
