//! Replacing the generation that serves: what a candidate has to reach, the switch, and the installation that follows it.
//!
//! A candidate serves as soon as it has every commit of the generation before, without a wait in between. Only then is it made the one that
//! the next start opens, which takes as long as the disk does. Until then nothing is acknowledged, and no age is saved: a restart would
//! open the generation before.

use std::sync::Arc;

use crate::model::change::Head;
use crate::model::clock;
use crate::replica::feed::connection::FeedConnection;
use crate::replica::follow::adoption::{Adoption, AdoptionTarget};
use crate::replica::follow::flusher::hold_unstored;
use crate::replica::follow::installation::{Installation, PendingInstallation};
use crate::replica::follow::serving_store::ServingStore;
use crate::replica::follow::store_scan::StoreScan;
use crate::replica::follow::store_task::StoreTaskError;
use crate::replica::follow::unstored_changes::StorePosition;
use crate::replica::generation::candidate::AdoptError;
use crate::replica::generation::tracked::CursorState;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::status::FeedRelation;

impl ServingStore {
    /// Returns what a candidate has to reach.
    #[must_use]
    pub fn adoption_target(&self) -> AdoptionTarget {
        let Some(tracked) = &self.tracked else { return AdoptionTarget { head: None, is_cursor_lost: false } };
        let is_cursor_lost = matches!(tracked.cursor_state(), CursorState::CursorLost(Some(_)));
        AdoptionTarget { head: tracked.feed_position().or_else(|| tracked.generation().head()), is_cursor_lost }
    }

    /// Serves a candidate from now on, which is at `head` and was proven equal to the primary, and begins to make it the one that the next
    /// start opens. Returns the connection that it is followed with.
    pub async fn switch(&mut self, adoption: Adoption, head: Head) -> FeedConnection {
        let Adoption { tracked, connection, proven_at, folder, result_sender, .. } = adoption;
        let coverage = tracked.coverage().clone().or(&self.beside.unsaid_coverage);
        self.state.publish(|serving| {
            serving.set_generation(tracked.generation(), coverage.clone(), head, true);
            serving.record_proof(proven_at);
        });
        // Before anything of it is acknowledged: what it does not have must not be given by others either.
        if let Some(listener) = &self.beside.revocations {
            listener.replace(Arc::new(tracked.generation().clone())).await;
        }
        self.report_shared_repositories(tracked.generation());
        {
            let mut details = self.state.details();
            details.relation = FeedRelation::True;
            details.primary = Some(head);
            details.digest_equal = Some(true);
            details.generation = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            details.counters.resyncs += 1;
        }
        let superseded = self.unstored.position();
        let generation = tracked.generation().clone();
        let installation = Installation::start(Arc::clone(&self.generations), Arc::clone(&self.unstored), generation, folder);
        let replaced = self.tracked.replace(tracked).map(|before| before.generation().clone());
        self.pending = Some(PendingInstallation { installation, superseded, replaced, result_sender: Some(result_sender) });
        self.flush_requests.send_replace(None);
        self.scan = StoreScan::Intact;
        self.last_flush_request = None;
        self.state.resync_requests.clear();
        connection
    }

    /// Acknowledges from now on what the generation has; or holds what restricts, since a restart would open the one before.
    pub(super) async fn on_installed(&mut self, outcome: Result<StorePosition, StoreTaskError>) {
        let applied = match outcome {
            Ok(applied) => applied,
            Err(error) => return self.on_install_failed(error).await,
        };
        let Some(PendingInstallation { superseded, replaced, result_sender, .. }) = self.pending.take() else { return };
        let unstored = Arc::clone(&self.unstored);
        let released = tokio::task::spawn_blocking(move || unstored.on_stored(applied, Some(superseded))).await;
        if released.unwrap_or(true) {
            self.state.publish_held(self.unstored.held());
        }
        self.state.alarms.clear(Alarm::Store);
        self.clear_drift_marker();
        self.request_flush(false);
        self.save_age().await;
        if let Some(result_sender) = result_sender {
            let _receiver_gone = result_sender.send(Ok(replaced));
        }
    }

    async fn on_install_failed(&mut self, error: StoreTaskError) {
        let message = format!("{error}; the new store serves and is not acknowledged: a restart opens the one before");
        self.state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
        self.state.record_error(message);
        hold_unstored(&self.state, &self.unstored).await;
        let sender = self.pending.as_mut().and_then(|pending| pending.result_sender.take_if(|_| matches!(error, StoreTaskError::Store(_))));
        if let Some(result_sender) = sender {
            let _receiver_gone = result_sender.send(Err(AdoptError::Failed(error.to_string())));
        }
    }
}
