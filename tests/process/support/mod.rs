//! What the tests on real processes share: two daemons in a folder, HTTP, a primary played by the test, directories, sshd.

pub mod contract_case;
pub mod contract_directory;
pub mod env;
#[allow(dead_code, reason = "the tests inside the primary use it too, and each of both a part of it")]
pub mod fake_gitaly;
pub mod fake_primary;
pub mod generated_directory;
pub mod gitlab;
pub mod gitlab_api;
pub mod http;
pub mod link;
pub mod lookup;
pub mod loop_disk;
pub mod paced;
pub mod random;
pub mod small_disk;
pub mod sshd;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long anything may take before a test gives up on it.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How much of something a test does: `small`, or `full` if the environment asks for it.
pub fn scaled(small: u64, full: u64) -> u64 {
    if std::env::var("SIDEGATE_TEST_SCALE").is_ok_and(|scale| scale == "full") { full } else { small }
}

/// Tells other threads to stop when it is dropped, also when the test fails.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
