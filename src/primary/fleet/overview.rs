//! What the fleet page shows, read at one moment.

use std::sync::Arc;
use std::time::Duration;

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::api::request::RequestTime;
use crate::api::standing_alarm::StandingAlarm;
use crate::model::change::Head;
use crate::model::time::Time;
use crate::primary::fleet::revocations_in_flight::{InFlight, confirmed_seq, read_in_flight};
use crate::primary::replication::host_table::{HostView, OLDER_VERSION};
use crate::primary::replication::missing_hosts::MissingPeriod;
use crate::primary::standing_alarms::standing_alarms;
use crate::primary::state::PrimaryState;

/// A host acknowledges something every 30 s; what it said longer ago than this is marked as old.
const ACK_OVERDUE: Duration = Duration::from_secs(90);

/// The fleet at one moment.
pub struct Overview {
    /// `primary` or `mirror`.
    pub daemon: &'static str,
    /// The version of the daemon.
    pub version: &'static str,
    /// When this was read.
    pub now: Time,
    /// Since when the daemon runs.
    pub since: Time,
    /// What it has published.
    pub head: Head,
    /// Its alarms.
    pub alarms: Vec<StandingAlarm>,
    /// Whether hosts may be missing, and until when.
    pub missing: Option<MissingPeriod>,
    /// The hosts: those that need somebody first, then by name.
    pub hosts: Vec<HostRow>,
    /// What was revoked and is not in force everywhere yet.
    pub in_flight: InFlight,
}

/// How a host stands. The order is that of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostState {
    /// It is connected and has an alarm, or has confirmed nothing for a while.
    Trouble,
    /// It is not connected, and may still answer.
    Away,
    /// It is connected and has not confirmed the last commit yet.
    Behind,
    /// It is connected and has confirmed the last commit.
    Following,
    /// It is not connected, and may not answer any more.
    Lapsed,
}

/// One host.
pub struct HostRow {
    /// Its name.
    pub name: Arc<str>,
    /// How it stands.
    pub state: HostState,
    /// How many commits it has yet to confirm; `None` if it has confirmed none of this epoch.
    pub behind: Option<u64>,
    /// When it last confirmed something.
    pub confirmed: Option<Time>,
    /// When it was last in touch.
    pub seen: Time,
    /// For how many seconds it may answer without the primary, at most.
    pub max_stale: u64,
    /// Until when it may answer, if it gets no line any more.
    pub may_answer_until: Time,
    /// Its version, where it says it.
    pub version: Option<Arc<str>>,
    /// Its alarms, and what is wrong with it as seen from here.
    pub alarms: Vec<String>,
}

impl Overview {
    /// Reads the overview of a daemon that publishes a feed, with its own alarms and these others.
    pub async fn read(
        state: &PrimaryState,
        daemon: &'static str,
        more_alarms: Vec<StandingAlarm>,
        time: RequestTime,
    ) -> Result<Self, ApiError> {
        let (head, views) = (state.store.head(), state.hosts.list(time.boot));
        let mut hosts: Vec<HostRow> = views.iter().map(|host| HostRow::new(host, &head, time.wall)).collect();
        hosts.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
        let store = state.store.clone();
        let in_flight = run_blocking(move || read_in_flight(&store, &views, &head, time.wall)).await?;
        Ok(Self {
            daemon,
            version: env!("CARGO_PKG_VERSION"),
            now: time.wall,
            since: state.started_at.wall,
            head,
            alarms: standing_alarms(state, time).into_iter().chain(more_alarms).collect(),
            missing: state.missing_hosts.current(time),
            hosts,
            in_flight,
        })
    }

    /// Returns how many hosts stand like this.
    #[must_use]
    pub fn count(&self, state: HostState) -> usize {
        self.hosts.iter().filter(|host| host.state == state).count()
    }
}

impl HostRow {
    fn new(host: &HostView, head: &Head, now: Time) -> Self {
        let behind = confirmed_seq(host, head).map(|seq| head.seq.saturating_sub(seq));
        let confirmed = host.acked.as_ref().map(|acked| acked.at);
        let is_overdue = confirmed.is_some_and(|at| now.since(at) >= ACK_OVERDUE);
        let mut alarms: Vec<String> = host.report.alarms.iter().flatten().map(ToString::to_string).collect();
        if host.shares_name {
            alarms.push("shared_host_name".to_owned());
        }
        if !host.says_bounds {
            alarms.push(OLDER_VERSION.to_owned());
        }
        let state = match (host.is_connected(), host.has_lapsed()) {
            (false, true) => HostState::Lapsed,
            (false, false) => HostState::Away,
            (true, _) if !alarms.is_empty() || is_overdue => HostState::Trouble,
            (true, _) if behind == Some(0) => HostState::Following,
            (true, _) => HostState::Behind,
        };
        Self {
            name: Arc::clone(&host.name),
            state,
            behind,
            confirmed,
            seen: host.seen,
            max_stale: host.max_stale,
            may_answer_until: now.plus(host.may_serve_for),
            version: host.report.version.clone(),
            alarms,
        }
    }
}
