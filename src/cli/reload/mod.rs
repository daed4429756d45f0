//! A reload: the whole configuration, the secrets and the certificates are read and judged first, and then either all of what a running
//! daemon can take over is in force, or nothing has changed. What each key of a configuration needs is in a table for each daemon.

pub mod mirror;
pub mod primary;
pub mod reloader;
mod report;
pub mod setting;
pub mod sidecar;
#[cfg(test)]
mod tests;
