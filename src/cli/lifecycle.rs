//! The events that a running daemon waits for: signals to end or to reload, and changed files of secrets and certificates.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit_status::CommandError;
use crate::net::notify;

/// How often the modification times of the files are read.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// An event that a running daemon acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// SIGTERM or SIGINT.
    Terminate,
    /// SIGHUP: an operator asks for a reload.
    Reload,
    /// The modification time of a watched file has changed.
    FileChanged,
}

/// Returns the runtime of a daemon's own tasks; those that answer have their own.
pub fn start_runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)
}

/// A subscription to signals, and to changes of files.
pub struct LifecycleEvents {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    watched_files: Vec<(PathBuf, Option<SystemTime>)>,
}

impl LifecycleEvents {
    /// Subscribes to signals and to changes of `files`. To be called before anybody is accepted: a signal that ends the process before that
    /// would turn them away.
    pub fn subscribe(runtime: &Runtime, files: impl IntoIterator<Item = PathBuf>) -> Result<Self, CommandError> {
        let _context = runtime.enter();
        let on = |kind| signal(kind).map_err(|error| CommandError::with_context("signals cannot be listened to", error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            watched_files: files.into_iter().map(|file| (file.clone(), modified_at(&file))).collect(),
        })
    }

    /// Waits for the next event.
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
                        return LifecycleEvent::FileChanged;
                    }
                }
            }
        }
    }

    /// Tells systemd that the daemon is ready, then calls `reload` at each event until the daemon is told to end. It returns the files that
    /// are watched from then on.
    pub async fn reload_until_terminated(&mut self, mut reload: impl FnMut(LifecycleEvent) -> Vec<PathBuf>) {
        notify::ready();
        loop {
            let event = self.next().await;
            let files = match event {
                LifecycleEvent::Terminate => return notify::stopping(),
                LifecycleEvent::Reload => {
                    notify::reloading();
                    let files = reload(event);
                    notify::ready();
                    files
                }
                LifecycleEvent::FileChanged => reload(event),
            };
            self.watch(files);
        }
    }

    /// Watches these files. What is known of one that was watched before stays: it may have changed since.
    fn watch(&mut self, files: Vec<PathBuf>) {
        let former = std::mem::take(&mut self.watched_files);
        let known = |file: &Path| former.iter().find(|(former, _)| former == file).map(|(_, modified)| *modified);
        self.watched_files = files.into_iter().map(|file| (file.clone(), known(&file).unwrap_or_else(|| modified_at(&file)))).collect();
    }

    fn poll_files(&mut self) -> bool {
        let mut changed = false;
        for (file, known) in &mut self.watched_files {
            let modified = modified_at(file);
            changed |= modified.is_some() && modified != *known;
            *known = modified.or(*known);
        }
        changed
    }
}

fn modified_at(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}
