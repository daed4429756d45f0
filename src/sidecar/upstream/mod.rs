//! TODO-DOC

pub mod breaker;
pub mod client;
pub mod concurrency_limit;
pub mod decision;
pub mod error;
pub mod single_flight;
