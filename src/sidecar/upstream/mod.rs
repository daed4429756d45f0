//! TODO-DOC

pub mod breaker;
pub(crate) mod client;
pub mod concurrency_limit;
pub(crate) mod decision;
pub(crate) mod error;
pub mod single_flight;
