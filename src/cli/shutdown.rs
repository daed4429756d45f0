//! How a daemon ends although what it would wait for may never come: a disk that hangs, or a database that was not closed after a failed
//! write.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use crate::cli::exit_status::{CommandError, STORE_FAILED};
use crate::cli::logging::LogHandle;

/// How long closing the stores may take once all requests are answered or given up. With `limits.shutdown_time` that is less than
/// `TimeoutStopSec=` of the units.
pub const CLOSE_TIME: Duration = Duration::from_secs(15);

/// A thread that ends the process where it does not end by itself. It is started with the daemon: when that is to end there may be no place
/// for one more thread.
pub struct ExitDeadline {
    limit: Arc<OnceLock<Duration>>,
    thread: Thread,
}

impl ExitDeadline {
    /// Starts the thread, which waits for [`ExitDeadline::begin`].
    pub fn prepare() -> Result<Self, CommandError> {
        let limit = Arc::new(OnceLock::new());
        let begun = Arc::clone(&limit);
        let spawned = std::thread::Builder::new().name("exit-deadline".to_owned()).spawn(move || end_after(&begun));
        let thread = spawned.map_err(|error| CommandError::with_context("the thread of the exit deadline cannot be started", error))?;
        Ok(Self { limit, thread: thread.thread().clone() })
    }

    /// Ends the process if it has not ended by itself within `limit`. What was confirmed is on disk at any moment, so nothing is lost by it.
    pub fn begin(&self, limit: Duration) {
        let _begun_before = self.limit.set(limit);
        self.thread.unpark();
    }
}

fn end_after(begun: &OnceLock<Duration>) {
    let limit = loop {
        match begun.get() {
            Some(limit) => break *limit,
            None => std::thread::park(),
        }
    };
    std::thread::sleep(limit);
    let seconds = limit.as_secs();
    let _no_reader = writeln!(
        std::io::stderr(),
        "sidegate: did not end within {seconds} s, because its disk hangs or is full; ended without closing the store"
    );
    std::process::exit(1);
}

/// Ends the process at the operator's word without closing a store whose disk takes no writes. What was confirmed is on disk.
pub fn end_without_closing(log: LogHandle, reason: &str) -> ! {
    tracing::warn!(reason, "stopped without closing the store: {reason}");
    log.shutdown();
    std::process::exit(0)
}

/// Ends the process at once, without closing the store, so that it is started again and answers what is on disk.
pub fn end_with_failed_store(log: LogHandle, reason: &str) -> ! {
    let status = STORE_FAILED.code;
    tracing::error!(reason, "a write to the store failed; ending with status {status} to be started again: {reason}");
    log.shutdown();
    std::process::exit(status.into())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use nix::sys::resource::{Resource, setrlimit};

    use super::{CLOSE_TIME, ExitDeadline};
    use crate::net::server::limits::{ServerLimits, blocking_threads};

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
    fn on_as_many_cores_as_a_host_has_the_threads_of_a_daemon_are_fewer_than_the_units_allow() {
        // The feed, the replica and its stores, what looks after disks, sockets and logs.
        const BESIDE_REQUESTS: usize = 40;
        for unit in [include_str!("../../systemd/sidegate.service"), include_str!("../../systemd/sidegate-primary.service")] {
            let most: usize = unit.lines().find_map(|line| line.strip_prefix("TasksMax=")).unwrap().parse().unwrap();
            for workers in 1..=80 {
                assert!(workers * (1 + blocking_threads(workers)) + BESIDE_REQUESTS < most, "{workers} cores");
            }
        }
    }

    #[test]
    fn child_that_never_ends_by_itself() {
        if std::env::var_os("SIDEGATE_TEST_CHILD").is_some() {
            let deadline = ExitDeadline::prepare().unwrap();
            // No memory for the stack of a thread is as good as no place for a thread.
            let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
            let limit = pages * 4096 + (1 << 20);
            setrlimit(Resource::RLIMIT_AS, limit, limit).unwrap();
            assert!(std::thread::Builder::new().spawn(|| ()).is_err());
            deadline.begin(Duration::from_millis(20));
            loop {
                std::thread::park();
            }
        }
    }

    #[test]
    fn a_process_that_hangs_at_its_end_is_ended_with_the_reason_also_where_no_thread_can_be_started() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "cli::shutdown::tests::child_that_never_ends_by_itself", "--nocapture"]);
        let output = child.env("SIDEGATE_TEST_CHILD", "shutdown").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("ended without closing the store"), "{output:?}");
    }
}
