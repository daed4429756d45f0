//! The screen of a host for every status that a sidecar can send, and examples of each state that an operator meets.

mod examples;
mod generated;
