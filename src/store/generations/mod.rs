//! Generations: one database each, their folder, and how they are opened, changed and looked up in.

pub mod apply;
pub mod generation;
pub mod generations_folder;
pub mod guarded_open;
pub mod invalid_records;
pub mod lookup;
pub mod merge;
pub mod record_cache;
pub mod shared_repositories;
pub mod subtree;
