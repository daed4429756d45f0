//! Being followed: the feed's lines, one snapshot for all, the followers' secret, and what each host said that it holds.

pub mod accepted_loss;
pub mod feed_buffer;
pub mod follower_auth;
pub mod follower_stream;
pub mod hosts;
pub mod propagation;
pub mod snapshot_cache;
