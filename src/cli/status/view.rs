//! The status of a sidecar as its JSON has it: the parts that the screen shows. What an older daemon does not send is absent.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::time::Time;

/// The whole status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SidecarView {
    pub now: Option<Time>,
    pub host: String,
    pub version: String,
    pub since: Option<Time>,
    pub freshness: Classes,
    pub primary: PrimaryView,
    pub alarms: Vec<AlarmView>,
    /// What is kept of a GitLab's answers; null where a primary's directory is followed.
    pub kept: Value,
    pub feed: Option<FeedView>,
    pub follower: FollowerView,
    pub sockets: SocketsView,
    pub memory_bytes: Option<u64>,
}

/// The classes of answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Classes {
    pub keys: ClassView,
    pub reads: ClassView,
    pub push_precheck: ClassView,
}

/// One class of answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClassView {
    pub state: String,
    pub verdict: ClassVerdict,
    pub verdict_since: Option<Time>,
    pub age_seconds: Option<f64>,
    pub ttl_seconds: u64,
    pub hedged_seconds: u64,
    pub max_stale_seconds: u64,
    pub hold_seconds: Option<u64>,
    pub expires_in_seconds: Option<u64>,
}

/// How current a class is, from the best to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassVerdict {
    Fresh,
    Stale,
    #[default]
    Expired,
}

/// The primary, or the GitLab.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrimaryView {
    pub url: String,
    pub state: PrimaryContact,
    pub last_answer_seconds: Option<f64>,
    pub failing_since: Option<Time>,
    pub failure: Option<String>,
    pub addresses: Vec<AddressView>,
    pub questions_under_way: u64,
    pub questions_waiting: u64,
    pub answers_hedged: u64,
    pub last_hedged: Option<Time>,
    pub late_denials: u64,
    pub denials_kept: u64,
    pub hedge_milliseconds: u64,
}

/// How the primary was found at the last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrimaryContact {
    Answers,
    Slow,
    #[default]
    NotAsked,
    Silent,
    Refuses,
    Fails,
}

impl PrimaryContact {
    /// Returns whether it fails this host, whatever the way.
    #[must_use]
    pub const fn is_outage(self) -> bool {
        matches!(self, Self::Silent | Self::Refuses | Self::Fails)
    }
}

/// One address of the primary.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AddressView {
    pub url: String,
    pub state: String,
    pub since: Option<Time>,
    pub failure: Option<String>,
    pub answers: u64,
    pub failures: u64,
}

/// An alarm that stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AlarmView {
    pub kind: String,
    pub since: Option<Time>,
    pub message: String,
    pub remedy: String,
}

/// The feed that is followed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FeedView {
    pub url: String,
    pub of: String,
    pub covers: Option<Vec<String>>,
    pub misses_per_second: u64,
    pub misses_asked: u64,
    pub misses_refused: u64,
    pub kept_answers_not_given: u64,
}

/// What is known of following.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FollowerView {
    pub connected_since: Option<Time>,
    pub lost_since: Option<Time>,
    pub cursor: Option<HeadView>,
    pub primary: Option<HeadView>,
    pub flushed: Option<HeadView>,
    pub lag: Option<u64>,
    pub digest_equal: Option<bool>,
    pub age_seconds: Option<f64>,
    pub proof: Option<String>,
    pub instance: Option<String>,
    pub max_stale_seconds: u64,
    pub confirmed_max_stale_seconds: u64,
    pub whole: bool,
    pub counts: BTreeMap<String, u64>,
    pub foreign: u64,
    pub invalid_records: Option<u64>,
    pub generation: Option<String>,
    pub store_bytes: u64,
    pub last_error: Option<ErrorView>,
    pub resyncing: Option<String>,
    pub resyncing_since: Option<Time>,
}

/// A commit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HeadView {
    pub seq: u64,
}

/// The last error of following.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorView {
    pub message: String,
}

/// The sockets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SocketsView {
    pub connections_open: u64,
    pub refused: BTreeMap<String, u64>,
    pub last_refused: Option<RefusalView>,
}

/// What was refused last.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RefusalView {
    pub at: Option<Time>,
    pub peer: String,
}

/// What this host answers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerSource {
    /// The directory of a primary.
    Directory,
    /// The users and keys of a mirror, and what it keeps of a GitLab's answers.
    MirrorAndKept,
    /// What it keeps of a GitLab's answers.
    Kept,
    /// Nothing of its own: a GitLab is asked for everything, and only compared.
    Shadow,
}

impl SidecarView {
    /// Returns what this host answers from.
    #[must_use]
    pub fn source(&self) -> AnswerSource {
        match (&self.feed, self.kept.is_object()) {
            _ if self.kept["shadow"].is_object() => AnswerSource::Shadow,
            (Some(_), true) => AnswerSource::MirrorAndKept,
            (_, true) => AnswerSource::Kept,
            _ => AnswerSource::Directory,
        }
    }

    /// Returns the daemon's wall clock when it was asked.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now.unwrap_or(Time::EPOCH)
    }

    /// Returns how the one that is asked is called.
    #[must_use]
    pub fn primary_name(&self) -> &'static str {
        if self.kept.is_object() { "GitLab" } else { "the primary" }
    }

    /// Returns since when the feed is not connected; `None` while it is, and where none is followed.
    #[must_use]
    pub fn not_following_since(&self) -> Option<Time> {
        let follows = self.feed.is_some() && self.follower.connected_since.is_none();
        follows.then(|| self.follower.lost_since.or(self.since).unwrap_or(self.now()))
    }
}
