//! Turns findings into changes of the present directory: what is as it was found gives none.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::error::ApiError;
use crate::mirror::directory::finding::{Finding, Published};
use crate::mirror::directory::held_ids::HeldIds;
use crate::mirror::directory::subject::{Question, Subject};
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{Key, Record, User};
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::pages::index::IndexKey;

/// A finding with the question that it answers; `None`: it counts in any case.
pub type AskedFinding<'a> = (&'a Finding, Option<&'a Question>);

/// The changes of some findings.
#[derive(Default)]
pub struct PlannedChanges {
    /// The changes, one for each record.
    pub changes: Vec<Change>,
    /// The users among the deletes.
    pub removed_users: u64,
    /// The keys among the deletes that no put replaces.
    pub removed_keys: u64,
    /// What was found besides.
    pub published: Published,
}

/// Plans the changes of findings against a directory that nobody else writes to meanwhile.
pub struct Planner<'a> {
    directory: &'a Generation,
    owners: &'a HeldIds,
    planned: PlannedChanges,
    /// Whether a key may take the id of another one, which goes for it.
    replaces_ids: bool,
    /// The users as they will be; `None`: removed.
    users: BTreeMap<Id, Option<User>>,
    /// The keys as they will be.
    keys: BTreeMap<Fingerprint, Key>,
    /// The keys that are removed.
    removed: BTreeSet<Id>,
}

impl<'a> Planner<'a> {
    /// Returns a planner without changes.
    #[must_use]
    pub fn new(directory: &'a Generation, owners: &'a HeldIds) -> Self {
        Self {
            directory,
            owners,
            planned: PlannedChanges::default(),
            replaces_ids: true,
            users: BTreeMap::new(),
            keys: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Lets no key take the id of another one.
    #[must_use]
    pub fn keeping_ids(self) -> Self {
        Self { replaces_ids: false, ..self }
    }

    /// Plans all findings: users before keys, so that a key finds its owner.
    pub fn plan(mut self, findings: &[AskedFinding<'_>]) -> Result<PlannedChanges, ApiError> {
        let (users, keys): (Vec<_>, Vec<_>) =
            findings.iter().partition(|(finding, _)| matches!(finding, Finding::User(_) | Finding::NoUser(_)));
        self.plan_each(users)?;
        // A user whose name is taken back may be the owner of a key.
        while self.take_names_back()? {}
        self.plan_each(keys)?;
        let Self { mut planned, users, keys, removed, .. } = self;
        planned.changes.extend(removed.into_iter().map(|id| Change::Delete(RecordIdentity::Key(id))));
        for key in keys.into_values() {
            planned.changes.push(Change::Put(Entry::from_record(Record::Key(key))?));
        }
        for (id, user) in users {
            planned.changes.push(match user {
                Some(user) => Change::Put(Entry::from_record(Record::User(user))?),
                None => Change::Delete(user_identity(id)?),
            });
        }
        planned.published.changes = planned.changes.len();
        Ok(planned)
    }

    fn plan_each(&mut self, findings: Vec<&AskedFinding<'_>>) -> Result<(), ApiError> {
        for (finding, asked) in findings {
            if asked.is_some_and(|asked| !asked.counts_for(finding.subject())) {
                self.planned.published.outdated += 1;
                continue;
            }
            match finding {
                Finding::User(user) => self.put_user(user)?,
                Finding::NoUser(id) => self.remove_user(*id)?,
                Finding::Key(key) => self.put_key(key)?,
                Finding::NoKey { id, fingerprint } => self.remove_key(*fingerprint, *id)?,
            }
        }
        Ok(())
    }

    fn put_user(&mut self, user: &User) -> Result<(), ApiError> {
        let held = self.held_user(user.id)?;
        if held.as_ref() == Some(user) {
            return Ok(());
        }
        if held.is_none_or(|held| held.username != user.username) {
            self.planned.published.hook_worthy.push(Subject::User(user.id));
        }
        self.users.insert(user.id, Some(user.clone()));
        Ok(())
    }

    fn remove_user(&mut self, id: Id) -> Result<(), ApiError> {
        for key in self.owners.keys_of(Some(id)) {
            self.planned.removed_keys += u64::from(self.removed.insert(*key));
        }
        if self.held_user(id)?.is_some() {
            self.planned.published.hook_worthy.push(Subject::User(id));
            self.planned.removed_users += 1;
            self.users.insert(id, None);
        }
        Ok(())
    }

    fn put_key(&mut self, key: &Key) -> Result<(), ApiError> {
        let is_owned = match key.user_id {
            Some(owner) => self.held_user(owner)?.is_some(),
            None => true,
        };
        if !is_owned {
            self.planned.published.ownerless += 1;
            return Ok(());
        }
        let fingerprint = key.key.fingerprint();
        let held = self.directory.load_entry(&SortKey::key(&fingerprint))?;
        let held = held.as_ref().and_then(Entry::record).map(AsRef::as_ref);
        match held {
            Some(Record::Key(held)) if held == key => return Ok(()),
            // The same key came back under another id.
            Some(Record::Key(held)) if held.id != key.id => {
                self.removed.insert(held.id);
                self.planned.published.hook_worthy.push(Subject::Key(fingerprint));
            }
            Some(_) => {}
            None => self.planned.published.hook_worthy.push(Subject::Key(fingerprint)),
        }
        if self.held_fingerprint(key.id)?.is_some_and(|held| held != fingerprint) {
            // GitLab gives no id twice: it is another GitLab's key, and the one that is held is gone there.
            if !self.replaces_ids {
                return Ok(());
            }
            self.planned.removed_keys += u64::from(self.removed.insert(key.id));
        }
        self.keys.retain(|_, planned| planned.id != key.id);
        self.keys.insert(fingerprint, key.clone());
        Ok(())
    }

    fn remove_key(&mut self, fingerprint: Fingerprint, id: Id) -> Result<(), ApiError> {
        self.keys.retain(|planned, key| *planned != fingerprint || key.id != id);
        if self.held_fingerprint(id)? == Some(fingerprint) && self.removed.insert(id) {
            self.planned.removed_keys += 1;
            self.planned.published.hook_worthy.push(Subject::Key(fingerprint));
        }
        Ok(())
    }

    /// Takes back the users whose name somebody else holds who is not among the findings: two users of one name would both be answered for.
    /// Returns whether there were any: what they leave in place may be in the way of others.
    fn take_names_back(&mut self) -> Result<bool, ApiError> {
        let mut names: BTreeMap<String, Id> = BTreeMap::new();
        let mut taken_back = Vec::new();
        for (id, user) in &self.users {
            let Some(user) = user else { continue };
            let name = user.username.as_str().to_lowercase();
            let other = match names.get(&name) {
                Some(other) => Some(*other),
                None => self.other_holder(&name, *id)?,
            };
            match other {
                Some(holder) => {
                    self.planned.published.name_holders.push(holder);
                    taken_back.push(*id);
                }
                None => drop(names.insert(name, *id)),
            }
        }
        let was_any = !taken_back.is_empty();
        for id in taken_back {
            self.users.remove(&id);
        }
        Ok(was_any)
    }

    /// Returns who else has this name in the directory and keeps it.
    fn other_holder(&self, name: &str, id: Id) -> Result<Option<Id>, ApiError> {
        let entry = self.directory.load_entry_by_index(&IndexKey::by_username(name))?;
        let Some(Record::User(holder)) = entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) else { return Ok(None) };
        Ok((holder.id != id && !self.users.contains_key(&holder.id)).then_some(holder.id))
    }

    /// Returns a user as the findings so far leave it.
    fn held_user(&self, id: Id) -> Result<Option<User>, ApiError> {
        if let Some(planned) = self.users.get(&id) {
            return Ok(planned.clone());
        }
        let entry = self.directory.load_entry(&SortKey::user(id))?;
        Ok(match entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
            Some(Record::User(user)) => Some(user.clone()),
            _ => None,
        })
    }

    fn held_fingerprint(&self, id: Id) -> Result<Option<Fingerprint>, ApiError> {
        Ok(held_key(self.directory, id)?.map(|key| key.key.fingerprint()))
    }
}

/// Returns the key with this id.
pub fn held_key(directory: &Generation, id: Id) -> Result<Option<Key>, StoreError> {
    let entry = directory.entry(&RecordIdentity::Key(id))?;
    Ok(match entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
        Some(Record::Key(key)) => Some(key.clone()),
        _ => None,
    })
}

fn user_identity(id: Id) -> Result<RecordIdentity, ApiError> {
    RecordIdentity::parse(&format!(r#"{{"kind":"user","id":{id}}}"#)).map_err(ApiError::internal)
}
