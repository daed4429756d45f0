//! What a daemon waits for once it serves: to be told to end, or to read its files again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit_status::CommandError;

/// How often the secrets' files are looked at.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// SIGTERM or SIGINT.
    Terminate,
    /// SIGHUP: somebody asked for a reload.
    Reload,
    /// A watched file is another one than before.
    SecretFileChanged,
}

/// Signals, and the files that are watched.
pub struct LifecycleEvents {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    watched_files: Vec<(PathBuf, Option<SystemTime>)>,
}

impl LifecycleEvents {
    /// Begins to listen. Must be called within a runtime.
    pub fn subscribe(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, CommandError> {
        let on = |kind| signal(kind).map_err(|error| CommandError::with_context("signals cannot be listened to", error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            watched_files: files.into_iter().map(|file| (file.clone(), modified_at(&file))).collect(),
        })
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> LifecycleEvent {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return LifecycleEvent::Terminate,
                _ = self.interrupt.recv() => return LifecycleEvent::Terminate,
                _ = self.hang_up.recv() => {
                    self.poll_files();
                    return LifecycleEvent::Reload;
                }
                () = tokio::time::sleep(FILE_POLL_INTERVAL) => {
                    if self.poll_files() {
                        return LifecycleEvent::SecretFileChanged;
                    }
                }
            }
        }
    }

    fn poll_files(&mut self) -> bool {
        let mut changed = false;
        for (file, seen) in &mut self.watched_files {
            let now = modified_at(file);
            changed |= now.is_some() && now != *seen;
            *seen = now.or(*seen);
        }
        changed
    }
}

fn modified_at(file: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}
