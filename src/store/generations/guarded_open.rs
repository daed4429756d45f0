//! Opening what may be damaged: within a time limit, surviving a panic, and under a marker that outlives the process.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::store::error::StoreError;
use crate::store::files::atomic_file;
use crate::store::files::folder::{FileError, is_storage_full};

/// So often may a process die while it opens a generation before that is believed to be the generation's doing. Once says nothing: a kill
/// may come at any moment, and a host that throws away a sound store while the primary is dead lets nobody in.
const MAX_OPEN_CRASHES: usize = 2;

/// Opens generation `number` under a marker and a time limit. On success the marker goes; else it stays until the generation is set aside.
/// Whoever finds it tries again, [`DEATHS`] times in all.
///
/// Blocks for at most about `limit`. A thread that took longer ends by itself and what it opened is closed.
pub fn open_guarded<T: Send + 'static>(
    marker: &Path,
    number: u64,
    limit: Duration,
    open: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<Result<T, GuardedOpenError>, FileError> {
    let line = format!("{number}\n");
    let died = atomic_file::read(marker).ok().flatten().map_or(0, |kept| count_repeats(&kept, &line));
    if died >= MAX_OPEN_CRASHES {
        return Ok(Err(GuardedOpenError::CrashedRepeatedly(died)));
    }
    write_marker(marker, &line.repeat(died + 1))?;
    let outcome = run_with_timeout(limit, open);
    if outcome.is_ok() {
        atomic_file::remove(marker)?;
    }
    Ok(outcome)
}

/// How often a text is this line, if it is nothing else.
fn count_repeats(text: &str, line: &str) -> usize {
    let count = text.len() / line.len();
    if line.repeat(count) == text { count } else { 0 }
}

/// Leaves a marker. Not synced: it has to outlive this process, and an outage of power while opening says nothing against the generation.
///
/// A disk without room for it is no reason to keep a sound store shut: the opening is still watched, and a death in it is seen by whoever
/// restarts the process.
fn write_marker(marker: &Path, line: &str) -> Result<(), FileError> {
    match fs::write(marker, line) {
        Err(error) if is_storage_full(&error) => {
            tracing::warn!("{}: {error}; the store is opened without it, make room on this disk", marker.display());
            let _half_written = fs::remove_file(marker);
            Ok(())
        }
        written => written.map_err(FileError::io(marker)),
    }
}

/// Why a generation did not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardedOpenError {
    /// So many processes in a row died while they opened it.
    #[error("the process died {0} times in a row while it opened it")]
    CrashedRepeatedly(usize),
    /// The database is damaged, or of another format.
    #[error("{}", .0.0)]
    Failed(StoreError),
    /// It took longer than the limit.
    #[error("it did not open within {0:?}")]
    TimedOut(Duration),
    /// The opening thread panicked.
    #[error("it panicked while opening")]
    Panicked,
    /// No thread could be started.
    #[error("no thread to open it on: {0}")]
    SpawnFailed(String),
}

fn run_with_timeout<T: Send + 'static>(
    limit: Duration,
    open: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, GuardedOpenError> {
    let (give, take) = mpsc::sync_channel(1);
    let opener = move || drop(give.send(open()));
    thread::Builder::new().name("open-store".to_owned()).spawn(opener).map_err(|error| GuardedOpenError::SpawnFailed(error.to_string()))?;
    match take.recv_timeout(limit) {
        Ok(outcome) => outcome.map_err(GuardedOpenError::Failed),
        Err(RecvTimeoutError::Timeout) => Err(GuardedOpenError::TimedOut(limit)),
        Err(RecvTimeoutError::Disconnected) => Err(GuardedOpenError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{GuardedOpenError, open_guarded, run_with_timeout};
    use crate::store::error::StoreError;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_processes_died_of_twice_in_a_row_is_not_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("opening");
        let opened = |died: usize| {
            assert_eq!(fs::read_to_string(&marker).unwrap_or_default(), "3\n".repeat(died));
            open_guarded(&marker, 3, LONG, || -> Result<(), StoreError> { panic!("it is opened") }).unwrap()
        };
        assert_eq!(opened(0), Err(GuardedOpenError::Panicked));
        assert_eq!(opened(1), Err(GuardedOpenError::Panicked), "a death that may have come from anywhere");
        assert_eq!(opened(2), Err(GuardedOpenError::CrashedRepeatedly(2)));
    }

    #[test]
    fn a_marker_of_another_generation_means_nothing_and_an_opening_that_ended_well_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("opening");
        for kept in ["4\n", "4\n4\n", "3\n4\n", "", "nonsense", "3\n"] {
            fs::write(&marker, kept).unwrap();
            assert_eq!(open_guarded(&marker, 3, LONG, || Ok(7)).unwrap(), Ok(7), "{kept:?}");
            assert!(!marker.exists());
        }
    }

    #[test]
    fn an_opening_that_hangs_or_panics_is_damage() {
        let (_hold, wait) = mpsc::channel::<()>();
        let limit = Duration::from_millis(1);
        let hangs = move || {
            let _never = wait.recv();
            Ok(())
        };
        assert_eq!(run_with_timeout(limit, hangs), Err(GuardedOpenError::TimedOut(limit)));
        assert_eq!(run_with_timeout(LONG, || -> Result<(), StoreError> { panic!("as sled does") }), Err(GuardedOpenError::Panicked));
        let damaged = run_with_timeout(LONG, || Err::<(), _>(StoreError("bits".to_owned())));
        assert_eq!(damaged, Err(GuardedOpenError::Failed(StoreError("bits".to_owned()))));
    }
}
