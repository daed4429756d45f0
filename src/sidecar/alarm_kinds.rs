//! The kinds of alarms that a host raises itself. Those of following are in `replica/state/alarm.rs`.

use crate::api::standing_alarm::{AlarmKind, SOCKET_LOST};

/// The beginning of what to do about a GitLab that does not know most keys; in shadow mode that is all.
macro_rules! look_at_gitlab {
    () => {
        "look whether it is the right instance (DNS, `primary.url`), has its own database and not an older one, and its keys to decrypt it"
    };
}

/// What to do in shadow mode about [`MASS_NEGATIVE`]: nobody is let in by it, so there is nothing to end.
pub const LOOK_AT_GITLAB: &str = look_at_gitlab!();

/// The guard against a GitLab that knows no keys any more holds.
pub const MASS_NEGATIVE: AlarmKind = AlarmKind {
    name: "mass_negative",
    remedy: concat!(look_at_gitlab!(), "; if the keys are meant to be gone: `sidegate invalidate all`"),
};
/// What is kept would not survive a restart.
pub const KEPT_STORE: AlarmKind =
    AlarmKind { name: "kept_store", remedy: "make room on the disk of `store.path`; it is tried again every 10 s" };

/// All of them; [`SOCKET_LOST`]: no client finds a socket.
pub const OWN: [AlarmKind; 3] = [MASS_NEGATIVE, KEPT_STORE, SOCKET_LOST];
