//! Following the feed for the generation that serves: the loop, the serving generation, and what is kept of both on disk.

pub mod adoption;
pub mod age_keeper;
pub mod drift_marker;
pub mod flusher;
pub mod follower;
pub mod installation;
pub mod repair;
pub mod replacing;
pub mod serving_store;
pub mod store_scan;
pub mod store_task;
pub mod unstored_changes;
