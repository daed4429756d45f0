//! The steps of a plan, one file each: what it is in a line, whether it is done, how it is done, and how it is undone.

pub mod folder;
pub mod key_command;
pub mod membership;
pub mod secret;
pub mod step;
pub mod text_file;
pub mod undo;
pub mod units;
pub mod user;
