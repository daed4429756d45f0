//! What deciding `allowed` comes to: a grant with all that its answer says, or a refusal with its reason.

use std::sync::Arc;

use crate::model::id::Id;
use crate::model::record::{Key, Project, Settings, Snippet, Storage, User};

/// Who was found behind a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody is known by that claim.
    Nobody,
    /// A person, and the key if it was claimed by one.
    User(Arc<User>, Option<Arc<Key>>),
    /// A plain key whose user is gone.
    Orphan(Arc<Key>),
    /// A deploy key; its creator is named in answers and enters no decision.
    DeployKey(Arc<Key>, Option<Arc<User>>),
}

/// What was found at a path or a `gl_repository`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// A project's code.
    Project(Arc<Project>),
    /// A project's wiki.
    Wiki(Arc<Project>),
    /// A project's designs.
    Design(Arc<Project>),
    /// A snippet, with its project if it is a project's.
    Snippet(Arc<Snippet>, Option<Arc<Project>>),
}

/// How the repository was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Nothing was found.
    Nothing,
    /// By its present path, or by `gl_repository`.
    Itself,
    /// By a path that the project had before.
    Redirect,
}

/// A yes, with what its answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub actor: Actor,
    /// To what.
    pub repository: Repository,
    /// Where its Gitaly is; `None` if the directory does not say.
    pub storage: Option<Arc<Storage>>,
    /// The settings it was decided under.
    pub settings: Arc<Settings>,
    /// The root of the project's namespace.
    pub root_namespace: Option<Id>,
    /// Lines for the person's terminal.
    pub console: Vec<String>,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 401, 404 or 422. (server.md 2.1)
    pub status: u16,
    /// A short stable word for logs, metrics and `explain`, as `user_blocked`.
    pub reason: &'static str,
    /// The sentence that the person reads.
    pub text: String,
}

/// Yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Yes.
    Granted(Box<Grant>),
    /// No.
    Refused(Refusal),
    /// The project is not there and the actor may make it by this push: the primary's to do. (server.md 3.6)
    Creates(Creation),
}

/// A project that a push would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Who pushes.
    pub user: Arc<User>,
    /// Into which namespace.
    pub namespace_id: Id,
    /// The full path, without `.git`.
    pub path: String,
}

/// A verdict, with what one must know to decide who may give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Yes or no.
    pub verdict: Verdict,
    /// Who asks.
    pub actor: Actor,
    /// How the repository was found.
    pub found: FoundBy,
}
