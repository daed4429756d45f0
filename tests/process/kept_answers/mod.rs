//! A sidecar in front of a GitLab (`feed = "none"`): what is kept of its answers, for how long, and what takes it back.

mod addresses;
mod concurrency;
pub mod gitlab;
mod mass_negative;
mod operation;
mod revocation;
mod shadow;
mod states;
mod warm;
