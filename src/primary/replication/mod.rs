//! What serves the hosts that follow: the feed's lines, the snapshot they share, their secret, and what each acknowledged.

pub mod accepted_loss;
pub mod answers_under_way;
pub mod chunks;
pub mod feed_buffer;
pub mod feed_clock;
pub mod follower_auth;
pub mod follower_stream;
pub mod host_record;
pub mod host_report;
pub mod host_table;
pub mod hosts;
pub mod missing_hosts;
pub mod propagation;
pub mod proven_elapsed;
pub mod shutdown;
pub mod snapshot_cache;
