//! Settles one user or one key: asks GitLab how it is now, and publishes that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::mirror::alarms::{AlarmReason, Alarms};
use crate::mirror::directory::finding::{Finding, Published, Source};
use crate::mirror::directory::mirrored::MirroredDirectory;
use crate::mirror::directory::removals::RemovedKind;
use crate::mirror::directory::subject::{Question, Subject};
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::hooks::untold::UntoldChanges;
use crate::mirror::questions::{Questions, Unanswered};
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::model::loss_guard::Loss;
use crate::model::time::BootTime;
use crate::wire::gitlab::key::FoundKey;

/// How often users who have each other's names are asked for.
const NAME_ROUNDS: usize = 4;

/// How many other keys are asked before one that is denied goes.
const SAMPLE: usize = 20;
/// For how long the outcome of a sample counts.
const SAMPLE_COUNTS_FOR: Duration = Duration::from_secs(60);
/// If so many of a sample are denied, none goes.
const DENIED_IN_SAMPLE: usize = 3;

/// Asks GitLab and publishes.
pub struct Settler {
    /// The directory.
    pub directory: Arc<MirroredDirectory>,
    /// What asks GitLab.
    pub questions: Arc<Questions>,
    /// The alarms.
    pub alarms: Arc<Alarms>,
    /// What hooks should have told.
    pub untold: Mutex<UntoldChanges>,
    /// Whether a full walk of this process has ended: what is found before then may have changed while no mirror ran.
    pub counts_untold: std::sync::atomic::AtomicBool,
    /// When a sample of the keys was last asked, and whether GitLab knew it.
    pub sampled: Mutex<Option<(BootTime, bool)>>,
}

/// A finding with its question.
pub type AskedFinding = (Finding, Option<Arc<Question>>);

impl Settler {
    /// Asks for a user and all keys of the user, and publishes both.
    pub async fn user(&self, id: Id, source: Source, priority: Priority) -> Result<(), Unanswered> {
        let (mut asked_for, mut findings, mut missing) = (BTreeSet::new(), Vec::new(), Vec::new());
        let (mut to_ask, mut proven) = (vec![id], None);
        for _ in 0..NAME_ROUNDS {
            for id in std::mem::take(&mut to_ask) {
                if asked_for.insert(id) {
                    let asked_at = self.ask_for_user(id, priority, &mut findings, &mut missing).await?;
                    proven = Some(proven.map_or(asked_at, |before: BootTime| before.min(asked_at)));
                }
            }
            let published = self.publish(source, findings.clone()).await?;
            to_ask.extend(published.name_holders.into_iter().filter(|holder| !asked_for.contains(holder)));
            if to_ask.is_empty() {
                break;
            }
        }
        for key in missing {
            self.key(&key, source, priority).await?;
        }
        proven.into_iter().for_each(|asked_at| self.questions.prove(asked_at));
        Ok(())
    }

    /// Asks for one user and the user's keys. Adds what was found, and the keys that are held and were not found.
    async fn ask_for_user(
        &self,
        id: Id,
        priority: Priority,
        findings: &mut Vec<AskedFinding>,
        missing: &mut Vec<PublicKey>,
    ) -> Result<BootTime, Unanswered> {
        let question = Arc::new(self.directory.clock.ask());
        let (user, asked_at) = self.questions.user(priority, id).await?;
        match user {
            Some(Ok(user)) => findings.push((Finding::User(Box::new(user)), Some(question))),
            Some(Err(skipped)) => {
                self.questions.note_skipped(&skipped);
                return Ok(asked_at);
            }
            None => {
                findings.push((Finding::NoUser(id), Some(question)));
                return Ok(asked_at);
            }
        }
        let question = Arc::new(self.directory.clock.ask());
        let (keys, _) = self.questions.user_keys(priority, id).await?;
        let Some(keys) = keys else { return Ok(asked_at) };
        missing.extend(self.missing_keys(Some(id), &keys)?);
        findings.extend(self.key_findings(keys, &question));
        Ok(asked_at)
    }

    /// Returns the keys that are held of a user, or the deploy keys, and are not among those that were found.
    pub fn missing_keys(&self, owner: Option<Id>, found: &[FoundKey]) -> Result<Vec<PublicKey>, Unanswered> {
        let found: BTreeSet<Id> = found.iter().filter(|key| !matches!(key, FoundKey::SigningOnly(_))).filter_map(FoundKey::id).collect();
        let held = self.directory.keys_of(owner).map_err(|error| Unanswered(error.to_string()))?;
        Ok(held.into_iter().filter(|key| !found.contains(&key.id)).map(|key| key.key).collect())
    }

    /// Returns the findings of some keys; those that no record can express are counted.
    pub fn key_findings(&self, keys: Vec<FoundKey>, question: &Arc<Question>) -> Vec<AskedFinding> {
        let finding = |key| match key {
            FoundKey::Login(key) => Some((Finding::Key(Box::new(key)), Some(Arc::clone(question)))),
            FoundKey::SigningOnly(_) => None,
            FoundKey::Skipped(skipped) => {
                self.questions.note_skipped(&skipped);
                None
            }
        };
        keys.into_iter().filter_map(finding).collect()
    }

    /// Asks for a key, and publishes whether it lets somebody in, and whom.
    pub async fn key(&self, key: &PublicKey, source: Source, priority: Priority) -> Result<(), Unanswered> {
        let fingerprint = key.fingerprint();
        let question = Arc::new(self.directory.clock.ask());
        let (found, asked_at) = self.questions.login_key(priority, key).await?;
        let held = self.directory.key_by_fingerprint(&fingerprint).map_err(|error| Unanswered(error.to_string()))?;
        match (found, held) {
            // A database that was restored denies what it was asked about because of an old hook, too.
            (None, Some(held)) if !self.are_others_known(held.id).await? => {
                tracing::warn!("GitLab denies key {}, and others that it had: it stays", held.id);
                return Ok(());
            }
            (None, Some(held)) => {
                self.publish(source, vec![(Finding::NoKey { id: held.id, fingerprint }, Some(question))]).await?;
            }
            (None, None) => {}
            (Some(id), Some(held)) if held.id == id => self.directory.clock.found(Subject::Key(fingerprint), &question),
            (Some(_), _) => self.new_key(key, source, priority).await?,
        }
        self.questions.prove(asked_at);
        Ok(())
    }

    /// Asks for a key that lets somebody in and is not held so.
    async fn new_key(&self, key: &PublicKey, source: Source, priority: Priority) -> Result<(), Unanswered> {
        let question = Arc::new(self.directory.clock.ask());
        let Some(FoundKey::Login(found)) = self.questions.key(priority, key.fingerprint()).await?.0 else { return Ok(()) };
        let owner = found.user_id;
        let published = self.publish(source, vec![(Finding::Key(Box::new(found)), Some(question))]).await?;
        match owner {
            // The owner is not held yet; with the owner comes the key.
            Some(owner) if published.ownerless > 0 => Box::pin(self.user(owner, source, priority)).await,
            _ => Ok(()),
        }
    }

    /// Asks for a sample of the other keys. If GitLab denies several, it is not believed, and that is an alarm.
    pub async fn are_others_known(&self, denied: Id) -> Result<bool, Unanswered> {
        let Self { directory, questions, alarms, .. } = self;
        let now = questions.clock().boot_time();
        if let Some((at, known)) = *self.sampled.lock().unwrap_or_else(PoisonError::into_inner)
            && now.since(at) < SAMPLE_COUNTS_FOR
        {
            return Ok(known);
        }
        let (mut asked, mut missing) = (0, 0);
        for id in directory.sample_keys(SAMPLE).into_iter().filter(|id| *id != denied) {
            let Some(other) = directory.key(id).map_err(|error| Unanswered(error.to_string()))? else { continue };
            asked += 1;
            missing += usize::from(questions.login_key(Priority::Verification, &other.key).await?.0 != Some(id));
        }
        let known = missing < DENIED_IN_SAMPLE;
        *self.sampled.lock().unwrap_or_else(PoisonError::into_inner) = Some((questions.clock().boot_time(), known));
        if known {
            alarms.clear(AlarmReason::KeysDenied);
        } else {
            let message = format!(
                "GitLab denies {missing} of {asked} keys that it had: no key that hosts use is removed. If GitLab was restored or has a wrong \
                 database, mend that; the next full walk judges what is gone"
            );
            alarms.raise(AlarmReason::KeysDenied, message, questions.clock().wall_time());
        }
        Ok(known)
    }

    /// Publishes findings; what hooks should have told is noted, and what the loss guard holds back is an alarm.
    pub async fn publish(&self, source: Source, findings: Vec<AskedFinding>) -> Result<Published, Unanswered> {
        if findings.is_empty() {
            return Ok(Published::default());
        }
        let published = match self.directory.publish(source, findings).await {
            Ok(published) => published,
            Err(error) => {
                self.questions.note_unpublished(true);
                return Err(error.into());
            }
        };
        if published.changes > 0 {
            self.questions.note_unpublished(false);
        }
        let clock = self.questions.clock();
        if source.is_beside_hooks() && self.counts_untold.load(std::sync::atomic::Ordering::Relaxed) {
            let mut untold = self.untold();
            published.hook_worthy.iter().for_each(|subject| untold.found(*subject, clock.boot_time()));
        }
        if !published.held_back.is_empty() {
            self.alarms.raise(AlarmReason::LossGuard, loss_message(&published.held_back), clock.wall_time());
        }
        Ok(published)
    }

    /// Publishes what the first page of all users showed of GitLab's own settings. Returns whether that changed anything.
    pub async fn publish_settings(&self) -> Result<bool, Unanswered> {
        let Some(settings) = self.questions.settings() else { return Ok(false) };
        self.directory.publish_settings(settings).await.map_err(Unanswered::from)
    }

    /// Returns what hooks should have told.
    pub fn untold(&self) -> MutexGuard<'_, UntoldChanges> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what is held back, and what to do.
#[must_use]
pub fn loss_message(held_back: &[(RemovedKind, Loss)]) -> String {
    let losses: Vec<String> = held_back.iter().map(|(kind, loss)| format!("{} of {} {}", loss.lost, loss.total, kind.plural())).collect();
    format!(
        "GitLab does not have {} that it had within a day: nothing is removed. If GitLab was restored or has a wrong database, mend that; if \
         they are meant to go, run `sidegate admin --socket /run/sidegate-mirror/api.sock accept-loss`",
        losses.join(" and ")
    )
}
