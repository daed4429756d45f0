//! The requests whose answer is a decision about access, decoded: who wants to do what with which repository. (server.md 1.3, 1.4, 2.1)
//!
//! A request holds everything that may influence the decision, so it is also the key under which an answer is cached.

use crate::model::id::Id;

/// The identity that a request claims: the first of `key_id`, `user_id`, `username`, `identifier` that is present. If that one is
/// unknown, the next is not tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClaimedActor {
    /// `key_id`; `None` for a number that no record can have.
    Key(Option<Id>),
    /// `user_id`, or an `identifier` of `user-<n>`.
    User(Option<Id>),
    /// `username`, whatever its case.
    Username(String),
    /// An `identifier` of `key-<n>`: the key's user.
    KeyOwner(Option<Id>),
    /// No identity at all, or an `identifier` of another form.
    Unspecified,
}

/// What the Git client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `git-upload-pack`.
    UploadPack,
    /// `git-upload-archive`.
    UploadArchive,
    /// `git-receive-pack`.
    ReceivePack,
    /// The action is missing or has another value.
    Unknown,
}

/// The protocol of the Git client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `ssh`.
    Ssh,
    /// `http`.
    Http,
    /// `web`.
    Web,
    /// Any other value as it was sent, or an empty one.
    Other(String),
}

/// The ref changes of a push.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefChanges {
    /// `_any`: not known yet.
    Any,
    /// Absent or empty.
    Absent,
    /// Lines of `old new ref`, as they were sent.
    Listed(String),
}

/// A request of `allowed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field is the contract's own term")]
pub struct AllowedRequest {
    pub claimed_actor: ClaimedActor,
    pub gl_repository: Option<String>,
    pub project: Option<String>,
    pub action: Action,
    pub protocol: Protocol,
    pub changes: RefChanges,
    pub env: Option<String>,
    pub check_ip: Option<String>,
    pub namespace_path: Option<String>,
    pub relative_path: Option<String>,
    pub push_options: Vec<String>,
    /// The first parameter that the rules do not know: then only the primary decides.
    pub unsupported_param: Option<String>,
}

impl AllowedRequest {
    /// Returns a request without a repository and without any optional parameter.
    #[must_use]
    pub const fn new(claimed_actor: ClaimedActor, action: Action, protocol: Protocol, changes: RefChanges) -> Self {
        Self {
            claimed_actor,
            gl_repository: None,
            project: None,
            action,
            protocol,
            changes,
            env: None,
            check_ip: None,
            namespace_path: None,
            relative_path: None,
            push_options: Vec::new(),
            unsupported_param: None,
        }
    }
}

/// What the client wants to do with LFS objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LfsOperation {
    /// `download`.
    Download,
    /// `upload`.
    Upload,
}

/// A request of `lfs_authenticate`. (server.md 2.2)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field is the contract's own term")]
pub struct LfsAuthenticateRequest {
    pub claimed_actor: ClaimedActor,
    pub gl_repository: Option<String>,
    pub project: Option<String>,
    pub operation: Option<LfsOperation>,
    /// The first parameter that the rules do not know: then only the primary answers.
    pub unsupported_param: Option<String>,
}

impl LfsAuthenticateRequest {
    /// Returns the request of `allowed` over SSH of the same actor: it is decided again before a cached token is given out.
    #[must_use]
    pub fn to_allowed_request(&self) -> AllowedRequest {
        let action = if self.operation == Some(LfsOperation::Upload) { Action::ReceivePack } else { Action::UploadPack };
        AllowedRequest {
            gl_repository: self.gl_repository.clone(),
            project: self.project.clone(),
            unsupported_param: self.unsupported_param.clone(),
            ..AllowedRequest::new(self.claimed_actor.clone(), action, Protocol::Ssh, RefChanges::Absent)
        }
    }
}

/// A request of an LFS server to verify a token. (server.md 4)
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the contract's own term")]
pub struct LfsVerifyRequest {
    pub login: String,
    pub token: String,
    pub gl_repository: Option<String>,
    pub project: Option<String>,
    pub operation: Option<LfsOperation>,
}

impl std::fmt::Debug for LfsVerifyRequest {
    /// Writes everything except the token.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { login, gl_repository, project, operation, token: _ } = self;
        write!(out, "LfsVerifyRequest({login}, {gl_repository:?}, {project:?}, {operation:?})")
    }
}
