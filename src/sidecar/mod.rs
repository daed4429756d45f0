//! The sidecar: answers the socket beside sshd out of the directory that a replica keeps, and asks the primary for the rest.
//!
//! A request passes [`crate::api::pipeline`] by the table in [`routes`], then one file of [`requests`]. What may be answered from the
//! local directory is judged in [`cached_view`] and [`local_answer`]; who is asked else, and what counts as an answer, in [`upstream`].
//! Nothing here writes to a store: the replica does.

pub mod cached_view;
pub mod config;
mod lfs_token_cache;
mod local_answer;
mod requests;
mod routes;
pub mod state;
pub mod upstream;
mod usage_buffer;
mod usage_report;
mod version_cache;
