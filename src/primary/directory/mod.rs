//! The directory's writer, the ids of created projects, what the operator revoked, and the records of a directory file that are never
//! published.

pub mod project_ids;
pub mod reserved_projects;
pub mod revocations;
pub mod unpublished;
pub mod writer;
