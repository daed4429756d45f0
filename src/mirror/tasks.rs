//! What goes on beside requests: settling what hooks told, verifying, walking, storing when GitLab was last heard. All of it runs on one
//! thread, which ends with the mirror.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::api::blocking::run_blocking;
use crate::mirror::alarms::AlarmReason;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::directory::subject::Subject;
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::hooks::pending::TakenSubject;
use crate::mirror::questions::Unanswered;
use crate::mirror::state::MirrorState;
use crate::model::key::PublicKey;

/// How many subjects of hooks are settled at a time.
const SETTLED_AT_ONCE: usize = 8;
/// How long is waited after a failure before it is tried again; the pacer of GitLab's questions waits longer after more of them.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often it is looked whether GitLab changes without telling, and what was heard is stored.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// GitLab is asked something if it was not heard for so long.
const QUIET_FOR: Duration = Duration::from_secs(10);

impl MirrorState {
    /// Starts the thread.
    pub fn start_tasks(self: &Arc<Self>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let mirror = Arc::clone(self);
        let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = mirror.run_tasks() => {}
                    _ = stopped => {}
                }
            });
            // A question that hangs must not keep the mirror from ending.
            runtime.shutdown_background();
        })?;
        self.tasks.started(stop, thread);
        Ok(())
    }

    async fn run_tasks(self: &Arc<Self>) {
        tokio::join!(self.settle_hooks(), self.verification.run(), self.walk_recent(), self.walk_fully(), self.watch());
    }

    /// Settles what hooks told, several subjects at a time.
    async fn settle_hooks(self: &Arc<Self>) {
        let settle = || async {
            loop {
                let taken = self.pending.take().await;
                match self.settle(&taken).await {
                    Ok(()) => {
                        if let Err(error) = self.pending.finish(taken).await {
                            tracing::warn!("a hook that was settled stays in the store, and is settled again: {}", error.message);
                        }
                    }
                    Err(Unanswered(reason)) => {
                        tracing::debug!(%reason, "GitLab could not be asked about what a hook told: {reason}");
                        tokio::time::sleep(RETRY_DELAY).await;
                        self.pending.put_back(&taken);
                    }
                }
            }
        };
        let workers: [_; SETTLED_AT_ONCE] = std::array::from_fn(|_| settle());
        futures_util::future::join_all(workers).await;
    }

    async fn settle(&self, taken: &TakenSubject) -> Result<(), Unanswered> {
        match (taken.subject, &taken.to_ask.key) {
            (Subject::User(id), _) => self.settler.user(id, Source::Hook, Priority::Hook).await,
            (Subject::Key(_), Some(line)) => match line.parse::<PublicKey>() {
                Ok(key) if self.is_destroyed_unpublished(taken)? => {
                    self.remove_destroyed(taken, &key).await?;
                    self.settler.key(&key, Source::Hook, Priority::Hook).await
                }
                Ok(key) => self.settler.key(&key, Source::Hook, Priority::Hook).await,
                Err(_) => Ok(()),
            },
            (Subject::Key(fingerprint), None) => {
                let held = self.settler.directory.key_by_fingerprint(&fingerprint).map_err(|error| Unanswered(error.to_string()))?;
                match held {
                    Some(held) => self.settler.key(&held.key, Source::Hook, Priority::Hook).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Returns whether a key that GitLab has told is destroyed is still held: the store refused its removal.
    fn is_destroyed_unpublished(&self, taken: &TakenSubject) -> Result<bool, Unanswered> {
        let Some(id) = taken.to_ask.destroyed else { return Ok(false) };
        let held = self.settler.directory.key(id).map_err(|error| Unanswered(error.to_string()))?;
        Ok(held.is_some_and(|held| Subject::Key(held.key.fingerprint()) == taken.subject))
    }

    async fn remove_destroyed(&self, taken: &TakenSubject, key: &PublicKey) -> Result<(), Unanswered> {
        let Some(id) = taken.to_ask.destroyed else { return Ok(()) };
        let finding = Finding::NoKey { id, fingerprint: key.fingerprint() };
        self.settler.publish(Source::Told, vec![(finding, None)]).await.map(drop)
    }

    /// Walks the users that changed last, every [`crate::mirror::config::WalkIntervals::recent`].
    async fn walk_recent(&self) {
        loop {
            let delay = match self.recent_walk.run().await {
                Ok(()) => self.intervals.recent,
                Err(_) => RETRY_DELAY.min(self.intervals.recent),
            };
            tokio::time::sleep(delay).await;
        }
    }

    /// Walks all of GitLab: now, because hooks that were sent while no mirror ran are lost, and every
    /// [`crate::mirror::config::WalkIntervals::full`].
    async fn walk_fully(&self) {
        // The order of the short walks begins before the walk whose gaps they fill.
        while self.recent_walk.state().ended.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        loop {
            let began = self.questions.clock().boot_time();
            if self.full_walk.state().progress.is_none() {
                self.skipped.clear();
            }
            if let Err(Unanswered(reason)) = self.full_walk.run().await {
                tracing::warn!(%reason, "the full walk stopped, and goes on from there: {reason}");
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
            self.alarms.clear(AlarmReason::HooksOverflow);
            self.settler.counts_untold.store(true, Ordering::Relaxed);
            let left = self.intervals.full.saturating_sub(self.questions.clock().boot_time().since(began));
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.tasks.full_walk_asked_for() => {}
            }
        }
    }

    /// Looks now and then whether GitLab changes without telling, asks it something if nobody else does, and stores when it was heard.
    async fn watch(&self) {
        let mut interval = tokio::time::interval(WATCH_INTERVAL);
        loop {
            interval.tick().await;
            let clock = self.questions.clock();
            let untold = self.settler.untold().alarm(clock.boot_time());
            // Whoever takes no hooks is told nothing.
            match untold.filter(|_| self.hook_token.secrets().is_some()) {
                Some(count) => self.alarms.raise(AlarmReason::HooksSilent, silent_message(count), clock.wall_time()),
                None => self.alarms.clear(AlarmReason::HooksSilent),
            }
            let proof = Arc::clone(&self.proof);
            if let Err(error) = run_blocking(move || proof.persist()).await {
                tracing::warn!("when GitLab was last heard could not be stored: {}", error.message);
            }
            self.watch_short_walk();
            // Nothing else may ask the internal API for long, and without it no removal is confirmed.
            if self.proof.internal_age(clock.boot_time()).is_none_or(|age| age >= QUIET_FOR) {
                self.questions.probe().await;
            }
        }
    }
}

impl MirrorState {
    /// Raises an alarm while the short walk, which finds blocked users, does not come to its end.
    fn watch_short_walk(&self) {
        let clock = self.questions.clock();
        let (age, gap) = (self.proof.walk_age(clock.boot_time()), self.proof.longest_walk_gap());
        match age.filter(|age| *age > gap) {
            Some(age) => {
                let failure = self.recent_walk.state().failure.unwrap_or_else(|| "GitLab is slow, or too much is asked of it".to_owned());
                let message = format!(
                    "the short walk has not ended for {} s ({failure}): users who were blocked since are not known, and hosts ask GitLab \
                     themselves",
                    age.as_secs()
                );
                self.alarms.raise(AlarmReason::ShortWalkLate, message, clock.wall_time());
            }
            None => self.alarms.clear(AlarmReason::ShortWalkLate),
        }
    }
}

fn silent_message(count: usize) -> String {
    format!(
        "{count} changes within an hour were found at GitLab that no hook told: see that its system hook is enabled, with the URL of \
         hooks.listen (/hooks/gitlab) and the token of hooks.token_file"
    )
}
