//! Deciding: pure functions over a directory and a time. No I/O, no clock, no async.
//!
//! The primary and the sidecar decide with the same functions, so their answers agree by construction.

pub mod access;
pub mod allowed;
