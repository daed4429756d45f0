//! What the tasks of a replica share with each other, with answering threads and with the operator: the value that is served
//! (swapped as a whole, read without a lock), the details of the status behind a short lock, alarms, and requests for a resync.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::model::change::Head;
use crate::model::clock;
use crate::model::freshness::ProofSource;
use crate::model::time::{BootTime, Time};
use crate::replica::feed::confirmed_bound::ConfirmedBound;
use crate::replica::state::alarm::{Alarm, Alarms};
use crate::replica::state::resync_requests::ResyncRequests;
use crate::replica::state::serving::{HeldChanges, Serving};
use crate::replica::state::status::{FeedRelation, LastError, ReplicaCounters, ReplicaStatus, UnstoredStatus};
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::FeedLine;

/// The state that the tasks of one replica share.
pub struct ReplicaState {
    serving: ArcSwap<Serving>,
    opened: watch::Sender<bool>,
    details: Mutex<StatusDetails>,
    /// How long may be answered without the primary.
    pub bound: Arc<ConfirmedBound>,
    /// What an operator must look at.
    pub alarms: Alarms,
    /// Requests for a new generation.
    pub resync_requests: ResyncRequests,
    /// The head of the snapshot that was loaded last.
    pub loaded_snapshot: watch::Sender<Option<Head>>,
}

/// The part of the status that no answer depends on.
#[derive(Default)]
pub struct StatusDetails {
    /// Since when the feed is connected; `None` while it is not.
    pub connected_since: Option<Time>,
    /// Since when the feed is not connected; `None` while it is, and before the first try.
    pub lost_since: Option<Time>,
    /// How the store relates to the feed.
    pub relation: FeedRelation,
    /// The primary's head, as its last line said.
    pub primary: Option<Head>,
    /// Whether count and digest were equal at the last line that could be compared.
    pub digest_equal: Option<bool>,
    /// The folder of the serving generation, if it was loaded since the start.
    pub generation: Option<String>,
    /// The serving generation's size on disk, in bytes.
    pub store_bytes: u64,
    /// The last head that is on disk.
    pub flushed: Option<Head>,
    /// The last head that the primary has taken an acknowledgement of.
    pub acknowledged: Option<Head>,
    /// The last error, with how often it came in a row.
    pub last_error: Option<LastError>,
    /// Why a snapshot is being fetched and since when, while one is.
    pub resyncing: Option<(String, Time)>,
    /// What has happened since the start.
    pub counters: ReplicaCounters,
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl ReplicaState {
    /// Returns the state of a replica that serves nothing yet, and may answer without the primary as long as `bound` says.
    #[must_use]
    pub fn new(bound: Arc<ConfirmedBound>) -> Self {
        Self {
            serving: ArcSwap::default(),
            opened: watch::Sender::new(false),
            details: Mutex::default(),
            bound,
            alarms: Alarms::default(),
            resync_requests: ResyncRequests::default(),
            loaded_snapshot: watch::Sender::new(None),
        }
    }

    /// Returns what is served at this moment.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Swaps in the served value with `change` applied to it.
    pub fn publish(&self, change: impl Fn(&mut Serving)) {
        self.serving.rcu(|serving| {
            let mut next = Serving::clone(serving);
            change(&mut next);
            next
        });
    }

    /// Puts changes that the store could not take on top of what is served, or nothing any more.
    pub fn publish_held(&self, held: Option<HeldChanges>) {
        match &held {
            Some(held) => self.alarms.raise(Alarm::Unstored, unstored_message(held), clock::wall_time()),
            None => self.alarms.clear(Alarm::Unstored),
        }
        self.publish(|serving| serving.set_held(held.clone()));
    }

    /// Records that the store was opened, or that there is none to open.
    pub fn set_opened(&self) {
        self.opened.send_replace(true);
    }

    /// Waits until the store was opened, or there is none to open.
    pub async fn wait_until_open(&self) {
        let mut opened = self.opened.subscribe();
        drop(opened.wait_for(|opened| *opened).await);
    }

    /// Locks the details of the status, for a moment.
    pub fn details(&self) -> MutexGuard<'_, StatusDetails> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a line that came for a generation that has followed to `position`.
    pub fn record_line(&self, line: &FeedLine, position: Option<Head>) {
        let mut details = self.details();
        let (seq, state) = match line {
            FeedLine::Commit(commit) => {
                details.counters.commits += 1;
                details.counters.changes += u64::try_from(commit.changes.len()).unwrap_or(0);
                (commit.seq, commit.state)
            }
            FeedLine::Heartbeat { seq, state } => {
                details.counters.heartbeats += 1;
                (*seq, *state)
            }
        };
        details.primary = position.map(|head| Head { epoch: head.epoch, seq, state });
    }

    /// Records an error for the status; the same one again is counted.
    pub fn record_error(&self, message: String) {
        let now = clock::wall_time();
        let mut details = self.details();
        match &mut details.last_error {
            Some(error) if error.message == message => {
                error.last = now;
                error.times += 1;
            }
            other => *other = Some(LastError { message, since: now, last: now, times: 1 }),
        }
    }

    /// Returns the whole status, for the operator.
    #[must_use]
    pub fn status(&self, now: BootTime) -> ReplicaStatus {
        let serving = self.serving();
        let alarms = self.alarms.active();
        let details = self.details();
        ReplicaStatus {
            connected_since: details.connected_since,
            lost_since: details.lost_since,
            following: details.relation,
            covers: serving.coverage.clone().into(),
            cursor: serving.head,
            primary: details.primary,
            lag: lag(serving.head, details.primary),
            digest_equal: details.digest_equal,
            age_seconds: serving.reading.age(now).map(|age| age.as_secs_f64()),
            proof: serving.reading.proof_source.map(ProofSource::as_str),
            instance: self.bound.instance().map(str::to_owned),
            max_stale_seconds: self.bound.claimed(),
            confirmed_max_stale_seconds: self.bound.confirmed(),
            caught_up: serving.reading.caught_up,
            whole: serving.reading.view.as_ref().is_some_and(|view| view.verified),
            counts: serving.generation.as_ref().map(Generation::counts_by_kind).unwrap_or_default(),
            shared_repositories: serving.generation.as_ref().map_or(0, |generation| generation.shared_repositories().count()),
            invalid_records: serving.generation.as_ref().and_then(|generation| Some(generation.invalid_records()?.count())),
            foreign: serving.generation.as_ref().map_or(0, Generation::foreign_count),
            unstored: serving.held.as_ref().map(unstored_status),
            generation: details.generation.clone(),
            store_bytes: details.store_bytes,
            flushed: details.flushed,
            acknowledged: details.acknowledged,
            last_error: details.last_error.clone(),
            alarms,
            resyncing: details.resyncing.as_ref().map(|(reason, _)| reason.clone()),
            resyncing_since: details.resyncing.as_ref().map(|(_, since)| *since),
            counted: ReplicaCounters { alarms: self.alarms.raised_total(), ..details.counters },
        }
    }
}

fn lag(cursor: Option<Head>, primary: Option<Head>) -> Option<u64> {
    let (cursor, primary) = (cursor?, primary?);
    (cursor.epoch == primary.epoch).then(|| primary.seq.saturating_sub(cursor.seq))
}

const fn unstored_status(held: &HeldChanges) -> UnstoredStatus {
    UnstoredStatus { since: held.since, changes: held.count, complete: held.is_complete, survives_restart: held.survives_restart }
}

/// Returns the alarm's text: what binds, what does not work until the store can be written, and what to do.
fn unstored_message(held: &HeldChanges) -> String {
    let (count, since) = (held.count, held.since);
    let bind = format!(
        "since {since} the store cannot take what the primary sends: {count} changes that take access away bind here all the same, the primary is not told, and this host is not fresh"
    );
    match (held.is_complete, held.survives_restart) {
        (true, true) => format!("{bind}: make room on the store's disk"),
        (true, false) => {
            format!("{bind}. They could not be written to disk: make room on it; after a restart nothing is answered without the primary")
        }
        (false, _) => format!(
            "{bind}. There are more, or some cannot be read: nothing is answered without the primary until the store has them. Make room on its disk"
        ),
    }
}
