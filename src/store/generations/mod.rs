//! TODO-DOC

pub(crate) mod apply;
pub mod generation;
pub mod generations_folder;
pub(crate) mod guarded_open;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod record_cache;
pub(crate) mod subtree;
