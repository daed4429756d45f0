//! TODO-DOC

#[cfg(feature = "daemon")]
pub mod feed_lines;
pub mod record_lines;
pub mod record_references;
