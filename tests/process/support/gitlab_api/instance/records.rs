//! Users and keys, the changes that a test makes to them, and the system hook that each change sends, if it sends one.
//!
//! Time is a counter of milliseconds that every change moves on, so that the order of changes is the order of `updated_at`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// 2026-01-01, in milliseconds since 1970.
const FIRST_MOMENT: i64 = 1_767_225_600_000;

#[derive(Clone, Debug)]
pub struct ApiUser {
    pub id: u64,
    pub username: String,
    pub name: String,
    /// `active`, `blocked`, `ldap_blocked`, `blocked_pending_approval`, `deactivated`, `banned`.
    pub state: String,
    pub admin: bool,
    pub external: bool,
    pub bot: bool,
    pub two_factor: bool,
    pub created_at: i64,
    /// What users can be sorted by, and what no JSON shows. A sign-in may change it, a key does not.
    pub updated_at: i64,
}

#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: u64,
    /// The owner; of a deploy key the one who created it, if that one is still there.
    pub user: Option<u64>,
    /// The projects that a deploy key is enabled in, and whether it may write there; `None` for the key of a user.
    pub deploy: Option<BTreeMap<u64, bool>>,
    pub title: String,
    /// `<type> <base64>`, without a comment.
    pub line: String,
    pub usage: String,
    pub created_at: i64,
    pub expires_at: Option<String>,
}

/// A system hook: the body of the request.
pub type Hook = Value;

/// All that an instance holds. A clone is a backup.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(super) users: BTreeMap<u64, ApiUser>,
    pub(super) keys: BTreeMap<u64, ApiKey>,
    pub(super) keys_of: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) keys_by_blob: HashMap<String, u64>,
    /// By SHA-256, in Base64 without padding.
    pub(super) keys_by_fingerprint: HashMap<String, u64>,
    pub(super) by_update: BTreeSet<(i64, u64)>,
    now: i64,
    last_user: u64,
    last_key: u64,
    /// Whether a deploy key sends hooks as well; they look like those of its creator's keys.
    pub deploy_keys_send_hooks: bool,
    /// Whether the keys of a user who is deleted send hooks of their own.
    pub deleted_users_keys_send_hooks: bool,
}

impl Instance {
    /// An instance with its first administrator, `root`, who has the id 1.
    pub fn new() -> Self {
        let mut instance = Self {
            users: BTreeMap::new(),
            keys: BTreeMap::new(),
            keys_of: BTreeMap::new(),
            keys_by_blob: HashMap::new(),
            keys_by_fingerprint: HashMap::new(),
            by_update: BTreeSet::new(),
            now: FIRST_MOMENT,
            last_user: 0,
            last_key: 0,
            deploy_keys_send_hooks: true,
            deleted_users_keys_send_hooks: false,
        };
        instance.add_user("root");
        instance.change_user(1, |user| user.admin = true);
        instance
    }

    pub fn user(&self, id: u64) -> Option<&ApiUser> {
        self.users.get(&id)
    }

    pub fn key(&self, id: u64) -> Option<&ApiKey> {
        self.keys.get(&id)
    }

    pub fn users(&self) -> impl Iterator<Item = &ApiUser> {
        self.users.values()
    }

    pub fn keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.keys.values()
    }

    pub fn key_by_blob(&self, blob: &str) -> Option<&ApiKey> {
        self.keys_by_blob.get(blob.trim_end_matches('=')).and_then(|id| self.keys.get(id))
    }

    /// Returns whether this key lets somebody in at sshd: every key but those for signing only, whoever is blocked and whatever has ended.
    pub fn is_login_key(&self, id: u64) -> bool {
        self.keys.get(&id).is_some_and(|key| key.usage != "signing")
    }

    /// Adds an active user. Returns the id and the hook.
    pub fn add_user(&mut self, username: &str) -> (u64, Hook) {
        let now = self.tick();
        self.last_user += 1;
        let id = self.last_user;
        let user = ApiUser {
            id,
            username: username.to_owned(),
            name: format!("Person {id}"),
            state: "active".to_owned(),
            admin: false,
            external: false,
            bot: false,
            two_factor: false,
            created_at: now,
            updated_at: now,
        };
        self.by_update.insert((now, id));
        let hook = user_hook("user_create", &user);
        self.users.insert(id, user);
        (id, hook)
    }

    /// Removes a user with all keys. Deploy keys that this one created stay, without a creator.
    pub fn delete_user(&mut self, id: u64) -> Vec<Hook> {
        self.tick();
        let Some(user) = self.users.remove(&id) else { return Vec::new() };
        self.by_update.remove(&(user.updated_at, id));
        let mut hooks = Vec::new();
        for key in self.keys_of.remove(&id).unwrap_or_default() {
            let hook = self.remove_key(key, Some(&user.username));
            if self.deleted_users_keys_send_hooks {
                hooks.extend(hook);
            }
        }
        for key in self.keys.values_mut().filter(|key| key.user == Some(id)) {
            key.user = None;
        }
        hooks.push(user_hook("user_destroy", &user));
        hooks
    }

    /// Changes the username.
    pub fn rename_user(&mut self, id: u64, username: &str) -> Hook {
        let former = self.users[&id].username.clone();
        self.change_user(id, |user| username.clone_into(&mut user.username));
        let mut hook = user_hook("user_rename", &self.users[&id]);
        hook["old_username"] = json!(former);
        hook
    }

    /// Changes the state. No hook tells of it.
    pub fn set_state(&mut self, id: u64, state: &str) {
        self.change_user(id, |user| state.clone_into(&mut user.state));
    }

    /// Somebody tries to sign in: whoever is blocked sends a hook, whoever is not is updated.
    pub fn sign_in(&mut self, id: u64) -> Option<Hook> {
        let user = &self.users[&id];
        if user.state == "active" {
            self.change_user(id, |_| {});
            return None;
        }
        let mut hook = user_hook("user_failed_login", user);
        hook["state"] = json!(user.state);
        Some(hook)
    }

    /// Changes anything else of a user. No hook tells of it.
    pub fn change_user(&mut self, id: u64, change: impl FnOnce(&mut ApiUser)) {
        let now = self.tick();
        let user = self.users.get_mut(&id).expect("a user to change");
        self.by_update.remove(&(user.updated_at, id));
        change(user);
        user.updated_at = now;
        self.by_update.insert((now, id));
    }

    /// Adds a key to a user; `line` is `<type> <base64>`. The user counts as unchanged. Returns the id and the hook. A key can be added once.
    pub fn add_key(&mut self, user: u64, line: &str) -> (u64, Hook) {
        let id = self.insert_key(Some(user), None, line);
        self.keys_of.entry(user).or_default().insert(id);
        (id, self.key_hook("key_create", &self.keys[&id]))
    }

    /// Adds a deploy key, created by a user, which may write to these projects or only read.
    pub fn add_deploy_key(&mut self, creator: u64, line: &str, projects: &[(u64, bool)]) -> (u64, Option<Hook>) {
        let id = self.insert_key(Some(creator), Some(projects.iter().copied().collect()), line);
        (id, self.deploy_keys_send_hooks.then(|| self.key_hook("key_create", &self.keys[&id])))
    }

    /// Changes anything of a key: when it ends, what it is for. No hook tells of it, and the user counts as unchanged.
    pub fn change_key(&mut self, id: u64, change: impl FnOnce(&mut ApiKey)) {
        self.tick();
        change(self.keys.get_mut(&id).expect("a key to change"));
    }

    /// Removes a key, also a deploy key.
    pub fn delete_key(&mut self, id: u64) -> Option<Hook> {
        self.tick();
        let key = self.keys.get(&id)?;
        let (is_silent, owner) = (key.deploy.is_some() && !self.deploy_keys_send_hooks, key.user);
        if let Some(keys) = owner.and_then(|owner| self.keys_of.get_mut(&owner)) {
            keys.remove(&id);
        }
        let username = owner.and_then(|owner| self.users.get(&owner)).map(|user| user.username.clone());
        self.remove_key(id, username.as_deref()).filter(|_| !is_silent)
    }

    fn remove_key(&mut self, id: u64, username: Option<&str>) -> Option<Hook> {
        let key = self.keys.remove(&id)?;
        self.keys_by_blob.remove(blob_of(&key.line));
        self.keys_by_fingerprint.remove(&fingerprint(&key.line));
        Some(key_hook("key_destroy", &key, username))
    }

    fn insert_key(&mut self, user: Option<u64>, deploy: Option<BTreeMap<u64, bool>>, line: &str) -> u64 {
        let now = self.tick();
        self.last_key += 1;
        let id = self.last_key;
        let other = self.keys_by_blob.insert(blob_of(line).to_owned(), id);
        assert_eq!(other, None, "GitLab takes a key once");
        self.keys_by_fingerprint.insert(fingerprint(line), id);
        let usage = "auth_and_signing".to_owned();
        let key = ApiKey { id, user, deploy, title: format!("key {id}"), line: line.to_owned(), usage, created_at: now, expires_at: None };
        self.keys.insert(id, key);
        id
    }

    fn key_hook(&self, event: &str, key: &ApiKey) -> Hook {
        let username = key.user.and_then(|user| self.users.get(&user)).map(|user| user.username.as_str());
        key_hook(event, key, username)
    }

    fn tick(&mut self) -> i64 {
        self.now += 1;
        self.now
    }
}

/// The Base64 of a key's blob, without padding.
pub fn blob_of(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or_default().trim_end_matches('=')
}

/// The SHA-256 of a key's blob, in Base64 without padding.
fn fingerprint(line: &str) -> String {
    let blob = STANDARD_NO_PAD.decode(blob_of(line)).unwrap();
    STANDARD_NO_PAD.encode(Sha256::digest(blob))
}

/// A moment as GitLab's API writes it.
pub fn written_moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).unwrap().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The fields of server.md 5 in their order; whoever has no user has no `username`.
fn key_hook(event: &str, key: &ApiKey, username: Option<&str>) -> Hook {
    let mut fields = Map::from_iter(hook_head(event, key.created_at));
    if let Some(username) = username {
        fields.insert("username".to_owned(), json!(username));
    }
    fields.insert("key".to_owned(), json!(format!("{} {}@example.com", key.line, username.unwrap_or("nobody"))));
    fields.insert("id".to_owned(), json!(key.id));
    Value::Object(fields)
}

fn user_hook(event: &str, user: &ApiUser) -> Hook {
    let mut fields = Map::from_iter(hook_head(event, user.updated_at));
    fields.insert("name".to_owned(), json!(user.name));
    fields.insert("email".to_owned(), json!(format!("{}@example.com", user.username)));
    fields.insert("user_id".to_owned(), json!(user.id));
    fields.insert("username".to_owned(), json!(user.username));
    Value::Object(fields)
}

fn hook_head(event: &str, moment: i64) -> [(String, Value); 3] {
    let moment = jiff::Timestamp::from_millisecond(moment).unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    [("event_name".to_owned(), json!(event)), ("created_at".to_owned(), json!(moment)), ("updated_at".to_owned(), json!(moment))]
}
