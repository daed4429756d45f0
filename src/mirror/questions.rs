//! Asks GitLab for the parts of the mirror, and learns from every answer how GitLab does: its alarms, and when it was last heard.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::api::error::ApiError;
use crate::mirror::alarms::{AlarmReason, Alarms};
use crate::mirror::config::DAEMON;
use crate::mirror::gitlab::answer::{Answer, Asked};
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::clock::Clock;
use crate::mirror::gitlab::page::{Page, PageCursor};
use crate::mirror::gitlab::transport::Api;
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::proof::GitlabProof;
use crate::mirror::skipped::SkippedRecords;
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::record::{Settings, User};
use crate::model::time::BootTime;
use crate::wire::gitlab::key::FoundKey;
use crate::wire::gitlab::object::Skipped;

/// So many failures of one API in a row are an alarm; a single one is not.
const FAILURES_FOR_ALARM: u32 = 2;

/// GitLab did not say yes or no: ask again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(pub String);

impl From<ApiError> for Unanswered {
    /// Returns that what GitLab said could not be published, or stored.
    fn from(error: ApiError) -> Self {
        Self(error.with_store_of(DAEMON).message)
    }
}

/// An answer: what was found, or that there is no such thing; and when the question was sent.
pub type Answered<T> = Result<(Option<T>, BootTime), Unanswered>;

/// Asks GitLab.
pub struct Questions {
    client: Arc<GitlabClient>,
    clock: Arc<dyn Clock>,
    alarms: Arc<Alarms>,
    proof: Arc<GitlabProof>,
    skipped: Arc<SkippedRecords>,
    failures: [AtomicU32; 2],
    /// Whether something that is known could not be published: then nothing later is proven.
    has_unpublished: AtomicBool,
    counts: [AtomicU64; 2],
    last_failure: Mutex<Option<String>>,
}

impl Questions {
    /// Returns what asks through this client.
    #[must_use]
    pub fn new(
        client: Arc<GitlabClient>,
        clock: Arc<dyn Clock>,
        alarms: Arc<Alarms>,
        proof: Arc<GitlabProof>,
        skipped: Arc<SkippedRecords>,
    ) -> Self {
        Self {
            client,
            clock,
            alarms,
            proof,
            skipped,
            failures: Default::default(),
            has_unpublished: AtomicBool::new(false),
            counts: Default::default(),
            last_failure: Mutex::default(),
        }
    }

    /// Asks for a page of users.
    pub async fn users(&self, page: &PageCursor) -> Answered<Page<Result<User, Skipped>>> {
        let asked = self.client.users(Priority::Walk, page).await;
        self.observe(Api::Rest, asked)
    }

    /// Returns what the first page of all users showed of GitLab's own settings.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        self.client.settings()
    }

    /// Asks for a user.
    pub async fn user(&self, priority: Priority, id: Id) -> Answered<Result<User, Skipped>> {
        let asked = self.client.user(priority, id).await;
        self.observe(Api::Rest, asked)
    }

    /// Asks for all keys of a user; `None` if there is no such user.
    pub async fn user_keys(&self, priority: Priority, id: Id) -> Answered<Vec<FoundKey>> {
        let asked = self.client.user_keys(priority, id).await;
        self.observe(Api::Rest, asked)
    }

    /// Asks for a page of the deploy keys of the instance.
    pub async fn deploy_keys(&self, page: &PageCursor) -> Answered<Page<FoundKey>> {
        let asked = self.client.deploy_keys(Priority::Walk, page).await;
        self.observe(Api::Rest, asked)
    }

    /// Asks for a key and its owner.
    pub async fn key(&self, priority: Priority, fingerprint: Fingerprint) -> Answered<FoundKey> {
        let asked = self.client.key_by_fingerprint(priority, fingerprint).await;
        self.observe(Api::Rest, asked)
    }

    /// Asks the internal API for the id of a key that lets somebody in.
    pub async fn login_key(&self, priority: Priority, key: &PublicKey) -> Answered<Id> {
        let asked = self.client.authorized_keys(priority, key).await;
        self.observe(Api::Internal, asked)
    }

    /// Asks something that changes nothing, so that GitLab is heard.
    pub async fn probe(&self) {
        let asked = self.client.probe_internal(Priority::Walk).await;
        if let Ok((_, asked_at)) = self.observe(Api::Internal, asked) {
            self.prove(asked_at);
        }
    }

    /// Returns how many questions were asked since the start, by API.
    #[must_use]
    pub fn counts(&self) -> Value {
        let count = |api: Api| self.counts[api as usize].load(Ordering::Relaxed);
        json!({"public": count(Api::Rest), "internal": count(Api::Internal)})
    }

    /// Notes an object that no record can express.
    pub fn note_skipped(&self, skipped: &Skipped) {
        self.skipped.note(skipped);
    }

    /// Notes that what followed from an answer is published: the directory is proven for the moment at which it was asked.
    pub fn prove(&self, asked_at: BootTime) {
        if !self.has_unpublished.load(Ordering::Relaxed) {
            self.proof.answered(asked_at);
        }
    }

    /// Notes whether the store refused something that is known of GitLab. Until it takes a change again, no answer proves anything.
    pub fn note_unpublished(&self, refused: bool) {
        self.has_unpublished.store(refused, Ordering::Relaxed);
    }

    /// Returns the clock that the questions go by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns why the last question failed, if no answer came since.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn observe<T>(&self, api: Api, asked: Asked<T>) -> Answered<T> {
        let Asked { asked_at, answer } = asked;
        self.counts[api as usize].fetch_add(1, Ordering::Relaxed);
        let reason = match answer {
            Answer::Found(value) => {
                self.note_good(api, asked_at);
                return Ok((Some(value), asked_at));
            }
            Answer::NotFound => {
                self.note_good(api, asked_at);
                return Ok((None, asked_at));
            }
            Answer::Unauthorized(reason) => {
                self.alarms.raise(refused_alarm(api), refused_message(api, &reason), self.clock.wall_time());
                reason
            }
            Answer::Limited(_) => return Err(Unanswered("GitLab was asked too often (429)".to_owned())),
            Answer::Failed(reason) => {
                if self.failures[api as usize].fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_FOR_ALARM {
                    self.alarms.raise(unusable_alarm(api), unusable_message(api, &reason), self.clock.wall_time());
                }
                reason
            }
        };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
        Err(Unanswered(reason))
    }

    fn note_good(&self, api: Api, asked_at: BootTime) {
        if api == Api::Internal {
            self.proof.internal_answered(asked_at);
        }
        self.failures[api as usize].store(0, Ordering::Relaxed);
        self.alarms.clear(refused_alarm(api));
        self.alarms.clear(unusable_alarm(api));
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

const fn refused_alarm(api: Api) -> AlarmReason {
    match api {
        Api::Rest => AlarmReason::TokenRefused,
        Api::Internal => AlarmReason::SecretRefused,
    }
}

const fn unusable_alarm(api: Api) -> AlarmReason {
    match api {
        Api::Rest => AlarmReason::PublicApiUnusable,
        Api::Internal => AlarmReason::InternalApiUnusable,
    }
}

fn refused_message(api: Api, reason: &str) -> String {
    match api {
        Api::Rest => format!(
            "GitLab refuses the token of gitlab.token_file ({reason}): nothing is walked or removed until it is the token of an administrator \
             with the scope read_api"
        ),
        Api::Internal => format!(
            "GitLab refuses the shell secret ({reason}): no key is verified or removed until gitlab.shell_secret_file is the secret of its \
             gitlab-shell"
        ),
    }
}

fn unusable_message(api: Api, reason: &str) -> String {
    let what = match api {
        Api::Rest => "public",
        Api::Internal => "internal",
    };
    format!("GitLab's {what} API gives no answer that can be used ({reason}): the directory is served as it is, and nothing is removed")
}
