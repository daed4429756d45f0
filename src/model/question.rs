//! The question of `allowed`, decoded: who asks, for which repository, to do what. (server.md 1.3, 1.4, 2.1)
//!
//! A question holds everything that may enter the decision, so its equality is the identity of an answer that is kept.

use crate::model::id::Id;

/// Who says they ask: the first of `key_id`, `user_id`, `username`, `identifier` that is present. There is no falling through to
/// the next: a key that is not known is nobody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claimant {
    /// `key_id`; `None` for a number that no record can have.
    Key(Option<Id>),
    /// `user_id`, or an `identifier` of `user-<n>`.
    User(Option<Id>),
    /// `username`, whatever its case.
    Username(String),
    /// An `identifier` of `key-<n>`: the key's user.
    KeysUser(Option<Id>),
    /// No identity at all, or an `identifier` of another form.
    Nobody,
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
pub enum Changes {
    /// `_any`: not known yet.
    Any,
    /// Absent or empty.
    Absent,
    /// Lines of `old new ref`, as they were sent.
    Real(String),
}

/// A question of `allowed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each field is the contract's own term")]
pub struct Question {
    pub claimant: Claimant,
    pub gl_repository: Option<String>,
    pub project: Option<String>,
    pub action: Action,
    pub protocol: Protocol,
    pub changes: Changes,
    pub env: Option<String>,
    pub check_ip: Option<String>,
    pub namespace_path: Option<String>,
    pub relative_path: Option<String>,
    pub push_options: Vec<String>,
    /// The first parameter that the rules do not read: then nobody but the primary decides.
    pub unread: Option<String>,
}
