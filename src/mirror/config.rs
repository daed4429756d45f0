//! The options of a mirror, as values.

use std::sync::Arc;
use std::time::Duration;

use crate::mirror::gitlab::client::GitlabClient;
use crate::primary::config::PrimaryOptions;
use crate::wire::auth::secret::Secret;

/// What the daemon is called in messages.
pub const DAEMON: &str = "mirror";

/// The kinds of records that a mirror publishes.
pub const COVERED_KINDS: &[&str] = &["settings", "user", "key"];

/// The options of [`crate::mirror::state::MirrorState::open`].
pub struct MirrorOptions {
    /// The store, the feed and the operator's socket, as a primary has them. How it is published is set by the mirror.
    pub publisher: PrimaryOptions,
    /// What asks GitLab.
    pub gitlab: Arc<GitlabClient>,
    /// The URL of the GitLab, for people.
    pub gitlab_url: String,
    /// The token of its hooks; without it none are taken.
    pub hook_token: Option<Secret>,
    /// How often GitLab is walked, and keys are verified.
    pub intervals: WalkIntervals,
}

/// How often GitLab is walked, and keys are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkIntervals {
    /// All users and keys.
    pub full: Duration,
    /// The users that changed last.
    pub recent: Duration,
    /// A key that hosts use.
    pub verify_every: Duration,
}
