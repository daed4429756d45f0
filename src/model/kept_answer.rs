//! An answer of the primary that a host keeps, so that it can give it again: under which question, what it says, whom and what it is
//! about, and when it was proven. And the trait of whoever puts it on disk.
//!
//! Only a yes is kept this way. It is about the actor who asked, and all of it can be removed by each of its subjects.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;
use crate::model::freshness::{FreshnessClass, ProofTime};
use crate::model::id::Id;
use crate::model::kept_body::KeptBody;
use crate::model::time::Time;

/// The SHA-256 over everything that enters a decision: two questions with one key have one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuestionKey(pub Digest);

/// The kinds of question whose answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptKind {
    /// `authorized_keys`.
    AuthorizedKeys,
    /// `authorized_certs`.
    AuthorizedCerts,
    /// `discover`.
    Discover,
    /// `allowed`, to fetch or to archive.
    Pull,
    /// `allowed`, before a push whose changes are not known yet.
    Push,
}

/// What an answer is about: it can be removed by each of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptSubject {
    /// A key, by its id.
    Key(Id),
    /// A user, by their id.
    User(Id),
    /// A user, by their name in lower case.
    Username(Box<str>),
    /// A project, by its id.
    Project(Id),
    /// A repository, by its full path in lower case.
    Path(Box<str>),
}

/// Who said what an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerOrigin {
    /// The primary.
    #[default]
    Primary,
    /// A file that an operator gave: it is never fresh, however young.
    File,
}

/// A yes of the primary, or what a file says it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The kind of question that it answers.
    pub kind: KeptKind,
    /// The body of its 200, which is JSON, to the byte as the primary wrote it.
    pub body: KeptBody,
    /// When the question was asked: the answer is not from before that.
    pub proven_at: ProofTime,
    /// Who said it.
    pub origin: AnswerOrigin,
    /// When the key that it is about expires.
    pub expires_at: Option<Time>,
    /// What it is about; never empty.
    pub subjects: Box<[KeptSubject]>,
}

impl KeptKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::AuthorizedKeys, Self::AuthorizedCerts, Self::Discover, Self::Pull, Self::Push];

    /// Its name in the status and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizedKeys => "authorized_keys",
            Self::AuthorizedCerts => "authorized_certs",
            Self::Discover => "discover",
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }

    /// The class whose bounds its age is judged by.
    #[must_use]
    pub const fn freshness_class(self) -> FreshnessClass {
        match self {
            Self::AuthorizedKeys | Self::AuthorizedCerts | Self::Discover => FreshnessClass::Keys,
            Self::Pull => FreshnessClass::Reads,
            Self::Push => FreshnessClass::PushPrecheck,
        }
    }

    /// Returns whether an answer is asked for again ahead of time where it is used. A push's is not: the question may create its project,
    /// which only somebody who pushes may make happen. (server.md 3.6)
    #[must_use]
    pub const fn is_refreshed(self) -> bool {
        !matches!(self, Self::Push) && !self.is_always_asked()
    }

    /// Returns whether the primary is asked also while the answer is fresh.
    #[must_use]
    pub const fn is_always_asked(self) -> bool {
        matches!(self, Self::AuthorizedCerts)
    }
}

impl KeptSubject {
    /// Returns each of some subjects once, in order.
    #[must_use]
    pub fn distinct(mut subjects: Vec<Self>) -> Vec<Self> {
        subjects.sort();
        subjects.dedup();
        subjects
    }

    /// Returns a user by their name, in its one spelling.
    #[must_use]
    pub fn username(name: &str) -> Self {
        Self::Username(name.to_lowercase().into())
    }

    /// Returns whether it is somebody who asks, and not what is asked for.
    #[must_use]
    pub const fn is_actor(&self) -> bool {
        matches!(self, Self::Key(_) | Self::User(_) | Self::Username(_))
    }
}

impl KeptAnswer {
    /// Returns the actor whose share of the places it takes: the user where one is known, so that many keys of one user are one actor; else
    /// the key, else the name.
    #[must_use]
    pub fn share_holder(&self) -> Option<&KeptSubject> {
        let rank = |subject: &&KeptSubject| match subject {
            KeptSubject::User(_) => 0,
            KeptSubject::Key(_) => 1,
            KeptSubject::Username(_) => 2,
            KeptSubject::Project(_) | KeptSubject::Path(_) => 3,
        };
        self.subjects.iter().filter(|subject| subject.is_actor()).min_by_key(rank)
    }

    /// Returns the key that it is about, if there is one.
    #[must_use]
    pub fn key_id(&self) -> Option<Id> {
        self.subjects.iter().find_map(|subject| if let KeptSubject::Key(id) = subject { Some(*id) } else { None })
    }

    /// Returns whether the key that it is about has expired at `now`.
    #[must_use]
    pub fn is_key_expired(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A future that any thread may wait for.
pub type FlushFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Puts kept answers on disk, in the order in which it is told, without making anybody wait.
pub trait KeptAnswerStore: Send + Sync {
    /// Notes that this is now the answer to a question.
    fn put(&self, key: QuestionKey, answer: Arc<KeptAnswer>);
    /// Notes that nothing is kept for these questions any more.
    fn remove(&self, keys: &[QuestionKey]);
    /// Returns whether something was removed that may still be on disk.
    fn has_unflushed_removals(&self) -> bool;
    /// Waits until everything that was noted before is on disk, or nothing of before is readable there any more.
    fn flush(&self) -> FlushFuture;
    /// Returns its state, for the operator.
    fn status(&self) -> KeptStoreStatus;
}

impl KeptStoreStatus {
    /// Sets that nothing is kept on disk, and why.
    pub fn set_in_memory_only(&mut self, reason: &str, now: Time) {
        self.state = format!("in memory only: {reason}");
        self.in_memory_since.get_or_insert(now);
    }

    /// Sets that answers are kept on disk.
    pub fn set_open(&mut self) {
        "open".clone_into(&mut self.state);
        self.in_memory_since = None;
    }
}

/// The state of a store of kept answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeptStoreStatus {
    /// `opening`, `open`, or why it keeps nothing on disk.
    pub state: String,
    /// Since when it keeps nothing on disk; `None` while it does, or is being opened.
    pub in_memory_since: Option<Time>,
    /// How many writes wait.
    pub pending: usize,
    /// For how long the oldest of them has waited, in milliseconds.
    pub lag_milliseconds: u64,
    /// How many answers were not written because too many writes waited.
    pub dropped: u64,
    /// How often the database was put aside because it was damaged.
    pub quarantined: u64,
    /// How often it was removed because it could not be written.
    pub discarded: u64,
    /// Its size on disk, in bytes.
    pub disk_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject};
    use crate::model::freshness::ProofTime;
    use crate::model::kept_body::KeptBody;
    use crate::model::time::BootTime;

    #[test]
    fn an_answer_takes_the_share_of_the_user_else_of_the_key_else_of_the_name() {
        let id = |number: u64| number.try_into().unwrap();
        let (key, user, name) = (KeptSubject::Key(id(1)), KeptSubject::User(id(2)), KeptSubject::Username("zoe".into()));
        let project = KeptSubject::Project(id(3));
        let holder = |subjects: &[&KeptSubject]| {
            let subjects = subjects.iter().map(|subject| (*subject).clone()).collect();
            let proven_at = ProofTime::at(BootTime::default());
            let answer = KeptAnswer {
                kind: KeptKind::Pull,
                body: KeptBody::new(b"{}").unwrap(),
                proven_at,
                origin: AnswerOrigin::Primary,
                expires_at: None,
                subjects,
            };
            answer.share_holder().cloned()
        };
        assert_eq!(holder(&[&project, &name, &key, &user]), Some(user));
        assert_eq!(holder(&[&project, &name, &key]), Some(key));
        assert_eq!(holder(&[&project, &name]), Some(name));
        assert_eq!(holder(&[&project]), None);
    }
}
