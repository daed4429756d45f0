//! sidegate: the small gate beside sshd. This file is the map.
//!
//! What stands today is the ground floor, [`model`]: the words that everything else is said in, and the one
//! place that reads a clock; and of the floor above it [`wire`], which reads a directory file whole. The rest (deciding,
//! keeping, carrying; who we are to the outside; the commands) is not built yet. A room imports only from floors below it.

pub mod model;
pub mod rules;
pub mod wire;
