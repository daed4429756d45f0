//! The primary's store: the directory with its journal, and the private store beside it.

pub mod build_room;
pub mod init;
pub mod journal;
pub mod primary_store;
pub mod private_store;
pub mod replaced_store;
pub mod replacement;
pub mod unflushed;
