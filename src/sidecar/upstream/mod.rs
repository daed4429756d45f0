//! Asking the primary, with all that keeps a slow or failing one from hurting whoever answers here.
//!
//! [`client`] asks questions that may be asked again: equal ones once ([`SingleFlight`](crate::api::single_flight::SingleFlight)), under one
//! time limit. [`query_runner`] finds an address of the primary that answers, [`query`] is a question as it is sent, [`decision`] what counts
//! as its answer. [`probe`] finds out whether the primary answers, [`breaker`] and [`health`] say so: while it does not, nothing is sent. A
//! primary may have several [`addresses`], each with both. [`channel`] is what questions share with requests that are passed through: the
//! HTTP client, the [`concurrency_limit`], and how the primary is. [`error`] says what a failure means for a person, [`availability`] what
//! still works, [`headers`] which headers are passed on.

pub mod addresses;
pub mod availability;
pub mod breaker;
pub mod channel;
pub mod client;
pub mod concurrency_limit;
pub mod decision;
pub mod error;
pub mod headers;
pub mod health;
pub mod health_metrics;
pub mod probe;
pub mod query;
pub mod query_runner;
