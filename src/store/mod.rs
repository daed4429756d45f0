//! The store: directories in sled, one database for each generation; the primary's journal and private store; the answers of a
//! primary that a host keeps; small files.
//!
//! The floors, lowest first: `error` and `write_progress`, `files` and `database_files`, `database`, `pages`, `generations`, `kept` and `primary`; `tests` on top.

mod database;
mod database_files;
pub mod error;
pub mod files;
pub mod generations;
pub mod kept;
pub mod pages;
pub mod primary;
#[cfg(test)]
pub(crate) mod tests;
pub mod write_progress;
