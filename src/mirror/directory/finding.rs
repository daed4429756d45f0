//! What GitLab was found to have, and what was left of it when it was to be published.

use crate::mirror::directory::removals::RemovedKind;
use crate::mirror::directory::subject::Subject;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::loss_guard::Loss;
use crate::model::record::{Key, User};

/// One thing that is known of GitLab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It has this user.
    User(Box<User>),
    /// It has no such user: the user goes with all keys.
    NoUser(Id),
    /// It has this key.
    Key(Box<Key>),
    /// It has no such key: what is held under this id and fingerprint goes.
    NoKey {
        /// The key's id.
        id: Id,
        /// What it is.
        fingerprint: Fingerprint,
    },
}

impl Finding {
    /// Returns what the finding is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::User(user) => Subject::User(user.id),
            Self::NoUser(id) => Subject::User(*id),
            Self::Key(key) => Subject::Key(key.key.fingerprint()),
            Self::NoKey { fingerprint, .. } => Subject::Key(*fingerprint),
        }
    }
}

/// Who found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// GitLab has told it, and nothing was asked yet: a destroyed key.
    Told,
    /// A question that a hook gave rise to.
    Hook,
    /// A question about a key that hosts use.
    Verification,
    /// A short walk.
    RecentWalk,
    /// A full walk.
    FullWalk,
}

impl Source {
    /// Returns the name of the act in the log, and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Told => "hook-told",
            Self::Hook => "hook",
            Self::Verification => "verification",
            Self::RecentWalk => "short-walk",
            Self::FullWalk => "full-walk",
        }
    }

    /// Returns whether hooks should have told of what this source finds.
    #[must_use]
    pub const fn is_beside_hooks(self) -> bool {
        matches!(self, Self::Verification | Self::RecentWalk | Self::FullWalk)
    }
}

/// What became of some findings.
#[derive(Debug, Default)]
pub struct Published {
    /// How many records were added or changed, and how many removed.
    pub changes: usize,
    /// What was added, removed or renamed, of which GitLab sends hooks.
    pub hook_worthy: Vec<Subject>,
    /// Users who still have the name here that another user has at GitLab by now: they have to be asked for first.
    pub name_holders: Vec<Id>,
    /// Findings that came to nothing because something newer is known.
    pub outdated: usize,
    /// Keys of users who are not held.
    pub ownerless: usize,
    /// The removals that were held back, because they would be too many within a day.
    pub held_back: Vec<(RemovedKind, Loss)>,
}
