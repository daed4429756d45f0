//! Opening a generation that may be damaged: within a time limit, surviving a panic, and under a marker that outlives the process.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::store::error::StoreError;
use crate::store::files::atomic_file;
use crate::store::files::folder::{FileError, is_storage_full};

/// How many processes in a row may die while they open a generation before it counts as damaged. One says nothing: a kill may come
/// at any moment, and a host that throws away a sound store while the primary is unreachable lets nobody in.
const MAX_OPEN_CRASHES: usize = 2;

/// Opens generation `number` under a marker and a time limit. On success the marker is removed; otherwise it stays until the generation
/// is moved to quarantine. A process that finds a marker adds a line to it, and gives up at `MAX_OPEN_CRASHES` lines.
///
/// Blocks for at most about `limit`. A thread that took longer ends by itself and what it opened is closed.
pub fn open_guarded<T: Send + 'static>(
    marker: &Path,
    number: u64,
    limit: Duration,
    open: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<Result<T, GuardedOpenError>, FileError> {
    let line = format!("{number}\n");
    let crashes = atomic_file::read(marker).ok().flatten().map_or(0, |text| count_repeats(&text, &line));
    if crashes >= MAX_OPEN_CRASHES {
        return Ok(Err(GuardedOpenError::CrashedRepeatedly(crashes)));
    }
    write_marker(marker, &line.repeat(crashes + 1))?;
    let outcome = run_with_timeout(limit, open);
    if outcome.is_ok() {
        atomic_file::remove(marker)?;
    }
    Ok(outcome)
}

/// Returns how often `text` repeats `line`; 0 if it contains anything else.
fn count_repeats(text: &str, line: &str) -> usize {
    let count = text.len() / line.len();
    if line.repeat(count) == text { count } else { 0 }
}

/// Writes the marker. The one small file that is not synced, on purpose: it has to outlive this process, and a power failure while
/// opening says nothing about the generation.
///
/// On a full disk the generation is opened without a marker.
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
    let (sender, receiver) = mpsc::sync_channel(1);
    let opener = move || drop(sender.send(open()));
    thread::Builder::new().name("open-store".to_owned()).spawn(opener).map_err(|error| GuardedOpenError::SpawnFailed(error.to_string()))?;
    match receiver.recv_timeout(limit) {
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
    fn a_generation_that_two_processes_died_of_is_not_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("opening");
        let opened = |crashes: usize| {
            assert_eq!(fs::read_to_string(&marker).unwrap_or_default(), "3\n".repeat(crashes));
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
        for text in ["4\n", "4\n4\n", "3\n4\n", "", "nonsense", "3\n"] {
            fs::write(&marker, text).unwrap();
            assert_eq!(open_guarded(&marker, 3, LONG, || Ok(7)).unwrap(), Ok(7), "{text:?}");
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
