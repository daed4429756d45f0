//! The question of `allowed`, decoded: who asks, for which repository, to do what. (server.md 1.3, 1.4, 2.1)
//!
//! A question holds everything that may enter the decision, so its equality is the identity of an answer that is kept.

use crate::model::id::Id;

/// Who says they ask: the first of `key_id`, `user_id`, `username`, `identifier` that is present. There is no falling through to
/// the next: a key that is not known is nobody.
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

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `git-upload-pack`.
    UploadPack,
    /// `git-upload-archive`.
    UploadArchive,
    /// `git-receive-pack`.
    ReceivePack,
    /// Missing, or any other word.
    Unknown,
}

/// Over which protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `ssh`.
    Ssh,
    /// `http`.
    Http,
    /// `web`.
    Web,
    /// Any other word as it was sent, or an empty one.
    Other(String),
}

/// What is pushed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefChanges {
    /// `_any`: not known yet.
    Any,
    /// Absent or empty.
    Absent,
    /// Lines of `old new ref`, as they were sent.
    Listed(String),
}

/// A question of `allowed`.
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
    /// The first parameter that the rules do not read: then nobody but the primary decides.
    pub unsupported_param: Option<String>,
}

impl AllowedRequest {
    /// A question that says nothing more than this; what it is about is said by who asks it.
    #[must_use]
    pub const fn new(claimant: ClaimedActor, action: Action, protocol: Protocol, changes: RefChanges) -> Self {
        Self {
            claimed_actor: claimant,
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

/// What is to be done with large files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LfsOperation {
    /// `download`.
    Download,
    /// `upload`.
    Upload,
}

/// A question of `lfs_authenticate`. (server.md 2.2)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field is the contract's own term")]
pub struct LfsAuthenticateRequest {
    pub claimed_actor: ClaimedActor,
    pub gl_repository: Option<String>,
    pub project: Option<String>,
    pub operation: Option<LfsOperation>,
    /// The first parameter that the rules do not read: then nobody but the primary answers.
    pub unsupported_param: Option<String>,
}

impl LfsAuthenticateRequest {
    /// The same actor's question of `allowed` over SSH: whoever keeps a token asks it again before giving the token away.
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

/// What a server of large files shows to have a token judged. (server.md 4)
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
    /// Without the token.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { login, gl_repository, project, operation, token: _ } = self;
        write!(out, "LfsProof({login}, {gl_repository:?}, {project:?}, {operation:?})")
    }
}
