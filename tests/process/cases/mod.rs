//! The behaviour cases of the contract, row by row and group by group: each question goes to a real primary and through a real sidecar,
//! and both must give the answer of the row, and the same one. Questions that a decision hangs on go in every form in which they may be
//! sent. Each file says which rows of its groups cannot be made here, and why.

mod actors;
mod authorized_keys;
mod changes;
mod creation;
mod deploy_keys;
mod discover;
mod grants;
mod instance;
mod lfs;
mod projects;
mod shell_token;
mod snippets;
pub mod table;
pub mod world;
