//! Asking the primary, with all that keeps a slow or failing one from hurting whoever answers here.
//!
//! [`client`] asks questions that may be asked again: equal ones once ([`single_flight`]), unless the [`breaker`] is open, under one
//! time limit, and checks what counts as a [`decision`]. [`channel`] is what it shares with requests that are passed through: the
//! HTTP client, the [`concurrency_limit`], and the record of how the primary is. [`error`] says what a failure means for a person,
//! [`availability`] what still works, [`headers`] which headers are passed on.

pub mod availability;
pub mod breaker;
pub mod channel;
pub mod client;
pub mod concurrency_limit;
pub mod decision;
pub mod error;
pub mod headers;
pub mod single_flight;
