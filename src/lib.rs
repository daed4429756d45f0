//! sidegate: the small gate beside sshd. This file is the map.
//!
//! What stands today is the ground floor, [`model`]: the words that everything else will be said in, and the one
//! place that reads a clock. The floors above it (deciding, spelling, keeping, carrying; then who we are to the
//! outside; then the commands) are not built yet. A room imports only from floors below it.

pub mod model;
