//! Leaves out of a file what the operator has revoked since it was written: a revoked key with its grants; a blocked user stays blocked.
//!
//! Called under the writer's lock, so that what was revoked while the file was received and staged counts too. What a file undoes on
//! purpose, and what it revokes itself, is not held any longer: that mark goes after the commit.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::api::error::ApiError;
use crate::model::enums::UserState;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{Record, User};
use crate::model::sort_key::SortKey;
use crate::primary::apply::constraints::Constraints;
use crate::primary::apply::diff::{DiffError, Unlisted};
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::primary::directory::revocations::{self, BlockedUser, Revocation, Revocations, RevokedKey};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// What becomes of revocations that a file would undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRevoked {
    /// They hold.
    Hold,
    /// The file undoes them: the operator said so.
    Undo,
}

/// What an apply does about revocations.
#[derive(Debug, Default)]
pub struct HeldRevocations {
    /// Those that the file would undo and that hold, with its lines.
    pub held: Vec<RevokedLine>,
    /// Those that the file undoes.
    pub undone: Vec<RevokedLine>,
    /// How many end because the file revokes as well.
    pub ended: usize,
    removed_marks: Vec<Vec<u8>>,
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
    unlisted: Unlisted,
    on_revoked: OnRevoked,
) -> Result<HeldRevocations, ApiError> {
    let Revocations { keys, users, .. } = Revocations::load(private_store)?;
    let mut file =
        RevokedFile { staged, constraints, unlisted, on_revoked, outcome: HeldRevocations::default(), left_out: BTreeSet::new() };
    for (fingerprint, mark) in &keys {
        file.check_key(fingerprint, mark)?;
    }
    for (id, mark) in &users {
        file.check_user(*id, mark)?;
    }
    let RevokedFile { staged, constraints, mut left_out, outcome, .. } = file;
    let mut ids: BTreeSet<Id> = outcome.held.iter().filter_map(RevokedLine::key_id).collect();
    for id in keys.values().map(|mark| mark.id).filter(|id| !constraints.has_key(*id)) {
        // A file may have the grants of a revoked key alone. Another key may have its id now.
        if directory.find_keys_by_id(id).map_err(DiffError::from)?.is_empty() {
            ids.insert(id);
        }
    }
    for id in ids {
        left_out.extend(staged.with_prefix(&SortKey::deploy_grants_prefix(id)).map(|grant| grant.sort_key.clone()));
    }
    staged.remove(&left_out);
    Ok(outcome)
}

struct RevokedFile<'a> {
    staged: &'a mut StagedFile,
    constraints: &'a mut Constraints,
    unlisted: Unlisted,
    on_revoked: OnRevoked,
    outcome: HeldRevocations,
    left_out: BTreeSet<SortKey>,
}

impl RevokedFile<'_> {
    fn check_key(&mut self, fingerprint: &Fingerprint, mark: &RevokedKey) -> Result<(), StagingError> {
        let sort_key = SortKey::key(fingerprint);
        let found = match self.staged.find(&sort_key) {
            Some(found) => Some((found.line, self.staged.record(found)?)),
            None => None,
        };
        let Some((line, Record::Key(key))) = found else {
            if self.unlisted == Unlisted::Remove {
                self.end(revocations::key_mark(fingerprint));
            }
            return Ok(());
        };
        let revocation = Revocation::Key { id: key.id, fingerprint: *fingerprint, order: mark.order.clone() };
        if self.on_revoked == OnRevoked::Undo {
            self.undo(RevokedLine { line, revocation }, revocations::key_mark(fingerprint));
            return Ok(());
        }
        self.staged.key_ids.remove(&key.id);
        self.constraints.remove_key(key.id);
        self.left_out.insert(sort_key);
        self.outcome.held.push(RevokedLine { line, revocation });
        Ok(())
    }

    fn check_user(&mut self, id: Id, mark: &BlockedUser) -> Result<(), StagingError> {
        let found = match self.staged.find(&SortKey::user(id)) {
            Some(found) => Some((found.line, self.staged.record(found)?)),
            None => None,
        };
        let Some((line, Record::User(user))) = found else {
            if self.unlisted == Unlisted::Remove {
                self.end(revocations::user_mark(id));
            }
            return Ok(());
        };
        if revocations::is_shut_out(user.state) {
            self.end(revocations::user_mark(id));
            return Ok(());
        }
        let revocation = Revocation::User { id, username: user.username.clone(), order: mark.order.clone() };
        if self.on_revoked == OnRevoked::Undo {
            self.undo(RevokedLine { line, revocation }, revocations::user_mark(id));
            return Ok(());
        }
        self.staged.replace(&Record::User(User { state: UserState::Blocked, ..user }))?;
        self.outcome.held.push(RevokedLine { line, revocation });
        Ok(())
    }

    fn end(&mut self, mark: Vec<u8>) {
        self.outcome.ended += 1;
        self.outcome.removed_marks.push(mark);
    }

    fn undo(&mut self, line: RevokedLine, mark: Vec<u8>) {
        self.outcome.undone.push(line);
        self.outcome.removed_marks.push(mark);
    }
}

impl HeldRevocations {
    /// Removes the marks of what does not hold any longer. Call it after the commit. Blocks.
    pub fn remove_marks(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        if self.removed_marks.is_empty() {
            return Ok(());
        }
        private_store.write(PrivateWrites { entries: self.removed_marks.iter().map(|mark| (mark.clone(), None)).collect() })
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
