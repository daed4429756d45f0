//! Tests on real processes: the daemons as systemd would start them, real sockets, real sshd, real `kill -9`.
//!
//! One folder a test; what a test starts ends with it, also when it fails. Nothing sleeps: a test waits for an event. Volumes are small;
//! `SIDEGATE_TEST_SCALE=full` makes them as large as a release must stand, which takes many minutes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a test may look at the clock to give up")]
#![expect(clippy::print_stderr, reason = "what a test cannot do on this machine, and what it counted, is said")]

mod authenticated_bodies;
mod backup;
mod bad_input;
mod check;
mod contract;
mod crash_recovery;
mod created_repositories;
mod demo;
mod documented_examples;
mod explain;
mod forwarding;
mod full_disk;
mod full_disk_at_primary;
mod gitlab;
mod gitlab_load;
mod gitlab_revocations;
mod hanging_disk_at_primary;
mod hostile_bodies;
mod hung_primary;
mod in_flight;
mod kept_answers;
mod key_lookups;
mod logs;
mod lost_response;
mod lost_socket;
mod metrics;
mod mirror;
mod mirror_feed;
mod mirror_load;
mod old_and_new;
mod operations;
mod operator_commands;
mod primary;
mod primary_outage;
mod primary_sidecar_equivalence;
mod proof_of_age;
mod random_revocations;
mod reload;
mod replayed_gitlab;
mod reserved_places;
mod restarts;
mod revocation;
mod setup;
mod slow_creation;
mod slow_requests;
mod smoke;
mod socket_activation;
mod ssh_login;
mod status_states;
mod support;
mod unauthenticated_bodies;
mod wait_for_hosts;
mod write_durability;
