//! What an operator must look at, as the status of every daemon lists it: one shape, whatever raised it.

use serde::Serialize;

use crate::model::time::Time;
use crate::net::server::counters::ServerCounters;

/// A kind of alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmKind {
    /// Its name in status, log and metrics, in small letters and underscores.
    pub name: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// No client finds a socket.
pub const SOCKET_LOST: AlarmKind = AlarmKind {
    name: "socket_lost",
    remedy: "restart the unit that makes the socket (`sidegate.socket`, or the daemon's own service), and find out what took its file away",
};

/// An alarm that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StandingAlarm {
    /// Its kind, in small letters and underscores.
    pub kind: String,
    /// Since when it stands; `None` where that is not known.
    pub since: Option<Time>,
    /// For a person: what is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl StandingAlarm {
    /// Creates an alarm of this kind, with its remedy.
    #[must_use]
    pub fn new(kind: AlarmKind, since: Option<Time>, message: String) -> Self {
        Self { kind: kind.name.to_owned(), since, message, remedy: kind.remedy.to_owned() }
    }
}

/// Returns an alarm for each socket that no client finds.
pub fn socket_alarms(counters: &ServerCounters) -> impl Iterator<Item = StandingAlarm> {
    let lost = counters.sockets.lost().into_iter();
    lost.map(|(_, lost)| StandingAlarm::new(SOCKET_LOST, Some(lost.since), lost.message))
}
