//! The full walk: all users by id, the keys of each, the deploy keys. It is the truth, once it came to its end; half a walk removes nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::api::blocking::run_blocking;
use crate::mirror::alarms::AlarmReason;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::gitlab::page::{Page, PageCursor, PageKind};
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::questions::Unanswered;
use crate::mirror::settle::{AskedFinding, Settler};
use crate::mirror::walk::progress::{EndedWalk, WalkProgress};
use crate::mirror::walk::removal::Removal;
use crate::model::id::Id;
use crate::model::record::User;
use crate::model::time::BootTime;
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;
use crate::wire::gitlab::key::FoundKey;
use crate::wire::gitlab::object::Skipped;

/// How many questions about the keys of users are under way at a time.
const QUESTIONS_AT_ONCE: usize = 8;
/// How often the keys of one user are asked for.
const TRIES: usize = 3;
/// So many times a page is refused before it is looked whether only this one is.
const REFUSALS: u32 = 5;
/// The most pages of deploy keys.
const MAX_DEPLOY_KEY_PAGES: usize = 10_000;

/// Walks all of GitLab.
pub struct FullWalk {
    settler: Arc<Settler>,
    private_store: PrivateStore,
    state: Mutex<WalkState>,
}

/// What is known of the walks, for the status.
#[derive(Clone, Debug, Default)]
pub struct WalkState {
    /// The walk that is under way.
    pub progress: Option<WalkProgress>,
    /// The last one that ended.
    pub ended: Option<EndedWalk>,
    /// Since when this process walks it, and how many users it has met.
    pub pace: Option<(BootTime, u64)>,
    /// Why it could not go on, if it tries again.
    pub failure: Option<String>,
    /// How often in a row it could not go on.
    failures: u32,
}

/// What there is of keys of one user.
struct UserKeys {
    findings: Vec<AskedFinding>,
    keys: u64,
    missing: Vec<Id>,
}

impl FullWalk {
    /// Reads how far the last process came. Blocks.
    pub fn load(settler: Arc<Settler>, private_store: &PrivateStore) -> Result<Self, StoreError> {
        let (mut progress, mut ended) = (WalkProgress::load(private_store)?, EndedWalk::load(private_store)?);
        if settler.directory.user_count() == 0 {
            // The directory was begun anew, so nothing of it is walked.
            (progress, ended) = (None, None);
        }
        let state = Mutex::new(WalkState { progress, ended, ..WalkState::default() });
        Ok(Self { settler, private_store: private_store.clone(), state })
    }

    /// Returns what is known of the walks.
    #[must_use]
    pub fn state(&self) -> WalkState {
        self.locked().clone()
    }

    /// Returns whether a walk has ever come to its end: before that the directory is not whole.
    #[must_use]
    pub fn has_ended_once(&self) -> bool {
        self.locked().ended.is_some()
    }

    /// Walks to the end, from where a walk was left. The caller tries again after a failure, and waits as long as it likes: nothing is
    /// forgotten. Returns how long after `began` the walk ended.
    pub async fn run(&self) -> Result<EndedWalk, Unanswered> {
        let clock = Arc::clone(self.settler.questions.clock());
        let mut progress = self.locked().progress.clone().unwrap_or_else(|| WalkProgress::begin(clock.wall_time()));
        // What happens while the walk runs is remembered until its end.
        let _whole_walk = self.settler.directory.clock.ask();
        self.note(&progress, Some((clock.boot_time(), progress.users)));
        let outcome = self.walk_on(&mut progress).await;
        match &outcome {
            Ok(ended) => {
                let mut state = self.locked();
                *state = WalkState { ended: Some(ended.clone()), ..WalkState::default() };
            }
            Err(Unanswered(reason)) => {
                let failures = {
                    let mut state = self.locked();
                    (state.failure, state.failures) = (Some(reason.clone()), state.failures + 1);
                    state.failures
                };
                self.begin_anew_if_refused(failures).await;
            }
        }
        outcome
    }

    /// Begins anew if the page to go on with is refused again and again, while the first one is given: another version does not know its
    /// cursor.
    async fn begin_anew_if_refused(&self, failures: u32) {
        let goes_on = self.locked().progress.as_ref().and_then(WalkProgress::next_page).is_some_and(|page| page.kind() != PageKind::First);
        if failures >= REFUSALS && goes_on && self.settler.questions.users(&PageCursor::users_by_id()).await.is_ok() {
            tracing::warn!("the full walk begins anew: GitLab gives the first page of users, and not the one to go on with");
            let mut state = self.locked();
            (state.progress, state.failures) = (None, 0);
        }
    }

    async fn walk_on(&self, progress: &mut WalkProgress) -> Result<EndedWalk, Unanswered> {
        while let Some(page) = progress.next_page() {
            self.walk_page(&page, progress).await?;
            self.store(progress).await?;
        }
        self.walk_deploy_keys(progress).await?;
        let removed = Removal { settler: &self.settler }.remove_missing(progress).await?;
        progress.changes += removed;
        let ended = EndedWalk {
            began: progress.began,
            ended: self.settler.questions.clock().wall_time(),
            users: progress.users,
            keys: progress.keys,
            changes: progress.changes,
        };
        let (private_store, stored) = (self.private_store.clone(), ended.clone());
        run_blocking(move || stored.store(&private_store)).await.map_err(Unanswered::from)?;
        let EndedWalk { users, keys, changes, .. } = ended;
        tracing::info!(users, keys, changes, "a full walk has ended: {users} users, {keys} keys, {changes} records changed");
        Ok(ended)
    }

    /// Walks a page of users and the keys of each, and publishes them.
    async fn walk_page(&self, page: &PageCursor, progress: &mut WalkProgress) -> Result<(), Unanswered> {
        let question = Arc::new(self.settler.directory.clock.ask());
        let (found, asked_at) = self.settler.questions.users(page).await?;
        let Some(Page { items, next }) = found else { return Err(Unanswered("GitLab knows no list of users".to_owned())) };
        let last = self.check_order(&items, progress)?;
        let until = next.is_some().then_some(last).flatten();
        let met: Vec<Id> = items.iter().filter_map(id_of).collect();
        let mut users: Vec<AskedFinding> = Vec::with_capacity(items.len());
        for user in items {
            match user {
                Ok(user) => users.push((Finding::User(Box::new(user)), Some(Arc::clone(&question)))),
                Err(skipped) => self.settler.questions.note_skipped(&skipped),
            }
        }
        let ids: Vec<Id> = users.iter().filter_map(|(finding, _)| user_id(finding)).collect();
        progress.users += met.len() as u64;
        progress.changes += self.publish_users(users).await?;
        let missing = self.settler.directory.users_between(progress.last_user, until);
        progress.add_missing(missing.into_iter().filter(|id| !met.contains(id)), []);
        self.walk_keys(&ids, progress).await?;
        if page.kind() == PageKind::First {
            progress.changes += u64::from(self.settler.publish_settings().await?);
        }
        progress.last_user = last.or(progress.last_user);
        progress.set_next_page(next.as_ref());
        self.settler.questions.prove(asked_at);
        Ok(())
    }

    /// Publishes users; whoever has a name here that somebody else has there is asked for first.
    async fn publish_users(&self, users: Vec<AskedFinding>) -> Result<u64, Unanswered> {
        let published = self.settler.publish(Source::FullWalk, users.clone()).await?;
        if published.name_holders.is_empty() {
            return Ok(published.changes as u64);
        }
        for holder in published.name_holders {
            self.settler.user(holder, Source::FullWalk, Priority::Walk).await?;
        }
        let again = self.settler.publish(Source::FullWalk, users).await?;
        for holder in again.name_holders {
            // They have each other's names: both are asked for and published together.
            self.settler.user(holder, Source::FullWalk, Priority::Walk).await?;
        }
        Ok((published.changes + again.changes) as u64)
    }

    /// Returns the last id of a page; an error if the list is not in the order of ids, so that nothing can be said to be missing.
    fn check_order(&self, items: &[Result<User, Skipped>], progress: &WalkProgress) -> Result<Option<Id>, Unanswered> {
        let mut last = progress.last_user;
        for id in items.iter().filter_map(id_of) {
            if last.is_some_and(|last| id <= last) {
                let message = format!("GitLab's list of users is not in the order of ids (user {id}): a walk cannot tell who is missing");
                self.settler.alarms.raise(AlarmReason::ImplausibleList, message.clone(), self.settler.questions.clock().wall_time());
                return Err(Unanswered(message));
            }
            last = Some(id);
        }
        self.settler.alarms.clear(AlarmReason::ImplausibleList);
        Ok(last)
    }

    /// Asks for the keys of some users, a few at a time, and publishes them together.
    async fn walk_keys(&self, users: &[Id], progress: &mut WalkProgress) -> Result<(), Unanswered> {
        let mut under_way: JoinSet<Result<UserKeys, Unanswered>> = JoinSet::new();
        let mut findings = Vec::new();
        for user in users {
            if under_way.len() >= QUESTIONS_AT_ONCE {
                self.take_keys(&mut under_way, &mut findings, progress).await?;
            }
            under_way.spawn(keys_of_user(Arc::clone(&self.settler), *user));
        }
        while !under_way.is_empty() {
            self.take_keys(&mut under_way, &mut findings, progress).await?;
        }
        progress.changes += self.settler.publish(Source::FullWalk, findings).await?.changes as u64;
        Ok(())
    }

    async fn take_keys(
        &self,
        under_way: &mut JoinSet<Result<UserKeys, Unanswered>>,
        findings: &mut Vec<AskedFinding>,
        progress: &mut WalkProgress,
    ) -> Result<(), Unanswered> {
        let Some(joined) = under_way.join_next().await else { return Ok(()) };
        let found = joined.map_err(|error| Unanswered(error.to_string()))??;
        progress.keys += found.keys;
        progress.add_missing([], found.missing);
        findings.extend(found.findings);
        Ok(())
    }

    async fn walk_deploy_keys(&self, progress: &mut WalkProgress) -> Result<(), Unanswered> {
        let (mut page, mut found) = (PageCursor::deploy_keys(), Vec::new());
        for _ in 0..MAX_DEPLOY_KEY_PAGES {
            let question = Arc::new(self.settler.directory.clock.ask());
            let (answer, _) = self.settler.questions.deploy_keys(&page).await?;
            let Some(Page { items, next }) = answer else { return Err(Unanswered("GitLab knows no list of deploy keys".to_owned())) };
            found.extend(items.iter().filter_map(FoundKey::id));
            let findings = self.settler.key_findings(items, &question);
            progress.changes += self.settler.publish(Source::FullWalk, findings).await?.changes as u64;
            match next {
                Some(next) => page = next,
                None => break,
            }
        }
        progress.keys += found.len() as u64;
        let held = self.settler.directory.key_ids_of(None);
        progress.add_missing([], held.into_iter().filter(|id| !found.contains(id)));
        Ok(())
    }

    /// Stores how far the walk is.
    async fn store(&self, progress: &WalkProgress) -> Result<(), Unanswered> {
        let (private_store, stored) = (self.private_store.clone(), progress.clone());
        let pace = {
            let mut state = self.locked();
            (state.failure, state.failures) = (None, 0);
            state.pace
        };
        self.note(progress, pace);
        run_blocking(move || stored.store(&private_store)).await.map_err(Unanswered::from)
    }

    fn note(&self, progress: &WalkProgress, pace: Option<(BootTime, u64)>) {
        let mut state = self.locked();
        (state.progress, state.pace) = (Some(progress.clone()), pace);
    }

    fn locked(&self) -> MutexGuard<'_, WalkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WalkState {
    /// Returns how many users a second this process walks, once it has walked some.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    pub fn users_per_second(&self, now: BootTime) -> Option<f64> {
        let ((since, before), progress) = (self.pace?, self.progress.as_ref()?);
        let (walked, took) = (progress.users.saturating_sub(before), now.since(since));
        (walked > 0 && took > Duration::ZERO).then(|| walked as f64 / took.as_secs_f64())
    }

    /// Returns how long the walk under way still takes. The last one tells how many users there are; before one has ended, they are
    /// taken to be as dense up to `highest_user`, whom the short walk has met, as up to the last one that the full walk has met.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    pub fn remaining(&self, now: BootTime, highest_user: Option<Id>) -> Option<Duration> {
        let (rate, progress) = (self.users_per_second(now)?, self.progress.as_ref()?);
        let users = progress.users as f64;
        let total = match &self.ended {
            Some(ended) => ended.users as f64,
            None => users * highest_user?.number() as f64 / progress.last_user?.number().max(1) as f64,
        };
        Some(Duration::from_secs_f64((total - users).max(0.0) / rate))
    }
}

async fn keys_of_user(settler: Arc<Settler>, user: Id) -> Result<UserKeys, Unanswered> {
    let question = Arc::new(settler.directory.clock.ask());
    let Some(found) = ask_for_keys(&settler, user).await? else {
        return Ok(UserKeys { findings: Vec::new(), keys: 0, missing: Vec::new() });
    };
    // Whoever is gone by now is missed by the next walk, or told by a hook.
    let Some(found) = found else { return Ok(UserKeys { findings: Vec::new(), keys: 0, missing: Vec::new() }) };
    let keys = found.len() as u64;
    let held = settler.directory.key_ids_of(Some(user));
    let logins: Vec<Id> = found.iter().filter(|key| !matches!(key, FoundKey::SigningOnly(_))).filter_map(FoundKey::id).collect();
    let missing = held.into_iter().filter(|id| !logins.contains(id)).collect();
    Ok(UserKeys { findings: settler.key_findings(found, &question), keys, missing })
}

/// Asks for the keys of a user, again if one question fails. `None`: GitLab answers for the user and not for the keys, which must not stop
/// the walk; they stay as they are.
async fn ask_for_keys(settler: &Settler, user: Id) -> Result<Option<Option<Vec<FoundKey>>>, Unanswered> {
    let mut failure = Unanswered(String::new());
    for _ in 0..TRIES {
        match settler.questions.user_keys(Priority::Walk, user).await {
            Ok((found, _)) => return Ok(Some(found)),
            Err(unanswered) => failure = unanswered,
        }
    }
    settler.questions.user(Priority::Walk, user).await?;
    let what = format!("the keys of user {user}");
    settler.questions.note_skipped(&Skipped { id: Some(user), what, reason: failure.0 });
    Ok(None)
}

fn id_of(user: &Result<User, Skipped>) -> Option<Id> {
    match user {
        Ok(user) => Some(user.id),
        Err(skipped) => skipped.id,
    }
}

fn user_id(finding: &Finding) -> Option<Id> {
    match finding {
        Finding::User(user) => Some(user.id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::WalkState;
    use crate::mirror::walk::progress::{EndedWalk, WalkProgress};
    use crate::model::id::Id;
    use crate::model::time::{BootTime, Time};

    fn id(number: u64) -> Id {
        number.try_into().unwrap()
    }

    #[test]
    fn the_first_walk_estimates_by_ids_what_is_left_and_a_later_one_by_the_one_before() {
        let now = Time::from_milliseconds(0).unwrap();
        let mut progress = WalkProgress::begin(now);
        (progress.users, progress.last_user) = (500, Some(id(1000)));
        let first = WalkState { progress: Some(progress), pace: Some((BootTime(Duration::ZERO), 0)), ..WalkState::default() };
        let at = BootTime(Duration::from_secs(50));
        assert_eq!((first.users_per_second(at), first.remaining(at, None)), (Some(10.0), None));
        assert_eq!(first.remaining(at, Some(id(4000))), Some(Duration::from_secs(150)), "2000 users up to the id 4000");
        assert_eq!(first.remaining(at, Some(id(900))), Some(Duration::ZERO));
        let ended = EndedWalk { began: now, ended: now, users: 800, keys: 0, changes: 0 };
        let later = WalkState { ended: Some(ended), ..first };
        assert_eq!(later.remaining(at, Some(id(4000))), Some(Duration::from_secs(30)));
    }
}
