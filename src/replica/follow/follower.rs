//! Follows the feed for the generation that serves: one loop over commands, candidates, the scan of the store, and the connection.
//! What a loss of the feed or a line that cannot be applied means is decided here; the store itself is [`ServingStore`]'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::time::Time;
use crate::net::client::backoff::Backoff;
use crate::replica::config::Timing;
use crate::replica::feed::connection::{ConnectionEvent, FeedConnection};
use crate::replica::feed::source::{FeedError, FeedSource, ReceivedLine};
use crate::replica::follow::adoption::Adoption;
use crate::replica::follow::serving_store::{ServingStore, StoreEvent};
use crate::replica::generation::candidate::{AdoptError, Candidate};
use crate::replica::generation::tracked::{ApplyLineError, LineEffect};
use crate::replica::state::alarm::Alarm;
use crate::replica::state::feed_contact::FeedContact;
use crate::replica::state::replica_state::ReplicaState;
use crate::replica::state::status::{VerifyError, VerifyReport};

/// After so many gaps in a row a snapshot is fetched.
const MAX_CONSECUTIVE_GAPS: u32 = 3;
/// After so many failures of the store in a row a new one is built.
const MAX_STORE_FAILURES: u32 = 2;
/// The same reason for a lost feed is logged again after this time.
const REPEAT_LOG_INTERVAL: Duration = Duration::from_secs(300);

/// What a follower is told while it runs.
pub enum FollowerCommand {
    /// End cleanly, with all on disk.
    Stop,
    /// Read the store through and compare it.
    Verify(oneshot::Sender<Result<VerifyReport, VerifyError>>),
}

enum FollowerEvent {
    Command(FollowerCommand),
    Candidate(Box<Candidate>),
    SaveAge,
    SnapshotLoaded,
    Adoption(ConnectionEvent),
    Store(StoreEvent),
    Connection(ConnectionEvent),
}

/// The follower of the generation that serves.
pub struct FeedFollower<F> {
    feed: Arc<F>,
    state: Arc<ReplicaState>,
    timing: Timing,
    store: ServingStore,
    connection: FeedConnection,
    /// A candidate that is about to take over.
    adoption: Option<Adoption>,
    consecutive_gaps: u32,
    store_failures: u32,
    /// The reason for a lost feed that was logged last, and when.
    last_logged_error: Option<(String, Time)>,
}

impl<F: FeedSource> FeedFollower<F> {
    /// Creates a follower of `store`.
    pub fn new(feed: Arc<F>, state: Arc<ReplicaState>, timing: Timing, store: ServingStore, connection: FeedConnection) -> Self {
        Self { feed, state, timing, store, connection, adoption: None, consecutive_gaps: 0, store_failures: 0, last_logged_error: None }
    }

    /// Opens the store, serves it, and follows until it is told to stop.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<FollowerCommand>, mut candidates: mpsc::Receiver<Candidate>) {
        self.store.open(self.timing.open_timeout).await;
        let mut ticks = interval(self.timing.age_save_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let mut loaded_snapshot = self.state.loaded_snapshot.subscribe();
        loop {
            self.switch_if_caught_up().await;
            let position = self.store.feed_position();
            let event = tokio::select! {
                biased;
                command = commands.recv() => FollowerEvent::Command(command.unwrap_or(FollowerCommand::Stop)),
                Some(candidate) = candidates.recv() => FollowerEvent::Candidate(Box::new(candidate)),
                _ = ticks.tick() => FollowerEvent::SaveAge,
                Ok(()) = loaded_snapshot.changed() => FollowerEvent::SnapshotLoaded,
                event = next_adoption_event(&mut self.adoption, &self.feed) => FollowerEvent::Adoption(event),
                event = self.store.next_event() => FollowerEvent::Store(event),
                event = self.connection.next_event(&self.feed, position) => FollowerEvent::Connection(event),
            };
            match event {
                FollowerEvent::Command(FollowerCommand::Stop) => return self.store.close().await,
                FollowerEvent::Command(FollowerCommand::Verify(report_sender)) => {
                    let _receiver_gone = report_sender.send(self.store.verify().await);
                    self.disconnect_without_store();
                }
                FollowerEvent::Candidate(candidate) => self.begin_adoption(*candidate),
                FollowerEvent::SaveAge => self.store.save_age().await,
                FollowerEvent::SnapshotLoaded => {
                    let head = *loaded_snapshot.borrow_and_update();
                    if let Some(head) = head {
                        self.store.on_snapshot_loaded(head);
                    }
                }
                FollowerEvent::Adoption(event) => self.advance_adoption(event).await,
                FollowerEvent::Store(event) => {
                    self.store.on_event(event).await;
                    self.disconnect_without_store();
                }
                FollowerEvent::Connection(ConnectionEvent::Connected) => self.on_connected(),
                FollowerEvent::Connection(ConnectionEvent::Line(received)) => self.on_line(received).await,
                FollowerEvent::Connection(ConnectionEvent::Lost(error)) => self.on_connection_lost(&error),
            }
        }
    }

    /// Hangs up if the store was given up: the next connection is the new generation's.
    fn disconnect_without_store(&mut self) {
        if !self.store.is_serving() {
            self.connection.reconnect_now();
            let mut details = self.state.details();
            if details.connected_since.is_some() {
                details.record_contact(FeedContact::Lost, clock::wall_time());
            }
        }
    }

    /// Lets a candidate catch up with what serves, which is followed meanwhile.
    fn begin_adoption(&mut self, candidate: Candidate) {
        let backoff = Backoff::new(self.timing.initial_backoff, self.timing.max_backoff);
        self.adoption = Some(Adoption::new(candidate, backoff, self.timing.silence_timeout));
    }

    async fn advance_adoption(&mut self, event: ConnectionEvent) {
        let Some(adoption) = &mut self.adoption else { return };
        if let Err(error) = adoption.advance(event, self.store.adoption_target()).await {
            self.give_up_adoption(error);
        }
    }

    /// Switches to a candidate that has every commit of the generation that serves.
    async fn switch_if_caught_up(&mut self) {
        let Some(adoption) = &self.adoption else { return };
        match adoption.head_if_caught_up(self.store.adoption_target()) {
            Ok(None) => {}
            Ok(Some(head)) => {
                let Some(adoption) = self.adoption.take() else { return };
                self.connection.disconnect();
                self.connection = self.store.switch(adoption, head).await;
                self.on_switched(head);
            }
            Err(error) => self.give_up_adoption(error),
        }
    }

    fn give_up_adoption(&mut self, error: AdoptError) {
        if let Some(adoption) = self.adoption.take() {
            let _receiver_gone = adoption.result_sender.send(Err(error));
        }
    }

    fn on_switched(&mut self, head: Head) {
        let contact = if self.connection.is_up() { FeedContact::Connected } else { FeedContact::Lost };
        self.state.details().record_contact(contact, clock::wall_time());
        for alarm in [Alarm::LossHeld, Alarm::Damage, Alarm::Store, Alarm::Forbidden] {
            self.state.alarms.clear(alarm);
        }
        self.on_proven();
        tracing::info!(seq = head.seq, "serving a new generation, at commit {}", head.seq);
    }

    fn on_connected(&mut self) {
        self.store.reset_connection();
        self.store.compare_coverage(self.feed.covers().as_ref());
        self.state.details().record_contact(FeedContact::Connected, clock::wall_time());
        self.state.alarms.clear(Alarm::Forbidden);
        tracing::info!("feed connected");
    }

    async fn on_line(&mut self, received: ReceivedLine) {
        match self.store.apply_line(received).await {
            Ok(LineEffect::Proven) => self.on_proven(),
            Ok(LineEffect::Applied) => self.reset_failures(),
            Ok(LineEffect::Drifted | LineEffect::Unchanged | LineEffect::NotStored) => {}
            Err(error) => self.on_line_error(&error),
        }
    }

    fn on_proven(&mut self) {
        self.reset_failures();
        for alarm in [Alarm::Drift, Alarm::PrimaryWentBack, Alarm::Garbled] {
            self.state.alarms.clear(alarm);
        }
    }

    fn reset_failures(&mut self) {
        self.connection.reset_backoff();
        self.consecutive_gaps = 0;
        self.store_failures = 0;
    }

    fn on_line_error(&mut self, error: &ApplyLineError) {
        match error {
            ApplyLineError::Store(error) => {
                self.store_failures += 1;
                self.state.alarms.raise(Alarm::Store, format!("{error}; answers go on from what is here"), clock::wall_time());
                if self.store_failures >= MAX_STORE_FAILURES {
                    self.state.resync_requests.request("the store cannot be written");
                }
            }
            ApplyLineError::Gap { .. } | ApplyLineError::WentBack { .. } => {
                self.consecutive_gaps += 1;
                if self.consecutive_gaps >= MAX_CONSECUTIVE_GAPS {
                    self.consecutive_gaps = 0;
                    self.state.resync_requests.request("the feed leaves commits out");
                }
            }
            ApplyLineError::Thread(_) => {}
        }
        self.connection.disconnect();
        self.record_disconnect(&error.to_string());
    }

    fn on_connection_lost(&mut self, error: &FeedError) {
        self.record_disconnect(&error.to_string());
        match error {
            FeedError::CursorGone(head) => {
                if self.store.on_cursor_lost(*head) {
                    self.connection.reconnect_now();
                }
            }
            FeedError::StateMismatch { seq } => self.raise_primary_went_back(*seq),
            FeedError::Forbidden(_) | FeedError::Refused(_) => {
                self.state.alarms.raise(Alarm::Forbidden, error.to_string(), clock::wall_time())
            }
            FeedError::Malformed(_) => self.state.alarms.raise(Alarm::Garbled, error.to_string(), clock::wall_time()),
            FeedError::Unreachable(_) | FeedError::Silent(_) | FeedError::UnexpectedStatus { .. } => {}
        }
    }

    fn raise_primary_went_back(&self, seq: Option<u64>) {
        let ours = self.store.feed_position().map_or(0, |head| head.seq);
        let theirs = seq.map_or_else(|| "another commit".to_owned(), |seq| format!("commit {seq}"));
        let message = format!(
            "the primary is at {theirs} and does not know the state that this host has at commit {ours}; it was probably restored from a backup: run `sidegate admin new-epoch` at the primary. Answers go on and their age grows"
        );
        self.state.alarms.raise(Alarm::PrimaryWentBack, message, clock::wall_time());
    }

    fn record_disconnect(&mut self, reason: &str) {
        self.state.record_error(reason.to_owned());
        let now = clock::wall_time();
        self.state.details().record_contact(FeedContact::Lost, now);
        let last = self.last_logged_error.as_ref();
        if last.is_some_and(|(logged, at)| logged == reason && now.since(*at) < REPEAT_LOG_INTERVAL) {
            tracing::debug!("no feed: {reason}");
        } else {
            tracing::warn!("no feed: {reason}");
            self.last_logged_error = Some((reason.to_owned(), now));
        }
    }
}

/// Waits for the next event of a candidate's connection; for ever if there is no candidate.
async fn next_adoption_event<F: FeedSource>(adoption: &mut Option<Adoption>, feed: &Arc<F>) -> ConnectionEvent {
    match adoption {
        Some(adoption) => adoption.next_event(feed).await,
        None => std::future::pending().await,
    }
}
