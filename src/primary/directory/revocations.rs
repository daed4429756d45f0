//! What the operator revoked: it holds against later directory files that still have the key, or have the user not blocked.
//!
//! ```text
//! revoked/key/<fingerprint>   {"id", "after", "at", "by", "in_file_since"}: a key that `revoke-key` removed
//! revoked/user/<id>           {"username", "before", "in_file", …}: a user whom `block-user` blocked, the state that the user had, and the
//!                             one that the last file says since
//! ```
//! A mark is written under the lock of the directory's writer, before the commit that revokes, and says the number of the commit before. A
//! crash in between, or a disk that has no room for the commit, leaves a mark that no commit follows: the revocation is made before any
//! other commit. A mark goes after the commit of an apply that undoes it on purpose; a crash in between leaves the mark of something that
//! came back with a later commit, and it is removed before the next commit. (repairs.rs)
//!
//! Files that revoke as well do not end a revocation: a still older one may come after them. Only once they have done so for a year is the
//! mark removed, so that marks do not grow without a bound.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::api::error::ApiError;
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::enums::UserState;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{Key, Record, User};
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::model::text::Text;
use crate::model::time::Time;
use crate::net::peer::Peer;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::pages::index::IndexKey;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const KEY_PREFIX: &[u8] = b"revoked/key/";
const USER_PREFIX: &[u8] = b"revoked/user/";

/// When something was revoked, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// When the command came.
    pub at: Time,
    /// Who gave it, as the kernel says: `uid 0`.
    pub by: String,
    /// Since when each file that says something of it revokes as well; `None` if the last one did not, or none did.
    #[serde(default)]
    pub in_file_since: Option<Time>,
}

/// A mark as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredMark<T> {
    /// The last commit before the one that revokes.
    after: u64,
    #[serde(flatten)]
    mark: T,
}

/// A key that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedKey {
    /// The id that it had.
    pub id: Id,
    /// When and by whom.
    #[serde(flatten)]
    pub order: Order,
}

/// A user who was blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedUser {
    /// The name that the user had.
    pub username: Text,
    /// The state that the user had, and has again if the blocking is undone and no file has said anything since; `None` in marks of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<UserState>,
    /// The state that the last file since the blocking has the user in; `None` if none names the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_file: Option<UserState>,
    /// When and by whom.
    #[serde(flatten)]
    pub order: Order,
}

/// All that is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Keys, by their fingerprints: the same key under another id is revoked too.
    pub keys: BTreeMap<Fingerprint, RevokedKey>,
    /// Users, by their ids.
    pub users: BTreeMap<Id, BlockedUser>,
    /// The last commit before each, by the key of its mark.
    after: BTreeMap<Vec<u8>, u64>,
}

/// A write to a mark: its key, and its new value or `None`.
pub type MarkWrite = (Vec<u8>, Option<Vec<u8>>);

/// One revocation, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Revocation {
    /// Of a key.
    Key {
        /// The id that it has in the file, or had in the directory.
        id: Id,
        /// Its fingerprint.
        #[serde(serialize_with = "as_text")]
        fingerprint: Fingerprint,
        /// When and by whom.
        #[serde(flatten)]
        order: Order,
    },
    /// Of a user.
    User {
        /// Its id.
        id: Id,
        /// The name that the user has in the file, or had in the directory.
        username: Text,
        /// When and by whom.
        #[serde(flatten)]
        order: Order,
    },
}

impl Order {
    /// Returns the order that this peer gives now.
    #[must_use]
    pub fn of(peer: &Peer, at: Time) -> Self {
        let by = match peer {
            Peer::Unix { uid, .. } => format!("uid {uid}"),
            Peer::Tcp(address) => address.to_string(),
        };
        Self { at, by, in_file_since: None }
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id, fingerprint, .. } => write!(out, "key {id} ({fingerprint})"),
            Self::User { id, username, .. } => write!(out, "user {username} (id {id})"),
        }
    }
}

impl Revocations {
    /// Reads all marks. Blocks.
    pub fn load(private_store: &PrivateStore) -> Result<Self, StoreError> {
        let unreadable = || StoreError("a mark of a revocation cannot be read".to_owned());
        let mut all = Self::default();
        for (key, value) in private_store.scan_prefix(KEY_PREFIX)? {
            let fingerprint = parse_key_mark(&key).ok_or_else(unreadable)?;
            let StoredMark { after, mark } = serde_json::from_slice(&value).map_err(|_| unreadable())?;
            all.after.insert(key.clone(), after);
            all.keys.insert(fingerprint, mark);
        }
        for (key, value) in private_store.scan_prefix(USER_PREFIX)? {
            let id = parse_user_mark(&key).ok_or_else(unreadable)?;
            let StoredMark { after, mark } = serde_json::from_slice(&value).map_err(|_| unreadable())?;
            all.after.insert(key.clone(), after);
            all.users.insert(id, mark);
        }
        Ok(all)
    }

    fn write_of(&self, key: Vec<u8>, mark: impl Serialize) -> Result<MarkWrite, ApiError> {
        let after = self.after.get(&key).copied().unwrap_or_default();
        let value = serde_json::to_vec(&StoredMark { after, mark })?;
        Ok((key, Some(value)))
    }

    /// Returns all of them: keys by fingerprint, then users by id.
    pub fn list(&self) -> impl Iterator<Item = Revocation> {
        let keys = self.keys.iter();
        let keys = keys.map(|(fingerprint, key)| Revocation::Key { id: key.id, fingerprint: *fingerprint, order: key.order.clone() });
        let users = self.users.iter();
        keys.chain(users.map(|(id, user)| Revocation::User { id: *id, username: user.username.clone(), order: user.order.clone() }))
    }
}

/// Returns how many keys and how many users are revoked. Blocks.
pub fn count(private_store: &PrivateStore) -> Result<(usize, usize), StoreError> {
    Ok((private_store.scan_prefix(KEY_PREFIX)?.len(), private_store.scan_prefix(USER_PREFIX)?.len()))
}

/// Finds the revoked key that had this id. Blocks.
pub fn find_key(private_store: &PrivateStore, id: Id) -> Result<Option<Fingerprint>, StoreError> {
    let keys = Revocations::load(private_store)?.keys;
    Ok(keys.into_iter().find(|(_, key)| key.id == id).map(|(fingerprint, _)| fingerprint))
}

/// Marks keys as revoked and returns the changes that revoke them. Call it under the writer's lock; the marks are on disk when it returns.
/// Blocks.
pub fn revoke_keys(directory: &Generation, private_store: &PrivateStore, keys: &[&Key], order: &Order) -> Result<Vec<Change>, ApiError> {
    let (mut changes, mut writes) = (Vec::new(), PrivateWrites::default());
    for key in keys {
        changes.extend(key_changes(directory, key.id)?);
        let mark = RevokedKey { id: key.id, order: order.clone() };
        writes.entries.push((key_mark(&key.key.fingerprint()), Some(encode_mark(directory, mark)?)));
    }
    private_store.write(writes)?;
    Ok(changes)
}

/// Marks a user as blocked and returns the changes that block it; none if it is blocked already. Call it under the writer's lock; the
/// mark is on disk when it returns. Blocks.
pub fn block_user(directory: &Generation, private_store: &PrivateStore, user: &User, order: Order) -> Result<Vec<Change>, ApiError> {
    let changes = user_changes(user)?;
    // Who is blocked again gets, once that is undone, the state from before the first time.
    let earlier = Revocations::load(private_store)?.users.remove(&user.id);
    let (before, in_file) = match earlier {
        Some(mark) if user.state == UserState::Blocked => (mark.before, state_in_file(&mark, user.state)),
        Some(mark) => (Some(user.state), mark.in_file),
        None => (Some(user.state), None),
    };
    let mark = encode_mark(directory, BlockedUser { username: user.username.clone(), before, in_file, order })?;
    private_store.write(PrivateWrites { entries: vec![(user_mark(user.id), Some(mark))] })?;
    Ok(changes)
}

/// Copies the marks of one store that another has not, as if they were made after the other's commit `after`: they are committed before
/// any other change. Returns what they revoke. Blocks.
pub fn carry_over(from: &PrivateStore, to: &PrivateStore, after: u64) -> Result<Vec<Revocation>, StoreError> {
    let encode = |value: serde_json::Result<Vec<u8>>| value.map_err(|error| StoreError(error.to_string()));
    let (mut missing, present) = (Revocations::load(from)?, Revocations::load(to)?);
    missing.keys.retain(|fingerprint, _| !present.keys.contains_key(fingerprint));
    missing.users.retain(|id, _| !present.users.contains_key(id));
    let mut writes = PrivateWrites::default();
    for (fingerprint, mark) in &missing.keys {
        writes.entries.push((key_mark(fingerprint), Some(encode(serde_json::to_vec(&StoredMark { after, mark }))?)));
    }
    for (id, mark) in &missing.users {
        writes.entries.push((user_mark(*id), Some(encode(serde_json::to_vec(&StoredMark { after, mark }))?)));
    }
    to.write(writes)?;
    Ok(missing.list().collect())
}

/// A user who is not blocked by `block-user` any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnblockedUser {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub username: Text,
    /// The state that the user has then; `None` if the directory does not have the user.
    pub state: Option<UserState>,
    /// The mark that is to be removed after the commit; `None` if there was none.
    pub mark: Option<Vec<u8>>,
}

/// Returns the changes that undo `block-user`: the user has the state of the last file since then, or else the one from before. Who was not
/// blocked stays as it is. Whom the directory file does not let in is refused with the remedy, and so is one whose state nobody noted. Call it
/// under the writer's lock. Blocks.
pub fn unblock_user(
    directory: &Generation,
    private_store: &PrivateStore,
    username: &str,
) -> Result<(Vec<Change>, UnblockedUser), ApiError> {
    let entry = directory.load_entry_by_index(&IndexKey::by_username(username))?;
    let user = match entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
        Some(Record::User(user)) => Some(user),
        _ => None,
    };
    let marks = Revocations::load(private_store)?.users;
    let is_named = |(id, mark): &(&Id, &BlockedUser)| match user {
        Some(user) => **id == user.id,
        None => mark.username.eq_ignore_ascii_case(username),
    };
    let mark = marks.iter().find(is_named);
    let (id, name) = match (user, mark) {
        (Some(user), _) => (user.id, user.username.clone()),
        (None, Some((id, mark))) => (*id, mark.username.clone()),
        (None, None) => return Err(ApiError::not_found("User")),
    };
    let (state, changes) = match (user, mark) {
        (Some(user), Some((_, mark))) => {
            let state = state_when_unblocked(user, mark)?;
            let unblocked = User { state, ..user.clone() };
            let put = Change::Put(Entry::from_record(Record::User(unblocked))?);
            (Some(state), if state == user.state { Vec::new() } else { vec![put] })
        }
        (Some(user), None) if is_shut_out(user.state) => {
            return Err(ApiError::conflict(format!(
                "User {name} was not blocked by block-user: the directory file says so. Change the user's `state` in it and apply it."
            )));
        }
        (user, None) => (user.map(|user| user.state), Vec::new()),
        (None, Some(_)) => (None, Vec::new()),
    };
    Ok((changes, UnblockedUser { id, username: name, state, mark: mark.map(|(id, _)| user_mark(*id)) }))
}

/// Returns the state of a user who is not held any longer; refuses with the remedy where the file does not let the user in, or where nobody
/// noted the state.
fn state_when_unblocked(user: &User, mark: &BlockedUser) -> Result<UserState, ApiError> {
    let name = &user.username;
    let by_file = |state: UserState| {
        ApiError::conflict(format!(
            "Nothing was changed: the directory file has user {name} as {}, so unblock-user would not let the user in. Change the user's \
             `state` in it, apply it, and then unblock the user.",
            state_text(state)
        ))
    };
    match (state_in_file(mark, user.state), mark.before) {
        (Some(state), _) if !lets_in(state) => Err(by_file(state)),
        (None, Some(state)) if is_shut_out(state) => Err(by_file(state)),
        (Some(state), _) | (None, Some(state)) if user.state == UserState::Blocked => Ok(state),
        (None, None) if user.state == UserState::Blocked => Err(ApiError::conflict(format!(
            "Nothing was changed: user {name} was blocked by an earlier version, which did not note the state from before. Apply the directory \
             file that has the user, and then unblock the user."
        ))),
        _ => Ok(user.state),
    }
}

/// Returns the state that the last file since the blocking has a user in, as far as the mark says. A mark of an earlier version says only
/// that the file shuts the user out, who then is as the file says.
fn state_in_file(mark: &BlockedUser, present: UserState) -> Option<UserState> {
    mark.in_file.or_else(|| mark.order.in_file_since.map(|_| present))
}

fn state_text(state: UserState) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(text)) => format!("`{text}`"),
        _ => "not active".to_owned(),
    }
}

/// What the marks say that no commit follows.
#[derive(Debug, Default)]
pub struct InterruptedRevocations {
    /// How many revocations are made by the changes.
    pub count: usize,
    /// The changes that make them.
    pub changes: Vec<Change>,
    /// Marks of what came back with a commit whose apply did not get to remove them.
    pub stale: Vec<MarkWrite>,
}

/// Finds the revocations whose marks were written and whose commits were not, and the marks of what came back with a commit that undid
/// them. Call it under the writer's lock, and before any commit: from then on the two cannot be told apart. Blocks.
pub fn find_interrupted(directory: &Generation, private_store: &PrivateStore) -> Result<InterruptedRevocations, ApiError> {
    let head = directory.head().map_or(0, |head| head.seq);
    let mut found = InterruptedRevocations::default();
    for (mark, after) in Revocations::load(private_store)?.after {
        let undone = changes_of_mark(directory, &mark)?;
        if undone.is_empty() {
            continue;
        }
        if after < head {
            found.stale.push((mark, None));
        } else {
            found.count += 1;
            found.changes.extend(undone);
        }
    }
    Ok(found)
}

/// Returns the changes that revoke what a mark stands for; none if the directory does not have it, or has it revoked.
fn changes_of_mark(directory: &Generation, mark: &[u8]) -> Result<Vec<Change>, ApiError> {
    let sort_key = match (parse_key_mark(mark), parse_user_mark(mark)) {
        (Some(fingerprint), _) => SortKey::key(&fingerprint),
        (None, Some(id)) => SortKey::user(id),
        (None, None) => return Ok(Vec::new()),
    };
    match directory.load_entry(&sort_key)?.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
        Some(Record::Key(key)) => key_changes(directory, key.id),
        Some(Record::User(user)) if !is_shut_out(user.state) => user_changes(user),
        _ => Ok(Vec::new()),
    }
}

/// Returns the write that notes since when files revoke as well.
pub fn write_of_key(revocations: &Revocations, fingerprint: &Fingerprint, mark: &RevokedKey) -> Result<MarkWrite, ApiError> {
    revocations.write_of(key_mark(fingerprint), mark)
}

/// As [`write_of_key`], for a user.
pub fn write_of_user(revocations: &Revocations, id: Id, mark: &BlockedUser) -> Result<MarkWrite, ApiError> {
    revocations.write_of(user_mark(id), mark)
}

/// Returns whether a file that has a user in this state revokes as `block-user` does.
#[must_use]
pub const fn is_shut_out(state: UserState) -> bool {
    matches!(state, UserState::Blocked | UserState::Banned)
}

/// Returns whether a user in this state may do anything at all; an `internal` one, if it is a bot.
#[must_use]
pub const fn lets_in(state: UserState) -> bool {
    matches!(state, UserState::Active | UserState::Internal)
}

/// Returns the key of a revoked key's mark in the private store.
#[must_use]
pub fn key_mark(fingerprint: &Fingerprint) -> Vec<u8> {
    [KEY_PREFIX, &fingerprint.0].concat()
}

/// Returns the key of a blocked user's mark in the private store.
#[must_use]
pub fn user_mark(id: Id) -> Vec<u8> {
    [USER_PREFIX, &id.bytes()].concat()
}

fn key_changes(directory: &Generation, id: Id) -> Result<Vec<Change>, ApiError> {
    let mut changes = Vec::new();
    for grant in directory.deploy_grants(id)? {
        let grant = Entry::from_record(Record::DeployGrant((*grant).clone()))?;
        changes.push(Change::Delete(RecordIdentity::from_entry(&grant)));
    }
    changes.push(Change::Delete(RecordIdentity::Key(id)));
    Ok(changes)
}

fn user_changes(user: &User) -> Result<Vec<Change>, ApiError> {
    if user.state == UserState::Blocked {
        return Ok(Vec::new());
    }
    let blocked = User { state: UserState::Blocked, ..user.clone() };
    Ok(vec![Change::Put(Entry::from_record(Record::User(blocked))?)])
}

fn parse_key_mark(mark: &[u8]) -> Option<Fingerprint> {
    mark.strip_prefix(KEY_PREFIX).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(Fingerprint)
}

fn parse_user_mark(mark: &[u8]) -> Option<Id> {
    let bytes = mark.strip_prefix(USER_PREFIX).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())?;
    Id::try_from(u64::from_be_bytes(bytes)).ok()
}

fn encode_mark(directory: &Generation, mark: impl Serialize) -> Result<Vec<u8>, ApiError> {
    let after = directory.head().map_or(0, |head| head.seq);
    Ok(serde_json::to_vec(&StoredMark { after, mark })?)
}

fn as_text<S: Serializer>(fingerprint: &Fingerprint, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(fingerprint)
}
