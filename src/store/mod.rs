//! Keeping: directories in sled, one database a generation; the primary's journal; what a follower's age was.

mod database;
pub mod error;
pub mod files;
pub mod generations;
pub mod pages;
pub mod primary;
#[cfg(test)]
mod tests;
