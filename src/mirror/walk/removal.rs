//! Removes what a whole walk did not find: behind the loss guard, and only what GitLab denies when it is asked for it.

use std::sync::Arc;

use crate::mirror::alarms::AlarmReason;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::questions::Unanswered;
use crate::mirror::settle::{AskedFinding, Settler, loss_message};
use crate::mirror::walk::progress::WalkProgress;
use crate::model::id::Id;

/// So many are removed in one commit.
const BATCH: usize = 50;

/// Removes what was not found.
pub struct Removal<'a> {
    /// What asks and publishes.
    pub settler: &'a Settler,
}

impl Removal<'_> {
    /// Asks GitLab for each user and key that was not found, and removes those that it denies. Returns how many records went; none at all if
    /// they would be too many.
    pub async fn remove_missing(&self, missing: &WalkProgress) -> Result<u64, Unanswered> {
        let Settler { directory, alarms, questions, .. } = self.settler;
        let (users, keys, (user_count, key_count)) = (&missing.missing_users, &missing.missing_keys, missing.missing_count);
        let keys_with_users: usize = users.iter().map(|user| directory.key_ids_of(Some(*user)).len()).sum();
        let losses = directory.excessive_losses(user_count, key_count + keys_with_users as u64);
        let losses = losses.map_err(|error| Unanswered(error.to_string()))?;
        if !losses.is_empty() {
            alarms.raise(AlarmReason::LossGuard, loss_message(&losses), questions.clock().wall_time());
            return Ok(0);
        }
        alarms.clear(AlarmReason::LossGuard);
        let mut removed = 0;
        for batch in users.chunks(BATCH) {
            let mut denied = Vec::new();
            for user in batch {
                denied.extend(self.deny_user(*user).await?);
            }
            removed += self.publish(denied).await?;
        }
        for batch in keys.chunks(BATCH) {
            let mut denied = Vec::new();
            for key in batch {
                denied.extend(self.deny_key(*key).await?);
            }
            removed += self.publish(denied).await?;
        }
        Ok(removed)
    }

    async fn publish(&self, denied: Vec<AskedFinding>) -> Result<u64, Unanswered> {
        Ok(self.settler.publish(Source::FullWalk, denied).await?.changes as u64)
    }

    /// Asks for a user. One who is there after all was moved between two pages.
    async fn deny_user(&self, id: Id) -> Result<Option<AskedFinding>, Unanswered> {
        let question = Arc::new(self.settler.directory.clock.ask());
        let (found, _) = self.settler.questions.user(Priority::Walk, id).await?;
        Ok(found.is_none().then(|| (Finding::NoUser(id), Some(question))))
    }

    async fn deny_key(&self, id: Id) -> Result<Option<AskedFinding>, Unanswered> {
        let held = self.settler.directory.key(id).map_err(|error| Unanswered(error.to_string()))?;
        let Some(held) = held else { return Ok(None) };
        let question = Arc::new(self.settler.directory.clock.ask());
        let (found, _) = self.settler.questions.login_key(Priority::Walk, &held.key).await?;
        let finding = || (Finding::NoKey { id, fingerprint: held.key.fingerprint() }, Some(question));
        Ok((found != Some(id)).then(finding))
    }
}
