//! What shuts somebody out and is not in force on every host yet: keys and users that were removed, and users that may not log in any more,
//! in the commits that a host which may still answer has not confirmed.
//!
//! They are read from the journal, so that a restart of the primary forgets none.

use std::sync::Arc;

use crate::model::change::{Change, Commit, Head};
use crate::model::digest::DirectoryDigest;
use crate::model::enums::UserState;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::time::Time;
use crate::primary::replication::host_table::HostView;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};

/// So many commits are looked through, the oldest first.
const MAX_COMMITS: usize = 500;
/// So many of them are in memory at a time: each has up to a thousand changes.
const COMMITS_AT_ONCE: usize = 10;
/// So many revocations are named.
pub const MAX_NAMED: usize = 100;

/// What is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// What is known, the oldest first.
    pub revocations: Vec<InFlightRevocation>,
    /// Why there may be more than these, if so.
    pub unknown: Option<Incomplete>,
}

/// Why more may be in flight than what is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// A host has confirmed nothing yet, or nothing that the journal reaches back to.
    BeforeTheJournal,
    /// There are more commits or revocations than are looked through.
    TooMany,
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlightRevocation {
    /// What was revoked.
    pub what: Revoked,
    /// The commit.
    pub seq: u64,
    /// The hosts that may still answer without it.
    pub waits_for: Vec<Arc<str>>,
    /// Whether one of them is connected: each line that it is written moves the time until which it may answer.
    pub is_reached: bool,
    /// Until when the last of them may answer, if none is written to any more.
    pub until: Time,
}

/// What a commit took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// A key was removed.
    Key(Id),
    /// A user is in a state that lets nobody in.
    User(String, UserState),
    /// A user was removed: the object that names it.
    RemovedUser(String),
}

/// Reads what is in flight to these hosts. Blocks.
pub fn read_in_flight(store: &PrimaryStore, hosts: &[HostView], head: &Head, now: Time) -> Result<InFlight, StoreError> {
    let behind: Vec<&HostView> = hosts.iter().filter(|host| !host.has_lapsed() && confirmed_seq(host, head) < Some(head.seq)).collect();
    let mut in_flight = InFlight::default();
    for from in oldest_known_first(&behind, head) {
        let Some(acked) = &from.acked else { continue };
        let after = Head { epoch: acked.epoch, seq: acked.seq, state: DirectoryDigest { digest: acked.digest, count: 0 } };
        match read_from(store, after, |commit| add_revocations(&mut in_flight.revocations, commit, &behind, head, now))? {
            Some(is_all) => {
                if !is_all {
                    in_flight.unknown = Some(Incomplete::TooMany);
                }
                break;
            }
            // The next host may be within the journal.
            None => in_flight.unknown = Some(Incomplete::BeforeTheJournal),
        }
    }
    if behind.iter().any(|host| confirmed_seq(host, head).is_none()) {
        in_flight.unknown = Some(Incomplete::BeforeTheJournal);
    }
    Ok(in_flight)
}

/// Returns the last commit that a host has confirmed of the present epoch.
#[must_use]
pub fn confirmed_seq(host: &HostView, head: &Head) -> Option<u64> {
    host.acked.as_ref().filter(|acked| acked.epoch == head.epoch).map(|acked| acked.seq)
}

fn oldest_known_first<'a>(behind: &[&'a HostView], head: &Head) -> Vec<&'a HostView> {
    let mut known: Vec<&HostView> = behind.iter().copied().filter(|host| confirmed_seq(host, head).is_some()).collect();
    known.sort_by_key(|host| confirmed_seq(host, head));
    known.dedup_by_key(|host| confirmed_seq(host, head));
    known
}

/// Hands on the commits after `from` until `take` wants no more. Returns whether these were all; `None` if the journal does not reach back
/// to `from`.
fn read_from(store: &PrimaryStore, mut from: Head, mut take: impl FnMut(&Commit) -> bool) -> Result<Option<bool>, StoreError> {
    for _ in 0..MAX_COMMITS / COMMITS_AT_ONCE {
        let CommitsAfter::Commits(commits) = store.commits_after(from.epoch, from.seq, from.state.digest, COMMITS_AT_ONCE)? else {
            return Ok(None);
        };
        let Some(last) = commits.last() else { return Ok(Some(true)) };
        from = Head { seq: last.seq, state: last.state, ..from };
        if !commits.iter().all(&mut take) {
            return Ok(Some(false));
        }
    }
    Ok(Some(false))
}

/// Adds what a commit revokes. Returns whether there was room for it.
fn add_revocations(named: &mut Vec<InFlightRevocation>, commit: &Commit, behind: &[&HostView], head: &Head, now: Time) -> bool {
    let waiting: Vec<&HostView> = behind.iter().copied().filter(|host| confirmed_seq(host, head) < Some(commit.seq)).collect();
    let Some(longest) = waiting.iter().map(|host| host.may_serve_for).max() else { return true };
    for what in commit.changes.iter().filter_map(revoked_by) {
        if named.len() == MAX_NAMED {
            return false;
        }
        let waits_for = waiting.iter().map(|host| Arc::clone(&host.name)).collect();
        let is_reached = waiting.iter().any(|host| host.is_connected());
        named.push(InFlightRevocation { what, seq: commit.seq, waits_for, is_reached, until: now.plus(longest) });
    }
    true
}

fn revoked_by(change: &Change) -> Option<Revoked> {
    match change {
        Change::Delete(RecordIdentity::Key(id)) => Some(Revoked::Key(*id)),
        Change::Delete(identity) => {
            let text = identity.to_string();
            text.starts_with(r#"{"kind":"user","#).then_some(Revoked::RemovedUser(text))
        }
        Change::Put(entry) => match entry.record().map(AsRef::as_ref) {
            Some(Record::User(user)) if !matches!(user.state, UserState::Active | UserState::Internal) => {
                Some(Revoked::User(user.username.to_string(), user.state))
            }
            _ => None,
        },
    }
}
