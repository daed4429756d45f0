//! What the tasks of a replica share, and what others read of it.

pub mod alarm;
pub mod feed_contact;
pub mod replica_state;
pub mod resync_requests;
pub mod serving;
pub mod status;
