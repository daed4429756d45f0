//! Keeping: directories in sled, one database a generation; the primary's journal; what a follower's age was.

pub mod age;
pub mod folder;
pub mod generation;
pub mod generations;
pub mod journal;
pub mod ledger;
pub mod primary;
pub mod secret_file;
mod whole_file;
