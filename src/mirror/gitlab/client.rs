//! The questions that a mirror asks GitLab, one method for each. Each takes a turn of the pacer, is sent once, and is answered with what
//! the answer is worth and when it was asked; whoever asks decides whether to ask again. (server.md 2.3, 5b)

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::mirror::gitlab::answer::{Answer, Asked, judge};
use crate::mirror::gitlab::clock::Clock;
use crate::mirror::gitlab::pacer::Pacer;
use crate::mirror::gitlab::page::{Page, PageCursor, PageKind};
use crate::mirror::gitlab::transport::{Api, GitlabRequest, GitlabResponse, Transport};
use crate::mirror::gitlab::turns::Priority;
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::record::{Settings, User};
use crate::wire::authorized_keys::AuthorizedKey;
use crate::wire::gitlab::deploy_key::parse_deploy_keys;
use crate::wire::gitlab::key::{FoundKey, KeyById, parse_key_by_fingerprint, parse_key_by_id, parse_user_keys};
use crate::wire::gitlab::object::{MalformedAnswer, Skipped};
use crate::wire::gitlab::settings::parse_settings;
use crate::wire::gitlab::user::{parse_user, parse_users, shows_admin_fields};
use crate::wire::http::params::encode_form;

const USER_NOT_FOUND: &str = "404 User Not Found";
const KEY_NOT_FOUND: &str = "404 Key Not Found";
/// What GitLab says where an id is looked up without a check of its own.
const RECORD_NOT_FOUND: &str = "404 Not found";
/// A key of ours that no GitLab has: asking for it shows that the internal API answers.
const PROBE_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3v4pPzl/RH2u+y+zqItjOIbc/jXK3woxeuQWri1GnW";
/// The most pages of keys that are read of one user.
const MAX_KEY_PAGES: usize = 100;
const REASON_NOT_ADMIN: &str = "GitLab gives the users as it does to a token that is not an administrator's, in another order or with less of each; it has to be one's, with \
     the scopes read_api and, where admin mode is on, admin_mode";
const REASON_NO_USERS: &str = "the first page of users is empty, and no GitLab is without its administrator";

/// Asks one GitLab.
#[derive(Clone)]
pub struct GitlabClient {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    pacer: Arc<Pacer>,
    /// Whether users were shown as an administrator is shown them.
    was_administrator: Arc<AtomicBool>,
    /// What the first page of all users showed of GitLab's own settings.
    settings: Arc<Mutex<Option<Settings>>>,
}

impl GitlabClient {
    /// Returns a client that asks over `transport`, in its turn at `pacer`.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, pacer: Arc<Pacer>) -> Self {
        Self { transport, clock, pacer, was_administrator: Arc::default(), settings: Arc::default() }
    }

    /// Returns what paces the questions.
    #[must_use]
    pub const fn pacer(&self) -> &Arc<Pacer> {
        &self.pacer
    }

    /// Returns what the first page of all users showed of GitLab's own settings when it was asked for last; `None` if it did not.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a page of users, in whatever state they are. An empty first page is a failure, and a page that is not in the order of ids
    /// although it should be is that of a token which is not an administrator's, perhaps since the page before: GitLab drops the order in
    /// silence. So is one without the fields that were shown before. (server.md 5b)
    pub async fn users(&self, priority: Priority, page: &PageCursor) -> Asked<Page<Result<User, Skipped>>> {
        let is_administrator_no_more = AtomicBool::new(false);
        let parse = |body: &[u8]| {
            let users = parse_users(body)?;
            let shows_all = shows_admin_fields(body);
            let before = self.was_administrator.fetch_or(shows_all, Ordering::Relaxed);
            is_administrator_no_more.store(before && !shows_all && !users.is_empty(), Ordering::Relaxed);
            if page.is_by_id() && page.kind() == PageKind::First {
                *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = parse_settings(body);
            }
            Ok(users)
        };
        let asked = self.list(priority, page, parse).await;
        let is_out_of_order =
            |found: &Page<Result<User, Skipped>>| page.is_by_id() && !found.items.iter().flatten().map(|user| user.id).is_sorted();
        match asked.answer {
            Answer::Found(found) if is_administrator_no_more.load(Ordering::Relaxed) || is_out_of_order(&found) => {
                Asked { asked_at: asked.asked_at, answer: Answer::Unauthorized(REASON_NOT_ADMIN.to_owned()) }
            }
            answer => Asked { asked_at: asked.asked_at, answer },
        }
    }

    /// Asks for a page of the instance's deploy keys.
    pub async fn deploy_keys(&self, priority: Priority, page: &PageCursor) -> Asked<Page<FoundKey>> {
        self.list(priority, page, parse_deploy_keys).await
    }

    /// Asks for a user.
    pub async fn user(&self, priority: Priority, id: Id) -> Asked<Result<User, Skipped>> {
        let read = |response: &GitlabResponse| match read_body(response, &[USER_NOT_FOUND], parse_user) {
            Answer::Found(Ok(user)) if user.id != id => Answer::Failed("the answer speaks of another user".to_owned()),
            answer => answer,
        };
        self.ask(priority, Api::Rest, format!("/api/v4/users/{id}"), read).await
    }

    /// Asks for all keys of a user, page after page, each in its turn. Either all come or none.
    pub async fn user_keys(&self, priority: Priority, user: Id) -> Asked<Vec<FoundKey>> {
        let mut page = PageCursor::user_keys(user);
        let (mut keys, mut asked_at) = (Vec::new(), None);
        for _ in 0..MAX_KEY_PAGES {
            let asked = self.list(priority, &page, |body| parse_user_keys(body, user)).await;
            let asked_at = *asked_at.get_or_insert(asked.asked_at);
            let found = match asked.answer {
                Answer::Found(found) => found,
                other => return Asked { asked_at, answer: other.and_then(|_| Answer::Found(Vec::new())) },
            };
            keys.extend(found.items);
            match found.next {
                Some(next) => page = next,
                None => return Asked { asked_at, answer: Answer::Found(keys) },
            }
        }
        let asked_at = asked_at.unwrap_or_else(|| self.clock.boot_time());
        Asked { asked_at, answer: Answer::Failed(format!("the keys of user {user} do not end after {MAX_KEY_PAGES} pages")) }
    }

    /// Asks for a key by its id. The answer does not tell whether it is a deploy key.
    pub async fn key_by_id(&self, priority: Priority, id: Id) -> Asked<Result<KeyById, Skipped>> {
        let read = |response: &GitlabResponse| match read_body(response, &[KEY_NOT_FOUND, RECORD_NOT_FOUND], parse_key_by_id) {
            Answer::Found(Ok(key)) if key.id != id => Answer::Failed("the answer speaks of another key".to_owned()),
            answer => answer,
        };
        self.ask(priority, Api::Rest, format!("/api/v4/keys/{id}"), read).await
    }

    /// Asks for a key by its fingerprint. The answer tells whether it is a deploy key.
    pub async fn key_by_fingerprint(&self, priority: Priority, fingerprint: Fingerprint) -> Asked<FoundKey> {
        let target = format!("/api/v4/keys?{}", encode_form([("fingerprint", fingerprint.to_string().as_str())]));
        let parse = |body: &[u8]| parse_key_by_fingerprint(body, fingerprint);
        self.ask(priority, Api::Rest, target, |response| read_body(response, &[KEY_NOT_FOUND], parse)).await
    }

    /// Asks the internal API whether a key lets anybody in, and under which id. Blocked owners and ended keys do not matter to it, a key
    /// for signing only does: it is not found. Only an answer about this very key is a yes.
    pub async fn authorized_keys(&self, priority: Priority, key: &PublicKey) -> Asked<Id> {
        let target = format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", key.base64().as_str())]));
        let read = |response: &GitlabResponse| {
            judge(response, &[KEY_NOT_FOUND]).and_then(|()| match AuthorizedKey::parse(&response.body, key.blob()) {
                Ok(found) => Answer::Found(found.id),
                Err(error) => Answer::Failed(error.to_string()),
            })
        };
        self.ask(priority, Api::Internal, target, read).await
    }

    /// Asks the internal API for a key that no GitLab has: a no shows that it answers and takes the shell secret.
    pub async fn probe_internal(&self, priority: Priority) -> Asked<Id> {
        match PROBE_KEY.parse() {
            Ok(key) => self.authorized_keys(priority, &key).await,
            Err(error) => Asked { asked_at: self.clock.boot_time(), answer: Answer::Failed(format!("the key to probe with: {error}")) },
        }
    }

    async fn list<T>(
        &self,
        priority: Priority,
        page: &PageCursor,
        parse: impl FnOnce(&[u8]) -> Result<Vec<T>, MalformedAnswer>,
    ) -> Asked<Page<T>> {
        let read = |response: &GitlabResponse| {
            read_body(response, &[USER_NOT_FOUND], parse).and_then(|items| {
                if items.is_empty() && page.is_never_empty() {
                    return Answer::Failed(REASON_NO_USERS.to_owned());
                }
                match page.after(items.len(), &response.headers, self.transport.relative_root()) {
                    Ok(next) => Answer::Found(Page { items, next }),
                    Err(reason) => Answer::Failed(reason),
                }
            })
        };
        self.ask(priority, Api::Rest, page.to_string(), read).await
    }

    /// Waits for a turn, asks once, and lets the pacer know what came of it.
    async fn ask<T>(&self, priority: Priority, api: Api, target: String, read: impl FnOnce(&GitlabResponse) -> Answer<T>) -> Asked<T> {
        let asked_at = self.pacer.turn(priority, api).await;
        let answer = match self.transport.send(GitlabRequest { api, target }, self.clock.wall_time()).await {
            Ok(response) => name_credential(read(&response), api),
            Err(reason) => Answer::Failed(reason),
        };
        self.pacer.record(api, asked_at, &answer);
        Asked { asked_at, answer }
    }
}

/// Judges a response and reads the body of a 200.
fn read_body<T>(response: &GitlabResponse, not_found: &[&str], parse: impl FnOnce(&[u8]) -> Result<T, MalformedAnswer>) -> Answer<T> {
    judge(response, not_found).and_then(|()| match parse(&response.body) {
        Ok(value) => Answer::Found(value),
        Err(error) => Answer::Failed(format!("status 200, but {error}")),
    })
}

/// Adds to a refusal which credential is refused.
fn name_credential<T>(answer: Answer<T>, api: Api) -> Answer<T> {
    match (answer, api) {
        (Answer::Unauthorized(reason), Api::Internal) => Answer::Unauthorized(format!("{reason}; is the shell secret the one of GitLab?")),
        (Answer::Unauthorized(reason), Api::Rest) => {
            Answer::Unauthorized(format!("{reason}; is the token an administrator's, with the scope read_api, and not expired or revoked?"))
        }
        (answer, _) => answer,
    }
}
