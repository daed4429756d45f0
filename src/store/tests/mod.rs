//! Tests that need the inside of the store: against a reference model, and after `kill -9`.

mod cache_coherence;
mod crash;
mod model_based;
mod primary_store;
pub mod sample_records;
#[path = "../../../tests/process/support/small_disk.rs"]
#[expect(clippy::print_stderr, reason = "what a test cannot do on this machine is said")]
pub mod small_disk;
