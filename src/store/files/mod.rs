//! Files and folders of a store: created, checked, replaced and synced.

pub mod age_file;
pub mod atomic_file;
pub mod bound_file;
pub mod change_log;
pub mod folder;
pub mod instance_file;
pub mod lock_file;
pub mod origin;
pub mod reserved_space;
