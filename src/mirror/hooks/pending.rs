//! What hooks have told and GitLab was not asked about yet. It is on disk before a hook is answered, so nothing that was told is lost by a
//! crash; what is told many times before it is asked is asked once.
//!
//! Many hooks that arrive at once share one write.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::mirror::directory::subject::Subject;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// What names begin with in the private store.
const USER_PREFIX: &[u8] = b"mirror/hook/u/";
const KEY_PREFIX: &[u8] = b"mirror/hook/k/";
/// More is not kept: a full walk finds out about the rest.
pub const MAX_PENDING: usize = 100_000;

/// What is to be asked about a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToAsk {
    /// When it was told first.
    pub since: Time,
    /// The line of a key that was told, which GitLab is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the key if GitLab has told that it is destroyed: it is removed before anything is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<Id>,
}

/// Something to ask, as it was taken.
#[derive(Clone, Debug)]
pub struct TakenSubject {
    /// What it is about.
    pub subject: Subject,
    /// What to ask.
    pub to_ask: ToAsk,
    number: u64,
}

/// All that is to be asked, oldest first.
pub struct PendingHooks {
    private_store: PrivateStore,
    queue: Mutex<Queue>,
    unwritten: Mutex<Vec<UnwrittenHook>>,
    /// Held by whoever writes for all that wait.
    writer: Mutex<()>,
    added: Notify,
}

struct UnwrittenHook {
    subject: Subject,
    to_ask: ToAsk,
    outcome: Arc<OnceLock<Result<(), StoreError>>>,
}

#[derive(Default)]
struct Queue {
    last: u64,
    entries: HashMap<Subject, QueuedHook>,
    order: VecDeque<Subject>,
}

struct QueuedHook {
    number: u64,
    to_ask: ToAsk,
    /// Whether somebody asks at this moment; then the subject is not in the order.
    is_taken: bool,
}

/// What became of something that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is on disk, and will be asked.
    Stored,
    /// Too much waits already; only a full walk finds it.
    TooMany,
}

impl PendingHooks {
    /// Reads what was told before the last end. Blocks.
    pub fn load(private_store: &PrivateStore) -> Result<Self, StoreError> {
        let (mut queue, mut found) = (Queue::default(), Vec::new());
        for (prefix, parse) in [(USER_PREFIX, parse_user as fn(&[u8]) -> Option<Subject>), (KEY_PREFIX, parse_key)] {
            for (name, value) in private_store.scan_prefix(prefix)? {
                let to_ask = serde_json::from_slice(&value).map_err(|error| StoreError(format!("a hook that was stored: {error}")))?;
                found.extend(parse(&name[prefix.len()..]).map(|subject| (subject, to_ask)));
            }
        }
        found.sort_by_key(|(_, to_ask): &(Subject, ToAsk)| to_ask.since);
        found.into_iter().for_each(|(subject, to_ask)| drop(queue.push(subject, to_ask)));
        Ok(Self {
            private_store: private_store.clone(),
            queue: Mutex::new(queue),
            unwritten: Mutex::default(),
            writer: Mutex::default(),
            added: Notify::new(),
        })
    }

    /// Notes what is to be asked; on disk when it returns without an error. What could not be written is asked all the same.
    pub async fn note(self: &Arc<Self>, subject: Subject, to_ask: ToAsk) -> Result<Noted, ApiError> {
        let to_ask = {
            let mut queue = self.queue();
            if queue.entries.len() >= MAX_PENDING && !queue.entries.contains_key(&subject) {
                return Ok(Noted::TooMany);
            }
            // Before it is on disk, so that nobody removes from the disk what is asked about again.
            queue.push(subject, to_ask)
        };
        let outcome = Arc::new(OnceLock::new());
        lock(&self.unwritten).push(UnwrittenHook { subject, to_ask, outcome: Arc::clone(&outcome) });
        let hooks = Arc::clone(self);
        let written = run_blocking(move || hooks.write_with_others(&outcome)).await;
        // Also what could not be written: whoever waits for something to ask must see it.
        self.added.notify_one();
        written.map(|()| Noted::Stored)
    }

    /// Returns the outcome of one's own write, which somebody else may have made with his. Blocks.
    fn write_with_others(&self, own: &OnceLock<Result<(), StoreError>>) -> Result<(), StoreError> {
        let _writer = lock(&self.writer);
        if let Some(outcome) = own.get() {
            return outcome.clone();
        }
        let unwritten = std::mem::take(&mut *lock(&self.unwritten));
        let written = self.write(&unwritten);
        for hook in unwritten {
            hook.outcome.get_or_init(|| written.clone());
        }
        written
    }

    fn write(&self, hooks: &[UnwrittenHook]) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(hooks.len());
        for UnwrittenHook { subject, to_ask, .. } in hooks {
            let value = serde_json::to_vec(to_ask).map_err(|error| StoreError(error.to_string()))?;
            entries.push((name_of(*subject), Some(value)));
        }
        self.private_store.write(PrivateWrites { entries })
    }

    /// Takes the oldest, and waits for one if there is none.
    pub async fn take(&self) -> TakenSubject {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.added.notified().await;
        }
    }

    /// Takes the oldest, if there is one.
    pub fn try_take(&self) -> Option<TakenSubject> {
        let mut queue = self.queue();
        let taken = queue.take()?;
        if !queue.order.is_empty() {
            // One that waits may have missed that there is more.
            self.added.notify_one();
        }
        Some(taken)
    }

    /// Removes what was asked, on disk too, unless it was told again meanwhile: then it is asked again.
    pub async fn finish(self: &Arc<Self>, taken: TakenSubject) -> Result<(), ApiError> {
        if !self.queue().finish(&taken) {
            self.added.notify_one();
            return Ok(());
        }
        let hooks = Arc::clone(self);
        run_blocking(move || {
            let _writer = lock(&hooks.writer);
            if hooks.queue().entries.contains_key(&taken.subject) {
                return Ok(());
            }
            hooks.private_store.write(PrivateWrites { entries: vec![(name_of(taken.subject), None)] })
        })
        .await
    }

    /// Puts back what could not be asked, behind all others.
    pub fn put_back(&self, taken: &TakenSubject) {
        self.queue().put_back(taken.subject);
        self.added.notify_one();
    }

    /// Returns how many wait, and since when the oldest does.
    #[must_use]
    pub fn waiting(&self) -> (usize, Option<Time>) {
        let queue = self.queue();
        (queue.entries.len(), queue.entries.values().map(|entry| entry.to_ask.since).min())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Queue {
    /// Adds something that was told, and returns it with what was told of the same subject before.
    fn push(&mut self, subject: Subject, to_ask: ToAsk) -> ToAsk {
        self.last += 1;
        let number = self.last;
        match self.entries.get_mut(&subject) {
            Some(entry) => {
                entry.number = number;
                entry.to_ask.key = to_ask.key.or(entry.to_ask.key.take());
                entry.to_ask.destroyed = to_ask.destroyed;
                entry.to_ask.clone()
            }
            None => {
                self.entries.insert(subject, QueuedHook { number, to_ask: to_ask.clone(), is_taken: false });
                self.order.push_back(subject);
                to_ask
            }
        }
    }

    fn take(&mut self) -> Option<TakenSubject> {
        while let Some(subject) = self.order.pop_front() {
            if let Some(entry) = self.entries.get_mut(&subject) {
                entry.is_taken = true;
                return Some(TakenSubject { subject, to_ask: entry.to_ask.clone(), number: entry.number });
            }
        }
        None
    }

    /// Removes what was asked; false, if it was told again meanwhile and is to be asked again.
    fn finish(&mut self, taken: &TakenSubject) -> bool {
        if self.entries.get(&taken.subject).is_some_and(|entry| entry.number != taken.number) {
            self.put_back(taken.subject);
            return false;
        }
        self.entries.remove(&taken.subject);
        true
    }

    fn put_back(&mut self, subject: Subject) {
        if let Some(entry) = self.entries.get_mut(&subject)
            && std::mem::take(&mut entry.is_taken)
        {
            self.order.push_back(subject);
        }
    }
}

fn name_of(subject: Subject) -> Vec<u8> {
    match subject {
        Subject::User(id) => [USER_PREFIX, &id.bytes()].concat(),
        Subject::Key(fingerprint) => [KEY_PREFIX, &fingerprint.0].concat(),
    }
}

fn parse_user(name: &[u8]) -> Option<Subject> {
    let number = u64::from_be_bytes(name.try_into().ok()?);
    Id::try_from(number).ok().map(Subject::User)
}

fn parse_key(name: &[u8]) -> Option<Subject> {
    name.try_into().ok().map(|bytes| Subject::Key(Fingerprint(bytes)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Noted, PendingHooks, ToAsk};
    use crate::mirror::directory::subject::Subject;
    use crate::model::key::Fingerprint;
    use crate::model::time::Time;
    use crate::store::primary::private_store::PrivateStore;
    use crate::store::tests::small_disk::SmallDisk;

    fn user(id: u64) -> Subject {
        Subject::User(id.try_into().unwrap())
    }

    fn to_ask(key: Option<&str>) -> ToAsk {
        ToAsk { since: Time::EPOCH, key: key.map(str::to_owned), destroyed: None }
    }

    fn subjects(hooks: &PendingHooks) -> Vec<Subject> {
        std::iter::from_fn(|| hooks.try_take()).map(|taken| taken.subject).collect()
    }

    #[tokio::test]
    async fn what_was_told_is_there_after_a_crash_until_it_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(&folder.path().join("ledger")).unwrap();
        let hooks = Arc::new(PendingHooks::load(&store).unwrap());
        let key = Subject::Key(Fingerprint([7; 32]));
        assert_eq!(hooks.note(user(1), to_ask(None)).await.unwrap(), Noted::Stored);
        hooks.note(key, to_ask(Some("ssh-ed25519 AAAA"))).await.unwrap();
        hooks.note(user(1), to_ask(None)).await.unwrap();
        let first = hooks.try_take().unwrap();
        assert_eq!(first.subject, user(1));
        let after_crash = Arc::new(PendingHooks::load(&store).unwrap());
        assert_eq!(after_crash.waiting().0, 2, "what is being asked is not asked yet");
        hooks.finish(first).await.unwrap();
        let after_crash = PendingHooks::load(&store).unwrap();
        let taken = after_crash.try_take().unwrap();
        assert_eq!((taken.subject, taken.to_ask.key.as_deref()), (key, Some("ssh-ed25519 AAAA")));
        assert_eq!(subjects(&after_crash), []);
    }

    #[tokio::test]
    async fn what_a_full_disk_refuses_is_asked_all_the_same_by_whoever_waits() {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), 8 << 10) else { return };
        let store = PrivateStore::open(&folder.path().join("disk/ledger")).unwrap();
        let hooks = Arc::new(PendingHooks::load(&store).unwrap());
        let waiting = tokio::spawn({
            let hooks = Arc::clone(&hooks);
            async move { hooks.take().await.subject }
        });
        tokio::task::yield_now().await;
        disk.fill();
        assert!(hooks.note(user(1), to_ask(None)).await.is_err(), "it is not on disk");
        let taken = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.unwrap();
        assert_eq!(taken.unwrap(), user(1));
    }

    #[tokio::test]
    async fn what_is_told_again_while_it_is_asked_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(&folder.path().join("ledger")).unwrap();
        let hooks = Arc::new(PendingHooks::load(&store).unwrap());
        hooks.note(user(1), to_ask(None)).await.unwrap();
        let taken = hooks.try_take().unwrap();
        hooks.note(user(1), to_ask(None)).await.unwrap();
        assert!(hooks.try_take().is_none(), "one asks at a time");
        hooks.finish(taken).await.unwrap();
        assert_eq!(PendingHooks::load(&store).unwrap().waiting().0, 1);
        let again = hooks.try_take().unwrap();
        hooks.put_back(&again);
        hooks.finish(hooks.try_take().unwrap()).await.unwrap();
        assert_eq!((subjects(&hooks), PendingHooks::load(&store).unwrap().waiting().0), (vec![], 0));
    }
}
