//! The directory's writer, the ids of created projects, and the records of a directory file that are never published.

pub mod project_ids;
pub mod unpublished;
pub mod writer;
