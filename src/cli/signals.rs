//! What a daemon waits for once it serves: to be told to end, or to read its files again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::outcome::Failure;

/// How often the secrets' files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP: somebody asked for a reload.
    Reload,
    /// A watched file is another one than before.
    Changed,
}

/// Signals, and the files that are watched.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    watched: Vec<(PathBuf, Option<SystemTime>)>,
}

impl Signals {
    /// Begins to listen. Must be called within a runtime.
    pub fn listen(files: impl IntoIterator<Item = PathBuf>) -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::while_doing("signals cannot be listened to", error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            watched: files.into_iter().map(|file| (file.clone(), modified(&file))).collect(),
        })
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Told::End,
                _ = self.interrupt.recv() => return Told::End,
                _ = self.hang_up.recv() => {
                    self.look();
                    return Told::Reload;
                }
                () = tokio::time::sleep(LOOK) => {
                    if self.look() {
                        return Told::Changed;
                    }
                }
            }
        }
    }

    fn look(&mut self) -> bool {
        let mut changed = false;
        for (file, seen) in &mut self.watched {
            let now = modified(file);
            changed |= now.is_some() && now != *seen;
            *seen = now.or(*seen);
        }
        changed
    }
}

fn modified(file: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}
