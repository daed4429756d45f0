//! The sidecar: answers the socket beside sshd out of the directory that a follower keeps, and asks the primary for the rest.
//!
//! A request goes down in one walk: [`gate`] checks path, peer and credentials in that order; [`journey`] is the table that says which
//! journey a path is; each journey is a file (`authorized_keys`, `discover`, `check`, `allowed`, `lfs_authenticate`, `forward`).
//! What a journey may say from what it knows is judged in `freshness`; who is asked else, and what counts as an answer, in `asking` and
//! `decision`. Nothing here writes to a store: the follower does.

mod allowed;
mod asking;
mod authorized_certs;
mod authorized_keys;
mod body;
mod check;
mod decision;
mod discover;
mod explain;
mod forward;
mod gate;
mod headers;
mod house;
mod journey;
mod known;
mod lfs_authenticate;
mod operator;
mod outage;
mod probe;
pub mod setup;
mod tally;
mod usage;

pub use house::SidecarState;
