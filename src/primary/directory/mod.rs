//! The directory's writer, the ids of created projects, what the operator revoked, the records of a directory file that are never published,
//! and what is repaired where the directory and the private store are a step apart.

pub mod project_ids;
pub mod repairs;
pub mod reserved_projects;
pub mod revocations;
pub mod unpublished;
pub mod writer;
