//! What is at the path of a socket, and the alarm while it is not the daemon's own socket: a client finds a socket by its file only, so a
//! daemon whose file is gone or is another's serves nobody. Whether that is so is looked at by `socket_watch.rs`.
//!
//! The alarm is in the log, at once and then every minute, in the line that `systemctl status` shows, in `status` and in the metrics.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::net::notify;

/// How often an alarm that lasts is repeated in the log.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// The file of a socket as it was when it was bound or handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the socket file at a path; `None` if there is none.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok().filter(|metadata| metadata.file_type().is_socket())?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// What is at the path of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// The file of our socket.
    Ours,
    /// Nothing.
    Missing,
    /// Another socket, or something else.
    Replaced,
}

impl PathState {
    /// Returns what is at `path` now, compared with what was there. While our socket is open, its inode is not given to another file.
    #[must_use]
    pub fn of(path: &Path, bound: Option<FileIdentity>) -> Self {
        match fs::symlink_metadata(path) {
            Err(_) => Self::Missing,
            Ok(_) if bound.is_some() && FileIdentity::at(path) == bound => Self::Ours,
            Ok(_) => Self::Replaced,
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Ours => "in place",
            Self::Missing => "missing",
            Self::Replaced => "replaced by another file",
        }
    }
}

/// What is known of the files of the sockets: written by the watch, read by `status` and the metrics.
#[derive(Debug, Default)]
pub struct SocketAlarms {
    state: Mutex<AlarmState>,
}

#[derive(Debug, Default)]
struct AlarmState {
    lost: BTreeMap<PathBuf, LostSocket>,
    remade: u64,
}

/// A socket that no client finds.
#[derive(Clone, Debug)]
pub struct LostSocket {
    /// Since when.
    pub since: Time,
    /// What is wrong, and what to do.
    pub message: String,
    logged_at: BootTime,
}

impl SocketAlarms {
    /// Returns the sockets that no client finds now, by path.
    #[must_use]
    pub fn lost(&self) -> Vec<(PathBuf, LostSocket)> {
        self.state().lost.iter().map(|(path, lost)| (path.clone(), lost.clone())).collect()
    }

    /// Returns how often a socket was made again.
    #[must_use]
    pub fn remade(&self) -> u64 {
        self.state().remade
    }

    /// Notes that no client finds the socket at `path`, and how that ends. Logs it at once and then once a minute.
    pub fn raise(&self, path: &Path, found: PathState, remedy: &str) {
        let (now, boot) = (clock::wall_time(), clock::boot_time());
        let message = format!("the socket {} is {}: no client reaches this daemon; {remedy}", path.display(), found.description());
        let mut state = self.state();
        let known = state.lost.get(path).map(|lost| (lost.since, lost.logged_at));
        let due = known.is_none_or(|(_, logged_at)| boot.since(logged_at) >= REPEAT_INTERVAL);
        let logged_at = known.filter(|_| !due).map_or(boot, |(_, logged_at)| logged_at);
        let since = known.map_or(now, |(since, _)| since);
        state.lost.insert(path.to_owned(), LostSocket { since, message: message.clone(), logged_at });
        drop(state);
        if due {
            tracing::error!(path = %path.display(), "{message}");
            notify::status(&message);
        }
    }

    /// Notes that clients find the socket at `path`.
    pub fn clear(&self, path: &Path) {
        if self.state().lost.remove(path).is_some() {
            tracing::info!(path = %path.display(), "the socket {} is in place again", path.display());
            notify::status("");
        }
    }

    /// Notes that the socket at `path` was made again.
    pub fn record_remade(&self, path: &Path, found: PathState) {
        self.state().remade += 1;
        tracing::warn!(
            path = %path.display(),
            "the socket {} was {}, and was made again; find out what removed it",
            path.display(),
            found.description()
        );
    }

    fn state(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::{FileIdentity, PathState, SocketAlarms};

    #[test]
    fn a_path_is_ours_missing_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let bound = FileIdentity::at(&path);
        assert_eq!(PathState::of(&path, bound), PathState::Ours);
        fs::remove_file(&path).unwrap();
        assert_eq!(PathState::of(&path, bound), PathState::Missing);
        let other = UnixListener::bind(&path).unwrap();
        assert_eq!(PathState::of(&path, bound), PathState::Replaced, "our own socket is open, so its inode is not free");
        drop((listener, other));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(PathState::of(&path, bound), PathState::Replaced);
        assert_eq!(PathState::of(&path, None), PathState::Replaced, "what was never seen is not ours");
    }

    #[test]
    fn an_alarm_keeps_its_beginning_until_it_is_cleared() {
        let (alarms, path) = (SocketAlarms::default(), std::path::Path::new("/run/x/api.sock"));
        alarms.raise(path, PathState::Missing, "restart its unit");
        let (_, first) = alarms.lost().remove(0);
        alarms.raise(path, PathState::Replaced, "restart its unit");
        let (_, second) = alarms.lost().remove(0);
        assert_eq!(first.since, second.since);
        assert!(second.message.contains("/run/x/api.sock is replaced by another file") && second.message.ends_with("restart its unit"));
        alarms.clear(path);
        assert!(alarms.lost().is_empty());
    }
}
