//! How a daemon ends although what it would wait for may never come: a disk that hangs, or a database that was not closed after a failed
//! write.

use std::io::Write as _;
use std::time::Duration;

use crate::cli::logging::LogHandle;

/// How long closing the stores may take once all requests are answered or given up. With `limits.shutdown_time` that is less than
/// `TimeoutStopSec=` of the units.
pub const CLOSE_TIME: Duration = Duration::from_secs(15);
/// The exit status of a primary whose store has failed: it must be started again, as systemd does. (`EX_TEMPFAIL` of sysexits.h)
const STORE_FAILED_STATUS: i32 = 75;

/// Ends the process if it has not ended by itself within `limit`. What was confirmed is on disk at any moment, so nothing is lost by it.
pub fn end_within(limit: Duration) {
    let spawned = std::thread::Builder::new().name("exit-deadline".to_owned()).spawn(move || {
        std::thread::sleep(limit);
        let seconds = limit.as_secs();
        let _no_reader = writeln!(
            std::io::stderr(),
            "sidegate: did not end within {seconds} s, because its disk hangs or is full; ended without closing the store"
        );
        std::process::exit(1);
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "the end of this process has no time limit: {error}");
    }
}

/// Ends the process at the operator's word without closing a store whose disk takes no writes. What was confirmed is on disk.
pub fn end_without_closing(log: LogHandle, reason: &str) -> ! {
    tracing::warn!(reason, "stopped without closing the store: {reason}");
    log.shutdown();
    std::process::exit(0)
}

/// Ends the process at once, without closing the store, so that it is started again and answers what is on disk.
pub fn end_with_failed_store(log: LogHandle, reason: &str) -> ! {
    tracing::error!(reason, "a write to the store failed; ending with status {STORE_FAILED_STATUS} to be started again: {reason}");
    log.shutdown();
    std::process::exit(STORE_FAILED_STATUS)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::{CLOSE_TIME, end_within};
    use crate::net::server::limits::ServerLimits;

    /// The seconds that systemd waits before it kills the unit.
    fn stop_timeout(unit: &str) -> Duration {
        let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s'));
        Duration::from_secs(seconds.unwrap().parse().unwrap())
    }

    #[test]
    fn the_units_wait_longer_than_the_daemons_may_take_to_end() {
        for unit in [include_str!("../../systemd/sidegate.service"), include_str!("../../systemd/sidegate-primary.service")] {
            assert!(ServerLimits::default().shutdown_time + CLOSE_TIME < stop_timeout(unit), "{unit}");
        }
    }

    #[test]
    fn child_that_never_ends_by_itself() {
        if std::env::var_os("SIDEGATE_TEST_CHILD").is_some() {
            end_within(Duration::from_millis(20));
            loop {
                std::thread::park();
            }
        }
    }

    #[test]
    fn a_process_that_hangs_at_its_end_is_ended_with_the_reason() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "cli::shutdown::tests::child_that_never_ends_by_itself", "--nocapture"]);
        let output = child.env("SIDEGATE_TEST_CHILD", "shutdown").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("ended without closing the store"), "{output:?}");
    }
}
