//! Configuration: three TOML files, refused when they are not understood, with file, line and key. Loading reads the one file and
//! nothing else: no secret, no name of a user, no socket.
//!
//! [`serve`], [`primary`] and [`mirror`] are the shapes of the files, with what must hold between keys; each section is a file of its own.
//! [`mod@file`] loads and validates. The tests in `tests` hold the shipped samples, the manual pages and this parser together.

pub mod auth;
pub mod creation;
pub mod document;
pub mod feed;
pub mod file;
pub mod freshness;
pub mod limits;
pub mod log;
pub mod loss_guard;
pub mod metrics;
pub mod mirror;
pub mod parse;
pub mod peer;
pub mod primary;
pub mod serve;
pub mod socket;
pub mod store;
pub mod upstream;

#[cfg(test)]
pub mod tests;
