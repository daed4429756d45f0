//! The short walk: the users that changed last, newest first, until whoever follows is as the walk before met them. It finds blocked users, of
//! whom no hook tells.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::blocking::run_blocking;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::directory::subject::Question;
use crate::mirror::gitlab::page::{Page, PageCursor};
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::proof::GitlabProof;
use crate::mirror::questions::Unanswered;
use crate::mirror::settle::{AskedFinding, Settler};
use crate::mirror::walk::full::FullWalk;
use crate::mirror::walk::recent_order::{MetUser, RecentOrder};
use crate::model::digest::Digest;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::{Record, User};
use crate::model::time::{BootTime, Time};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::gitlab::object::Skipped;

const ORDER_KEY: &[u8] = b"mirror/walk/recent";

/// Walks the users that changed last.
pub struct RecentWalk {
    settler: Arc<Settler>,
    proof: Arc<GitlabProof>,
    full_walk: Arc<FullWalk>,
    private_store: PrivateStore,
    state: Mutex<RecentState>,
}

/// What is known of the short walks, for the status.
#[derive(Clone, Debug, Default)]
pub struct RecentState {
    order: Vec<MetUser>,
    /// When the last one ended well.
    pub ended: Option<Time>,
    /// The same on the clock of ages.
    pub ended_at: Option<BootTime>,
    /// How many users it met.
    pub users: usize,
    /// Why the last one did not, if it did not.
    pub failure: Option<String>,
}

impl RecentState {
    /// Returns the highest id among the users that changed last: about that of the newest user.
    #[must_use]
    pub fn highest_user(&self) -> Option<Id> {
        self.order.iter().map(|met| met.id).max()
    }
}

impl RecentWalk {
    /// Reads the order that the last process left. Blocks.
    pub fn load(
        settler: Arc<Settler>,
        proof: Arc<GitlabProof>,
        full_walk: Arc<FullWalk>,
        private_store: &PrivateStore,
    ) -> Result<Self, StoreError> {
        // What another version wrote is forgotten: the next walk goes to the end of the list.
        let stored = private_store.read(ORDER_KEY)?.filter(|_| settler.directory.user_count() > 0);
        let order = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let state = Mutex::new(RecentState { order, ..RecentState::default() });
        Ok(Self { settler, proof, full_walk, private_store: private_store.clone(), state })
    }

    /// Returns what is known of the short walks.
    #[must_use]
    pub fn state(&self) -> RecentState {
        self.locked().clone()
    }

    /// Walks once. A directory without users is left to the full walk: then only the first page is met, as the order to begin with.
    pub async fn run(&self) -> Result<(), Unanswered> {
        let clock = Arc::clone(self.settler.questions.clock());
        let began = clock.boot_time();
        let outcome = self.walk().await;
        match &outcome {
            Ok(users) => {
                self.proof.walked(began);
                let mut state = self.locked();
                (state.ended, state.ended_at, state.users) = (Some(clock.wall_time()), Some(clock.boot_time()), *users);
                state.failure = None;
            }
            Err(Unanswered(reason)) => self.locked().failure = Some(reason.clone()),
        }
        outcome.map(drop)
    }

    /// Walks, and returns how many users were met. The order counts only once everybody who was met is published.
    async fn walk(&self) -> Result<usize, Unanswered> {
        let before = self.locked().order.clone();
        let only_begins = before.is_empty() && self.settler.directory.user_count() == 0;
        let mut order = RecentOrder::after(before.clone());
        let (mut next, mut met) = (Some(PageCursor::users_by_update()), 0);
        while let Some(page) = next.take() {
            let question = Arc::new(self.settler.directory.clock.ask());
            let (found, asked_at) = self.settler.questions.users(&page).await?;
            let Some(Page { items, next: following }) = found else { return Err(Unanswered("GitLab knows no list of users".to_owned())) };
            met += items.len();
            let mut is_known = false;
            for user in &items {
                is_known |= met_user(user)?.is_some_and(|user| order.meet(user));
            }
            if !only_begins {
                self.publish(items, &question).await?;
            }
            self.settler.questions.prove(asked_at);
            next = following.filter(|_| !is_known && !only_begins);
        }
        self.store(before, order.finish()).await?;
        Ok(met)
    }

    /// Publishes the users of a page. One who is not held yet is asked for, with all keys; before a full walk has ever ended that is left to it,
    /// which comes to all of them.
    async fn publish(&self, users: Vec<Result<User, Skipped>>, question: &Arc<Question>) -> Result<(), Unanswered> {
        let (mut held, mut others): (Vec<AskedFinding>, Vec<Id>) = (Vec::new(), Vec::new());
        for user in users {
            match user {
                Ok(user) if self.settler.directory.has_user(user.id) => {
                    held.push((Finding::User(Box::new(user)), Some(Arc::clone(question))));
                }
                Ok(user) => others.push(user.id),
                Err(skipped) => self.settler.questions.note_skipped(&skipped),
            }
        }
        let published = self.settler.publish(Source::RecentWalk, held.clone()).await?;
        if !published.name_holders.is_empty() {
            for id in published.name_holders {
                self.settler.user(id, Source::RecentWalk, Priority::Walk).await?;
            }
            self.settler.publish(Source::RecentWalk, held).await?;
        }
        if self.full_walk.has_ended_once() {
            self.ask_for(others).await;
        }
        Ok(())
    }

    /// Asks for users who are not held yet. One who cannot be asked for must not hide who was blocked; the full walk asks again.
    async fn ask_for(&self, users: Vec<Id>) {
        let mut failures = Vec::new();
        for id in users {
            if let Err(Unanswered(reason)) = self.settler.user(id, Source::RecentWalk, Priority::Walk).await {
                failures.push((id, reason));
            }
        }
        if let Some((id, reason)) = failures.first() {
            tracing::warn!(%reason, "{} new users could not be asked for; of these user {id}: {reason}", failures.len());
        }
    }

    async fn store(&self, before: Vec<MetUser>, order: Vec<MetUser>) -> Result<(), Unanswered> {
        if before == order {
            return Ok(());
        }
        let (private_store, value) =
            (self.private_store.clone(), serde_json::to_vec(&order).map_err(|error| Unanswered(error.to_string()))?);
        let write = move || private_store.write(PrivateWrites { entries: vec![(ORDER_KEY.to_vec(), Some(value))] });
        run_blocking(write).await.map_err(Unanswered::from)?;
        self.locked().order = order;
        Ok(())
    }

    fn locked(&self) -> MutexGuard<'_, RecentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what is remembered of a user; `None` if not even the id is known.
fn met_user(user: &Result<User, Skipped>) -> Result<Option<MetUser>, Unanswered> {
    Ok(match user {
        Ok(user) => {
            let entry = Entry::from_record(Record::User(user.clone())).map_err(|error| Unanswered(error.to_string()))?;
            Some(MetUser { id: user.id, seen: entry.digest() })
        }
        Err(skipped) => skipped.id.map(|id| MetUser { id, seen: Digest::default() }),
    })
}
