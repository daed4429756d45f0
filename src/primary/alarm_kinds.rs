//! The kinds of alarms of a primary, and of a mirror, which publishes a directory as a primary does.

use crate::api::standing_alarm::{AlarmKind, SOCKET_LOST};

/// The store's disk is full.
pub const DISK_FULL: AlarmKind = AlarmKind { name: "disk_full", remedy: "make room on the disk of `store.path`" };
/// The store's file system takes no writes.
pub const STORE_READ_ONLY: AlarmKind =
    AlarmKind { name: "store_read_only", remedy: "see why the kernel closed it (`journalctl -k`), and mount it writable" };
/// The store's disk does not answer, or a write to it does not end.
pub const STORE_HANGING: AlarmKind =
    AlarmKind { name: "store_hanging", remedy: "look at the disk of `store.path`, and what is below it (`journalctl -k`)" };
/// A write to the store has failed.
pub const STORE_FAILED: AlarmKind =
    AlarmKind { name: "store_failed", remedy: "look at the disk of `store.path` and the log; systemd starts the primary again" };
/// Several hosts have one name.
pub const SHARED_HOST_NAME: AlarmKind =
    AlarmKind { name: "shared_host_name", remedy: "give each host its own `host`; `sidegate admin forget-host` the one that is no more" };
/// Hosts may follow that are not known here.
pub const HOSTS_MISSING: AlarmKind = AlarmKind {
    name: "hosts_missing",
    remedy: "wait until then before a key is taken for dead: hosts that this primary does not know may still let it in; see `sidegate admin hosts`",
};
/// Two records lead to one repository.
pub const SHARED_REPOSITORIES: AlarmKind =
    AlarmKind { name: "shared_repositories", remedy: "give each project of the directory file a repository of its own, and apply it" };
/// Records break the grammar of a field.
pub const INVALID_RECORDS: AlarmKind =
    AlarmKind { name: "invalid_records", remedy: "correct them in the directory file, and apply it; the log names them" };

/// All that stand until their cause is gone.
pub const STANDING: [AlarmKind; 9] = [
    DISK_FULL,
    STORE_READ_ONLY,
    STORE_HANGING,
    STORE_FAILED,
    SHARED_HOST_NAME,
    HOSTS_MISSING,
    SHARED_REPOSITORIES,
    INVALID_RECORDS,
    SOCKET_LOST,
];

/// A host could not be stored. Like the two below it is over at once, and only counted.
pub const HOST_NOT_STORED: AlarmKind = AlarmKind { name: "host_not_stored", remedy: "make room on the disk of `store.path`" };
/// A host has a cursor of a directory that was never here.
pub const UNKNOWN_CURSOR: AlarmKind = AlarmKind { name: "unknown_cursor", remedy: UNKNOWN_STATE_REMEDY };
/// A host acknowledges what was never here.
pub const UNKNOWN_ACK: AlarmKind = AlarmKind { name: "unknown_ack", remedy: UNKNOWN_STATE_REMEDY };

const UNKNOWN_STATE_REMEDY: &str =
    "if the primary was restored from a backup, run `sidegate admin new-epoch`, once; else look which primary that host follows";

/// All that are only counted.
pub const EVENTS: [AlarmKind; 3] = [HOST_NOT_STORED, UNKNOWN_CURSOR, UNKNOWN_ACK];
