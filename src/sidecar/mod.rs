//! The sidecar: answers the socket beside sshd out of the directory that a follower keeps, and asks the primary for the rest.
//!
//! A request goes down in one walk: [`gate`] checks path, peer and credentials in that order; [`routes`] is the table that says which
//! journey a path is; each journey is a file (`authorized_keys`, `discover`, `check`, `allowed`, `lfs_authenticate`, `forward`).
//! What a journey may say from what it knows is judged in `freshness`; who is asked else, and what counts as an answer, in `asking` and
//! `decision`. Nothing here writes to a store: the follower does.

mod body;
pub(crate) mod cached_view;
pub mod config;
mod gate;
mod headers;
pub mod requests;
pub(crate) mod routes;
pub(crate) mod state;
mod tally;
pub mod upstream;
pub(crate) mod usage_report;

pub use state::SidecarState;
