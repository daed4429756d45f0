//! The directory's writer, and the records of a directory file that are never published.

pub mod unpublished;
pub mod writer;
