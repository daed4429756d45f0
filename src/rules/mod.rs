//! Deciding: pure functions over a directory and a time. No I/O, no clock, no async.
//!
//! The primary and the sidecar decide with the same functions, so their answers agree by construction. [`allowed`] is the walk; each
//! rule on it has a file of its own, and [`refusal`] is the one table of what is said when a rule says no.

pub mod access;
pub mod account;
pub mod actor;
pub mod allowed;
pub mod case;
#[cfg(test)]
mod cases;
pub mod changes;
pub mod creation;
pub mod design;
pub mod download;
pub mod finding;
pub mod ground;
pub mod instance;
pub mod ip;
pub mod key_rules;
pub mod lfs;
pub mod namespace;
pub mod post_receive;
#[cfg(test)]
mod properties;
pub mod push;
pub mod rate;
pub mod refusal;
pub mod repository;
pub mod snippet;
pub mod wiki;
