//! The outcome of deciding `allowed`: a grant with everything that the response states, or a denial with its reason.

use std::sync::Arc;

use crate::model::id::Id;
use crate::model::record::{Key, Project, Settings, Snippet, Storage, User};
use crate::model::repository_place::RepositoryPlace;

/// The actor that the claimed identity was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// No user and no key has the claimed identity.
    Unknown,
    /// A user, and the key if one was claimed.
    User(Arc<User>, Option<Arc<Key>>),
    /// A user's key whose user does not exist any more.
    OrphanedKey(Arc<Key>),
    /// A deploy key, and its creator, who is named in responses and has no part in the decision.
    DeployKey(Arc<Key>, Option<Arc<User>>),
}

impl Actor {
    /// Returns the user that responses name: for a deploy key its creator, who has no part in the decision.
    #[must_use]
    pub const fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::User(user, _) | Self::DeployKey(_, Some(user)) => Some(user),
            Self::Unknown | Self::OrphanedKey(_) | Self::DeployKey(_, None) => None,
        }
    }

    /// Returns the key that was used.
    #[must_use]
    pub const fn key(&self) -> Option<&Arc<Key>> {
        match self {
            Self::User(_, Some(key)) | Self::OrphanedKey(key) | Self::DeployKey(key, _) => Some(key),
            Self::Unknown | Self::User(_, None) => None,
        }
    }
}

/// The repository that a path or a `gl_repository` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// The repository of a project.
    Project(Arc<Project>),
    /// The wiki of a project.
    Wiki(Arc<Project>),
    /// The design repository of a project.
    Design(Arc<Project>),
    /// A snippet, and its project if it belongs to one.
    Snippet(Arc<Snippet>, Option<Arc<Project>>),
}

impl Repository {
    /// Returns the project that it belongs to; a personal snippet has none.
    #[must_use]
    pub const fn project(&self) -> Option<&Arc<Project>> {
        match self {
            Self::Project(project) | Self::Wiki(project) | Self::Design(project) | Self::Snippet(_, Some(project)) => Some(project),
            Self::Snippet(_, None) => None,
        }
    }

    /// Returns its `gl_repository`: `project-<id>`, `wiki-<id>`, `design-<id>`, `snippet-<id>`.
    #[must_use]
    pub fn gl_repository(&self) -> String {
        match self {
            Self::Project(project) => format!("project-{}", project.id),
            Self::Wiki(project) => format!("wiki-{}", project.id),
            Self::Design(project) => format!("design-{}", project.id),
            Self::Snippet(snippet, _) => format!("snippet-{}", snippet.id),
        }
    }

    /// Returns its full path without `.git`: `<project>`, `<project>.wiki`, `<project>.design`, `[<project>/]snippets/<id>`.
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

    /// Returns the name of its storage.
    #[must_use]
    pub fn storage(&self) -> &str {
        match self {
            Self::Project(project) | Self::Wiki(project) | Self::Design(project) => &project.storage,
            Self::Snippet(snippet, _) => &snippet.storage,
        }
    }

    /// Returns where the repositories of its record lie.
    #[must_use]
    pub fn place(&self) -> RepositoryPlace<'_> {
        match self {
            Self::Project(project) | Self::Wiki(project) | Self::Design(project) => RepositoryPlace::of_project(project),
            Self::Snippet(snippet, _) => RepositoryPlace::of_snippet(snippet),
        }
    }

    /// Returns its path on that storage. Wiki and designs are beside the repository of their project.
    #[must_use]
    pub fn relative_path(&self) -> String {
        match self {
            Self::Project(project) => project.relative_path.to_string(),
            Self::Wiki(project) => RepositoryPlace::of_project(project).side_path("wiki"),
            Self::Design(project) => RepositoryPlace::of_project(project).side_path("design"),
            Self::Snippet(snippet, _) => snippet.relative_path.to_string(),
        }
    }
}

/// How the repository was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Nothing was found.
    NotFound,
    /// By its current path, or by `gl_repository`.
    CurrentPath,
    /// By a path that the project had before.
    Redirect,
}

/// A grant, with what the response states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessGrant {
    /// Who is granted access.
    pub actor: Actor,
    /// The repository.
    pub repository: Repository,
    /// The Gitaly of the repository's storage; `None` if the directory does not name it.
    pub storage: Option<Arc<Storage>>,
    /// The settings at the time of the decision.
    pub settings: Arc<Settings>,
    /// The root namespace of the project.
    pub root_namespace: Option<Id>,
    /// Lines for the user's terminal.
    pub console_messages: Vec<String>,
}

/// A denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenied {
    /// The HTTP status: 400, 401, 404 or 422. (server.md 2.1)
    pub status: u16,
    /// A short stable reason for logs, metrics and `explain`, as `user_blocked`.
    pub reason: &'static str,
    /// The message that the user reads.
    pub message: String,
}

/// The decision about one request of `allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AccessDecision {
    /// Access is granted.
    Granted(Box<AccessGrant>),
    /// Access is denied.
    Denied(AccessDenied),
    /// The project does not exist and the actor may create it by this push, which only the primary can do. (server.md 3.6)
    CreatesProject(NewProject),
}

/// A project that a push would create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProject {
    /// The user who pushes.
    pub user: Arc<User>,
    /// The namespace of the new project.
    pub namespace_id: Id,
    /// The full path, without `.git`.
    pub path: String,
}

/// A decision, with what determines whether a sidecar may answer it or must ask the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEvaluation {
    /// The decision.
    pub decision: AccessDecision,
    /// The resolved actor.
    pub actor: Actor,
    /// How the repository was found.
    pub found_by: FoundBy,
}
