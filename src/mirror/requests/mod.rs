//! The endpoints of a mirror. What it has in common with a primary is answered by the primary's own.

pub mod accept_loss;
pub mod feed;
pub mod hook;
pub mod metrics;
pub mod operator;
pub mod status;
pub mod usage;
