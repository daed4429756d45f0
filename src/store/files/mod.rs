//! TODO-DOC

pub mod age_file;
pub mod atomic_file;
pub mod folder;
pub mod reserved_space;
