//! TODO-DOC

pub(crate) mod init;
pub mod journal;
pub mod primary_store;
pub mod private_store;
pub(crate) mod recent_commits;
