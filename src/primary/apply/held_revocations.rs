//! Leaves out of a file what the operator has revoked: a revoked key with its grants; a blocked user stays blocked.
//!
//! Called under the writer's lock, so that what was revoked while the file was received and staged counts too. What a file undoes on
//! purpose is not held any longer: that mark goes after the commit.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::api::error::ApiError;
use crate::model::enums::UserState;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{Record, User};
use crate::model::sort_key::SortKey;
use crate::model::time::Time;
use crate::primary::apply::constraints::Constraints;
use crate::primary::apply::diff::{DiffError, Unlisted};
use crate::primary::apply::staged_file::{StagedFile, StagedRecord, StagingError};
use crate::primary::directory::revocations::{self, BlockedUser, MarkWrite, Order, Revocation, Revocations, RevokedKey};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// For how long the files must have revoked as well until a revocation is not held any longer: nobody applies a file that old.
const RETENTION: Duration = Duration::from_secs(365 * 24 * 3600);

/// What becomes of revocations that a file would undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRevoked {
    /// They hold.
    Hold,
    /// The file undoes them: the operator said so.
    Undo,
}

/// How a file is applied.
#[derive(Clone, Copy, Debug)]
pub struct RevocationPolicy {
    /// What becomes of the records that the file does not name.
    pub unlisted: Unlisted,
    /// What becomes of revocations that the file would undo.
    pub on_revoked: OnRevoked,
    /// The wall clock.
    pub now: Time,
}

/// What an apply does about revocations.
#[derive(Debug, Default)]
pub struct HeldRevocations {
    /// Those that the file would undo and that hold, with its lines.
    pub held: Vec<RevokedLine>,
    /// Those that the file undoes.
    pub undone: Vec<RevokedLine>,
    /// How many are not held any longer, because files have revoked as well for long, or because the number is another person's.
    pub ended: usize,
    mark_writes: Vec<MarkWrite>,
    /// Those of `mark_writes` that say what the file takes away.
    losses: Vec<MarkWrite>,
}

/// A line of the file that would undo a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokedLine {
    /// Its number, from 1.
    pub line: usize,
    /// The revocation.
    #[serde(flatten)]
    pub revocation: Revocation,
}

/// Applies the marks in the private store to a staged file. Call it under the writer's lock. Blocks.
pub fn hold_revocations(
    directory: &Generation,
    private_store: &PrivateStore,
    staged: &mut StagedFile,
    constraints: &mut Constraints,
    policy: RevocationPolicy,
) -> Result<HeldRevocations, ApiError> {
    let marks = Revocations::load(private_store)?;
    let (outcome, left_out) = (HeldRevocations::default(), BTreeSet::new());
    let mut file = RevokedFile { directory, marks: &marks, staged, constraints, policy, outcome, left_out };
    for (fingerprint, mark) in &marks.keys {
        file.check_key(fingerprint, mark)?;
    }
    for (id, mark) in &marks.users {
        file.check_user(*id, mark)?;
    }
    file.leave_out_grants()?;
    let RevokedFile { staged, left_out, outcome, .. } = file;
    staged.remove(&left_out);
    Ok(outcome)
}

struct RevokedFile<'a> {
    directory: &'a Generation,
    marks: &'a Revocations,
    staged: &'a mut StagedFile,
    constraints: &'a mut Constraints,
    policy: RevocationPolicy,
    outcome: HeldRevocations,
    left_out: BTreeSet<SortKey>,
}

impl RevokedFile<'_> {
    fn check_key(&mut self, fingerprint: &Fingerprint, mark: &RevokedKey) -> Result<(), ApiError> {
        let sort_key = SortKey::key(fingerprint);
        let Some((line, Record::Key(key))) = self.find(&sort_key)? else {
            if self.policy.unlisted == Unlisted::Remove {
                let order = self.note_in_file(&mark.order, revocations::key_mark(fingerprint));
                if let Some(order) = order {
                    let write = revocations::write_of_key(self.marks, fingerprint, &RevokedKey { order, ..mark.clone() })?;
                    self.outcome.mark_writes.push(write);
                }
            }
            return Ok(());
        };
        let line = RevokedLine { line, revocation: Revocation::Key { id: key.id, fingerprint: *fingerprint, order: mark.order.clone() } };
        if self.policy.on_revoked == OnRevoked::Undo {
            self.undo(line, revocations::key_mark(fingerprint));
            return Ok(());
        }
        self.staged.key_ids.remove(&key.id);
        self.constraints.remove_key(key.id);
        self.left_out.insert(sort_key);
        self.outcome.held.push(line);
        if mark.order.in_file_since.is_some() {
            let order = Order { in_file_since: None, ..mark.order.clone() };
            self.outcome.mark_writes.push(revocations::write_of_key(self.marks, fingerprint, &RevokedKey { order, ..mark.clone() })?);
        }
        Ok(())
    }

    fn check_user(&mut self, id: Id, mark: &BlockedUser) -> Result<(), ApiError> {
        let sort_key = SortKey::user(id);
        let (line, user) = match self.find(&sort_key)? {
            Some((line, Record::User(user))) if !revocations::is_shut_out(user.state) => (line, user),
            found => {
                let in_file = if let Some((_, Record::User(user))) = &found { Some(user.state) } else { mark.in_file };
                if found.is_some() || self.policy.unlisted == Unlisted::Remove {
                    let ended_before = self.outcome.ended;
                    let order = self.note_in_file(&mark.order, revocations::user_mark(id));
                    if self.outcome.ended == ended_before {
                        let order = order.unwrap_or_else(|| mark.order.clone());
                        self.note_user(id, mark, BlockedUser { order, in_file, ..mark.clone() })?;
                    }
                }
                return Ok(());
            }
        };
        if !user.username.eq_ignore_ascii_case(&mark.username) && !self.directory.has_entry(&sort_key)? {
            // The user was removed, and the number is given to another person.
            self.end(revocations::user_mark(id));
            return Ok(());
        }
        let line = RevokedLine { line, revocation: Revocation::User { id, username: user.username.clone(), order: mark.order.clone() } };
        if self.policy.on_revoked == OnRevoked::Undo {
            self.undo(line, revocations::user_mark(id));
            return Ok(());
        }
        let order = Order { in_file_since: None, ..mark.order.clone() };
        self.note_user(id, mark, BlockedUser { order, in_file: Some(user.state), ..mark.clone() })?;
        self.staged.replace(&Record::User(User { state: UserState::Blocked, ..user }))?;
        self.outcome.held.push(line);
        Ok(())
    }

    /// Notes what the file says of a blocked user, if that is not noted yet.
    fn note_user(&mut self, id: Id, mark: &BlockedUser, noted: BlockedUser) -> Result<(), ApiError> {
        if noted == *mark {
            return Ok(());
        }
        let write = revocations::write_of_user(self.marks, id, &noted)?;
        if noted.in_file.is_some_and(|state| !revocations::lets_in(state)) {
            self.outcome.losses.push(write.clone());
        }
        self.outcome.mark_writes.push(write);
        Ok(())
    }

    /// Leaves out the grants of the keys that are left out, and those of revoked keys that a file has alone; another key may have their id.
    fn leave_out_grants(&mut self) -> Result<(), ApiError> {
        let mut ids: BTreeSet<Id> = self.outcome.held.iter().filter_map(RevokedLine::key_id).collect();
        for id in self.marks.keys.values().map(|mark| mark.id).filter(|id| !self.constraints.has_key(*id)) {
            if self.directory.find_keys_by_id(id).map_err(DiffError::from)?.is_empty() {
                ids.insert(id);
            }
        }
        for id in ids {
            self.left_out.extend(self.staged.with_prefix(&SortKey::deploy_grants_prefix(id)).map(|grant| grant.sort_key.clone()));
        }
        Ok(())
    }

    fn find(&self, sort_key: &SortKey) -> Result<Option<(usize, Record)>, StagingError> {
        let read = |found: &StagedRecord| Ok((found.line, self.staged.record(found)?));
        self.staged.find(sort_key).map(read).transpose()
    }

    /// Returns what to note of a revocation that is in the file too, if that is not noted yet. After long it ends.
    fn note_in_file(&mut self, order: &Order, mark: Vec<u8>) -> Option<Order> {
        let now = self.policy.now;
        match order.in_file_since {
            None => Some(Order { in_file_since: Some(now), ..order.clone() }),
            Some(since) if now.since(since) >= RETENTION => {
                self.end(mark);
                None
            }
            Some(_) => None,
        }
    }

    fn end(&mut self, mark: Vec<u8>) {
        self.outcome.ended += 1;
        self.outcome.mark_writes.push((mark, None));
    }

    fn undo(&mut self, line: RevokedLine, mark: Vec<u8>) {
        self.outcome.undone.push(line);
        self.outcome.mark_writes.push((mark, None));
    }
}

impl HeldRevocations {
    /// Writes which users the file does not let in. Call it before the commit: after a crash in between, whoever is unblocked gets nothing
    /// that the file takes away. Blocks.
    pub fn write_losses(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        if self.losses.is_empty() {
            return Ok(());
        }
        private_store.write(PrivateWrites { entries: self.losses.clone() })
    }

    /// Writes what has changed of the marks. Call it after the commit. Blocks.
    pub fn write_marks(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        if self.mark_writes.is_empty() {
            return Ok(());
        }
        private_store.write(PrivateWrites { entries: self.mark_writes.clone() })
    }
}

impl RevokedLine {
    const fn key_id(&self) -> Option<Id> {
        match &self.revocation {
            Revocation::Key { id, .. } => Some(*id),
            Revocation::User { .. } => None,
        }
    }
}
