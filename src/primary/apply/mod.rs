//! How a directory file becomes the directory: received whole, parsed, checked against the directory that would result, then written in
//! one commit or not at all. From top to bottom:
//!
//! | file | what it does |
//! | --- | --- |
//! | [`execute`] | all of it in order: stage, plan, check the loss guard, commit |
//! | [`held_revocations`] | leaves out what the operator has revoked since the file was written |
//! | [`receive`] | writes the request's body into a temporary file |
//! | [`plan_by_lookup`] | plans a small file by looking up the records it names |
//! | [`plan_by_diff`] | plans any file by comparing it with the whole directory |
//! | [`plan_unpublished`] | plans the records that are never published |
//! | [`plan`] | what a plan is: the counts, the changes, the loss to be confirmed |
//! | [`diff`] | the file beside the directory, record by record: added, changed, unchanged, removed |
//! | [`removed_users`] | what else there is of users and keys goes with them |
//! | [`renames`] | the redirects that renamed projects leave at their old paths |
//! | [`nesting`] | that a path is below the one of its namespace |
//! | [`staged_file`] | the file's records in the order of a snapshot, each once |
//! | [`file_errors`] | all that is wrong with a file at once, line by line |
//! | [`emptiness`] | that a file which is the whole directory is not empty by accident |
//! | [`constraints`] | what must be unique in a directory, and what its records refer to |

pub mod constraints;
pub mod diff;
pub mod emptiness;
pub mod execute;
pub mod file_errors;
pub mod held_revocations;
pub mod nesting;
pub mod plan;
pub mod plan_by_diff;
pub mod plan_by_lookup;
pub mod plan_unpublished;
pub mod receive;
pub mod removed_users;
pub mod renames;
pub mod staged_file;
