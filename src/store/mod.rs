//! Keeping: directories in sled, one database a generation; the primary's journal; what a follower's age was.

pub mod age;
mod database;
mod draft;
mod edit;
pub mod folder;
mod founding;
pub mod generation;
pub mod generations;
mod index;
pub mod journal;
#[cfg(test)]
mod killed;
mod known;
pub mod ledger;
mod loading;
mod merge;
mod opening;
mod page;
mod pages;
pub mod primary;
#[cfg(test)]
mod proof;
mod reading;
mod recent;
mod reserve;
pub mod secret_file;
mod spool;
mod subtree;
mod tally;
mod whole_file;
