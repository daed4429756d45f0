//! Tests on real processes: the daemons as systemd would start them, real sockets, real sshd, real `kill -9`.
//!
//! One folder a test; what a test starts ends with it, also when it fails. Nothing sleeps: a test waits for an event. Volumes are small;
//! `SIDEGATE_TEST_SCALE=full` makes them as large as a release must stand, which takes many minutes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a test may look at the clock to give up")]
#![expect(clippy::print_stderr, reason = "what a test cannot do on this machine, and what it counted, is said")]

mod agree;
mod alone;
mod bad_input;
mod cases;
mod crash;
mod daemon;
mod examples;
mod fake;
mod full_disk;
mod hostile;
mod house;
mod http;
mod keys;
mod login;
mod lookups;
mod lost_answer;
mod refusals;
mod revoked;
mod smoke;
mod sshd;
mod unproven;
mod writes;
