//! What deciding `allowed` comes to: a grant with all that its answer says, or a refusal with its reason.

use std::sync::Arc;

use crate::model::id::Id;
use crate::model::record::{Key, Project, Settings, Snippet, Storage, User};

/// Who was found behind a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody is known by that claim.
    Unknown,
    /// A person, and the key if it was claimed by one.
    User(Arc<User>, Option<Arc<Key>>),
    /// A plain key whose user is gone.
    OrphanedKey(Arc<Key>),
    /// A deploy key; its creator is named in answers and enters no decision.
    DeployKey(Arc<Key>, Option<Arc<User>>),
}

impl Actor {
    /// The person whom answers name: a deploy key's is its creator, who enters no decision.
    #[must_use]
    pub const fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user, _) | Self::DeployKey(_, Some(user)) => Some(user),
            Self::Unknown | Self::OrphanedKey(_) | Self::DeployKey(_, None) => None,
        }
    }

    /// The key that was used.
    #[must_use]
    pub const fn key(&self) -> Option<&Arc<Key>> {
        match self {
            Self::User(_, Some(key)) | Self::OrphanedKey(key) | Self::DeployKey(key, _) => Some(key),
            Self::Unknown | Self::User(_, None) => None,
        }
    }
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

impl Repository {
    /// The project that it is of; a person's own snippet has none.
    #[must_use]
    pub const fn project(&self) -> Option<&Arc<Project>> {
        match self {
            Self::Project(project) | Self::Wiki(project) | Self::Design(project) | Self::Snippet(_, Some(project)) => Some(project),
            Self::Snippet(_, None) => None,
        }
    }

    /// Its word in `gl_repository`: `project-<id>`, `wiki-<id>`, `design-<id>`, `snippet-<id>`.
    #[must_use]
    pub fn gl_repository(&self) -> String {
        match self {
            Self::Project(project) => format!("project-{}", project.id),
            Self::Wiki(project) => format!("wiki-{}", project.id),
            Self::Design(project) => format!("design-{}", project.id),
            Self::Snippet(snippet, _) => format!("snippet-{}", snippet.id),
        }
    }

    /// Its full path without `.git`: `<project>`, `<project>.wiki`, `<project>.design`, `[<project>/]snippets/<id>`.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Project(project) => project.path.to_string(),
            Self::Wiki(project) => format!("{}.wiki", project.path),
            Self::Design(project) => format!("{}.design", project.path),
            Self::Snippet(snippet, Some(project)) => format!("{}/snippets/{}", project.path, snippet.id),
            Self::Snippet(snippet, None) => format!("snippets/{}", snippet.id),
        }
    }

    /// Which storage it is on.
    #[must_use]
    pub fn storage(&self) -> &str {
        match self {
            Self::Project(project) | Self::Wiki(project) | Self::Design(project) => &project.storage,
            Self::Snippet(snippet, _) => &snippet.storage,
        }
    }

    /// Where it is on that storage. Wiki and designs stand beside their project's code.
    #[must_use]
    pub fn relative_path(&self) -> String {
        let beside = |project: &Project, suffix: &str| {
            let stem = project.relative_path.strip_suffix(".git").unwrap_or(&project.relative_path);
            format!("{stem}{suffix}")
        };
        match self {
            Self::Project(project) => project.relative_path.to_string(),
            Self::Wiki(project) => beside(project, ".wiki.git"),
            Self::Design(project) => beside(project, ".design.git"),
            Self::Snippet(snippet, _) => snippet.relative_path.to_string(),
        }
    }
}

/// How the repository was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Nothing was found.
    NotFound,
    /// By its present path, or by `gl_repository`.
    CurrentPath,
    /// By a path that the project had before.
    Redirect,
}

/// A yes, with what its answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessGrant {
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
    pub console_messages: Vec<String>,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenied {
    /// 400, 401, 404 or 422. (server.md 2.1)
    pub status: u16,
    /// A short stable word for logs, metrics and `explain`, as `user_blocked`.
    pub reason: &'static str,
    /// The sentence that the person reads.
    pub message: String,
}

/// Yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AccessDecision {
    /// Yes.
    Granted(Box<AccessGrant>),
    /// No.
    Denied(AccessDenied),
    /// The project is not there and the actor may make it by this push: the primary's to do. (server.md 3.6)
    CreatesProject(NewProject),
}

/// A project that a push would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProject {
    /// Who pushes.
    pub user: Arc<User>,
    /// Into which namespace.
    pub namespace_id: Id,
    /// The full path, without `.git`.
    pub path: String,
}

/// A verdict, with what one must know to decide who may give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEvaluation {
    /// Yes or no.
    pub decision: AccessDecision,
    /// Who asks.
    pub actor: Actor,
    /// How the repository was found.
    pub found_by: FoundBy,
}
