//! A directory as text: its records in JSON Lines, and the lines of the feed and of a snapshot.

#[cfg(feature = "daemon")]
pub mod backup_lines;
#[cfg(feature = "daemon")]
pub mod feed_lines;
mod invalid_line;
pub mod record_lines;
pub mod record_references;
