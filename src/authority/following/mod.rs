//! Being followed: the feed's lines, one snapshot for all, the followers' secret, and what each host said that it holds.

pub mod door;
pub mod force;
pub mod hosts;
pub mod lines;
pub mod loss;
pub mod snapshots;
pub mod stream;
