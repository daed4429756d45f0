//! To be built.

pub mod config;
