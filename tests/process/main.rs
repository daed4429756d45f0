//! Tests on real processes: the daemons as systemd would start them, real sockets, real sshd, real `kill -9`.
//!
//! One folder a test; what a test starts ends with it, also when it fails. Nothing sleeps: a test waits for an event.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "a test may look at the clock to give up")]

mod house;
mod http;
mod smoke;
