//! Decisions: pure functions of a directory, a request and a time. No I/O, no clock, no async.
//!
//! The primary and the sidecar decide with the same functions, so their answers agree by construction. [`allowed`] runs the checks
//! in their order; each rule has a file of its own, and [`refusal_reason`] is the one table of refusals and their messages.

pub mod access_level;
pub mod account;
pub mod actor;
pub mod allowed;
pub mod authorized_keys;
pub mod changes;
pub mod context;
pub mod design;
pub mod discover;
pub mod download;
pub mod explain;
pub mod instance;
pub mod ip_allowlist;
pub mod key_rules;
pub mod kubernetes_vulnerability;
pub mod lfs;
pub mod lfs_token;
pub mod namespace;
pub mod post_receive;
pub mod project_access;
pub mod project_creation;
pub mod push;
pub mod refusal_reason;
pub mod remedy;
pub mod repository;
pub mod snippet;
pub mod subject_state;
#[cfg(test)]
mod tests;
pub mod wiki;
pub mod wildcard;
