//! TODO-DOC

pub mod age_file;
pub(crate) mod atomic_file;
pub mod folder;
pub(crate) mod reserved_space;
