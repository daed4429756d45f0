//! What the loops know and others read: the view, the head and the age without a lock, the rest behind a short one.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::freshness::DirectoryView;
use crate::model::time::{BootTime, Time};
use crate::replica::alarm::Alarms;
use crate::replica::status::{FeedRelation, LastError, ReplicaCounters, ReplicaStatus};
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::FeedLine;

/// Said of an age that was never proven.
const NEVER_PROVEN: i64 = i64::MIN;

/// Shared between the loops, the answering threads and the operator.
pub struct ReplicaState {
    view: ArcSwapOption<DirectoryView>,
    head: ArcSwapOption<Head>,
    /// Boot time in milliseconds at which the directory was last current; below zero for data older than this boot.
    proven_at_ms: AtomicI64,
    caught_up: AtomicBool,
    opened: watch::Sender<bool>,
    serving: ArcSwapOption<Generation>,
    details: Mutex<StatusDetails>,
    status_version: watch::Sender<u64>,
    /// What an operator must look at.
    pub alarms: Alarms,
    /// The wish for a new generation.
    pub resync_requests: ResyncRequests,
}

/// What changes too seldom, or is read too seldom, to stand without a lock.
#[derive(Default)]
pub struct StatusDetails {
    /// Since when connected.
    pub connected_since: Option<Time>,
    /// Since when not.
    pub lost_since: Option<Time>,
    /// How store and feed relate.
    pub relation: FeedRelation,
    /// The last line.
    pub primary: Option<Head>,
    /// Whether the sums were equal.
    pub digest_equal: Option<bool>,
    /// The folder of the serving generation.
    pub generation: Option<String>,
    /// Its size.
    pub store_bytes: u64,
    /// On disk.
    pub flushed: Option<Head>,
    /// Acknowledged.
    pub acknowledged: Option<Head>,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    /// Why a snapshot is fetched.
    pub resyncing: Option<String>,
    /// Numbers.
    pub counters: ReplicaCounters,
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self {
            view: ArcSwapOption::empty(),
            head: ArcSwapOption::empty(),
            proven_at_ms: AtomicI64::new(NEVER_PROVEN),
            caught_up: AtomicBool::new(false),
            opened: watch::Sender::new(false),
            serving: ArcSwapOption::empty(),
            details: Mutex::default(),
            status_version: watch::Sender::new(0),
            alarms: Alarms::default(),
            resync_requests: ResyncRequests::default(),
        }
    }
}

impl ReplicaState {
    /// What answers.
    #[must_use]
    pub fn view(&self) -> Option<DirectoryView> {
        self.view.load().as_deref().cloned()
    }

    /// The generation that answers.
    #[must_use]
    pub fn serving(&self) -> Option<Generation> {
        self.serving.load().as_deref().cloned()
    }

    /// Where it stands.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.head.load().as_deref().copied()
    }

    /// Another generation answers from now on, or none.
    pub fn set_serving(&self, generation: Option<&Generation>, whole: bool) {
        self.serving.store(generation.cloned().map(Arc::new));
        self.view.store(generation.map(|generation| Arc::new(build_view(generation, whole))));
    }

    /// The same generation answers; what may be said from it may have changed.
    pub fn refresh_view(&self, whole: bool) {
        let Some(generation) = self.serving() else { return };
        let foreign = generation.foreign_count() > 0;
        if self.view.load().as_deref().is_none_or(|view| (view.verified, view.has_unknown_records) != (whole, foreign)) {
            self.view.store(Some(Arc::new(build_view(&generation, whole))));
        }
    }

    /// It stands there now.
    pub fn set_head(&self, head: Option<Head>) {
        self.head.store(head.map(Arc::new));
    }

    /// The directory was current at `at`. Never takes back a later proof.
    pub fn record_proof(&self, at: BootTime) {
        self.proven_at_ms.fetch_max(milliseconds(at.0), Ordering::Release);
    }

    /// The directory was `age` old at `now`, as the age file says; `None`: nothing is known.
    pub fn restore_age(&self, age: Option<Duration>, now: BootTime) {
        let proven = age.map_or(NEVER_PROVEN, |age| milliseconds(now.0).saturating_sub(milliseconds(age)));
        self.proven_at_ms.store(proven, Ordering::Release);
    }

    /// Time since the directory was last proven current.
    #[must_use]
    pub fn age(&self, now: BootTime) -> Option<Duration> {
        match self.proven_at_ms.load(Ordering::Acquire) {
            NEVER_PROVEN => None,
            proven => Some(Duration::from_millis(u64::try_from(milliseconds(now.0).saturating_sub(proven)).unwrap_or(0))),
        }
    }

    /// Whether the feed is caught up, or was when contact was lost.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// It is, or is not.
    pub fn set_caught_up(&self, caught_up: bool) {
        self.caught_up.store(caught_up, Ordering::Release);
    }

    /// The store was opened, or there is none to open.
    pub fn set_opened(&self) {
        self.opened.send_replace(true);
    }

    /// Waits for that.
    #[must_use]
    pub fn watch_opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    /// Something may have changed in what the status says.
    pub fn notify_status(&self) {
        self.status_version.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Waits for that.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<u64> {
        self.status_version.subscribe()
    }

    /// The rest, for a moment.
    pub fn details(&self) -> MutexGuard<'_, StatusDetails> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line came, for a generation that has followed to `position`.
    pub fn record_line(&self, line: &FeedLine, position: Option<Head>) {
        let mut told = self.details();
        let (seq, state) = match line {
            FeedLine::Commit(commit) => {
                told.counters.commits += 1;
                told.counters.changes += u64::try_from(commit.changes.len()).unwrap_or(0);
                (commit.seq, commit.state)
            }
            FeedLine::Heartbeat { seq, state } => {
                told.counters.heartbeats += 1;
                (*seq, *state)
            }
        };
        told.primary = position.map(|head| Head { epoch: head.epoch, seq, state });
    }

    /// Something went wrong.
    pub fn record_error(&self, message: String) {
        let now = clock::wall_time();
        let mut told = self.details();
        match &mut told.last_error {
            Some(problem) if problem.message == message => {
                problem.last = now;
                problem.times += 1;
            }
            other => *other = Some(LastError { message, since: now, last: now, times: 1 }),
        }
    }

    /// Everything, for the operator.
    #[must_use]
    pub fn status(&self, now: BootTime) -> ReplicaStatus {
        let cursor = self.head();
        let view = self.view();
        let serving = self.serving();
        let alarms = self.alarms.active();
        let told = self.details();
        ReplicaStatus {
            connected_since: told.connected_since,
            lost_since: told.lost_since,
            following: told.relation,
            cursor,
            primary: told.primary,
            lag: lag(cursor, told.primary),
            digest_equal: told.digest_equal,
            age_seconds: self.age(now).map(|age| age.as_secs_f64()),
            caught_up: self.caught_up(),
            whole: view.is_some_and(|view| view.verified),
            counts: serving.as_ref().map(Generation::counts_by_kind).unwrap_or_default(),
            foreign: serving.as_ref().map_or(0, Generation::foreign_count),
            generation: told.generation.clone(),
            store_bytes: told.store_bytes,
            flushed: told.flushed,
            acknowledged: told.acknowledged,
            last_error: told.last_error.clone(),
            alarms,
            resyncing: told.resyncing.clone(),
            counted: ReplicaCounters { alarms: self.alarms.raised_total(), ..told.counters },
        }
    }
}

fn build_view(generation: &Generation, whole: bool) -> DirectoryView {
    DirectoryView { directory: Arc::new(generation.clone()), verified: whole, has_unknown_records: generation.foreign_count() > 0 }
}

fn lag(cursor: Option<Head>, primary: Option<Head>) -> Option<u64> {
    let (cursor, primary) = (cursor?, primary?);
    (cursor.epoch == primary.epoch).then(|| primary.seq.saturating_sub(cursor.seq))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The wish for a new generation, with its reason: of an operator, or because the one that serves cannot be followed on.
#[derive(Default)]
pub struct ResyncRequests {
    wakeup: Notify,
    pending: Mutex<PendingResync>,
}

#[derive(Default)]
struct PendingResync {
    automatic: Option<String>,
    by_operator: Option<String>,
}

impl ResyncRequests {
    /// A new generation is needed. Who is pausing between two tries goes on pausing.
    pub fn request(&self, reason: &str) {
        self.pending().automatic = Some(reason.to_owned());
        self.wakeup.notify_one();
    }

    /// An operator asks for one, now.
    pub fn request_by_operator(&self, reason: &str) {
        self.pending().by_operator = Some(reason.to_owned());
        self.wakeup.notify_one();
    }

    /// A new one has come: what was wished before is fulfilled.
    pub fn clear(&self) {
        *self.pending() = PendingResync::default();
    }

    /// Waits until a new generation is wanted.
    pub async fn next_request(&self) -> String {
        loop {
            let wishes = std::mem::take(&mut *self.pending());
            if let Some(reason) = wishes.by_operator.or(wishes.automatic) {
                return reason;
            }
            self.wakeup.notified().await;
        }
    }

    /// Waits until an operator asks.
    pub async fn operator_request(&self) {
        while self.pending().by_operator.take().is_none() {
            self.wakeup.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, PendingResync> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ReplicaState;
    use crate::model::time::BootTime;

    const fn second(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    #[test]
    fn an_age_grows_until_a_proof_and_may_be_older_than_this_boot() {
        let shared = ReplicaState::default();
        assert_eq!(shared.age(second(9)), None);
        shared.restore_age(Some(Duration::from_secs(100)), second(10));
        assert_eq!(shared.age(second(15)), Some(Duration::from_secs(105)));
        shared.record_proof(second(15));
        shared.record_proof(second(12));
        assert_eq!(shared.age(second(16)), Some(Duration::from_secs(1)), "an older proof takes nothing back");
        assert_eq!(shared.age(second(14)), Some(Duration::ZERO));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_request_is_delivered_once_and_an_operators_first() {
        use std::future::Future as _;
        let wanted = ReplicaState::default().resync_requests;
        wanted.request("a");
        wanted.request("b");
        assert_eq!(wanted.next_request().await, "b");
        wanted.request("c");
        wanted.request_by_operator("d");
        wanted.operator_request().await;
        assert_eq!(wanted.next_request().await, "c");
        wanted.request("e");
        wanted.clear();
        let mut heard = std::pin::pin!(wanted.next_request());
        std::future::poll_fn(|context| {
            assert!(heard.as_mut().poll(context).is_pending(), "a wish that was fulfilled is not heard");
            std::task::Poll::Ready(())
        })
        .await;
    }
}
