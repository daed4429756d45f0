//! Undoing what a record has: the drop-in first, so that sshd asks nobody who is about to go, then the units, then all else, the last first.

use crate::cli::setup::host::Host;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::{folder, key_command, membership, text_file, units, user};

/// Returns the entries in the order in which they are undone.
#[must_use]
pub fn in_order(record: &Record) -> Vec<Entry> {
    let mut entries: Vec<Entry> = record.entries().iter().rev().cloned().collect();
    entries.sort_by_key(|entry| match entry {
        Entry::DropIn { .. } => 0,
        Entry::Units { .. } => 1,
        _ => 2,
    });
    entries
}

/// Returns what undoing an entry is, as a line of a plan.
#[must_use]
pub fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Folder { path } => format!("remove the folder {}", path.display()),
        Entry::File { path, .. } => format!("remove {}", path.display()),
        Entry::User { name, uid: None, .. } => format!("forget the user {name}, which is not known to be made by setup"),
        Entry::User { name, home, .. } => format!("remove the user {name} and the home {}", home.display()),
        Entry::Units { enabled, started, .. } if enabled.is_empty() && started.is_empty() => {
            "forget which units were to be restarted".to_owned()
        }
        Entry::Units { enabled, started, .. } => {
            let mut units: Vec<&str> = enabled.iter().chain(started).map(String::as_str).collect();
            units.sort_unstable();
            units.dedup();
            format!("stop and disable {}", units.join(" "))
        }
        Entry::Membership { user, group } => format!("remove the user {user} from the group {group}"),
        Entry::DropIn { path, .. } => format!("remove {} and reload sshd, so that it asks whom it asked before", path.display()),
    }
}

/// Undoes an entry. Returns why the thing is kept.
pub fn undo(host: &Host, entry: &Entry) -> Result<(), String> {
    match entry {
        Entry::Folder { path } => folder::undo(&host.path(path)),
        Entry::File { path, sha256 } => text_file::undo(&host.path(path), sha256),
        Entry::User { uid: None, .. } => Ok(()),
        Entry::User { name, uid: Some(uid), home, files } => user::undo(host, name, *uid, home, files),
        Entry::Units { enabled, started, .. } => units::undo(host, enabled, started),
        Entry::Membership { user, group } => membership::undo(host, user, group),
        Entry::DropIn { path, sha256, user, .. } => key_command::undo(host, path, sha256, user),
    }
}
