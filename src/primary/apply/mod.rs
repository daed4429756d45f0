//! How a directory file becomes the directory: received whole, read, checked against what would come out, then written in
//! one act or not at all.
//!
//! ```text
//! receive   the body into a file of ours
//! spool     each line a record, in the order of a snapshot, nothing twice
//! join      beside the directory that stands: added, changed, unchanged, removed
//! claims    what comes out is unique and refers to what is there
//! beside    a small file, planned by looking up what it names instead of walking all that stands
//! plan      how many of which; whether so much may go; a commit, or a whole new directory
//! withheld  the same for what is never published
//! ```

pub mod constraints;
pub mod diff;
pub mod plan;
pub mod plan_by_lookup;
pub mod plan_unpublished;
pub mod receive;
pub mod staged_file;
