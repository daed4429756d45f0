//! One generation of the directory: loaded from a snapshot, following the feed's lines, and taking over from the one that serves.

pub mod apply;
pub mod candidate;
pub mod coverage_file;
pub mod key_set;
pub mod load_snapshot;
pub mod restrictions;
pub mod revoked_subjects;
pub mod tracked;
