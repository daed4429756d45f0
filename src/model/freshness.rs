//! How current what is known is, and what may be said on the strength of it.
//!
//! The age of a class of answers is the time since its data was last proven current. At most `ttl`: fresh. At most
//! `max_stale`: stale, said only when the primary cannot be asked. Above, or never synced: expired.

use std::sync::Arc;
use std::time::Duration;

use crate::model::change::Head;
use crate::model::directory::Directory;
use crate::model::time::BootTime;

/// A class of answers with bounds of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreshnessClass {
    /// `authorized_keys`, `discover`.
    Keys,
    /// Pulls.
    Reads,
    /// The check before a push, which the primary repeats with the real changes.
    PushPrecheck,
}

/// The two bounds of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessLimits {
    /// Up to this age an answer is given without asking.
    pub ttl: Duration,
    /// Up to this age an answer is given while the primary fails.
    pub max_stale: Duration,
}

/// What the age of a class allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Freshness {
    /// Answer.
    Fresh,
    /// Ask; answer only if that fails.
    Stale,
    /// Do not answer.
    Expired,
}

impl FreshnessLimits {
    /// Judges an age; `None` is never synced.
    pub fn evaluate(self, age: Option<Duration>) -> Freshness {
        match age {
            Some(age) if age <= self.ttl => Freshness::Fresh,
            Some(age) if age <= self.max_stale => Freshness::Stale,
            _ => Freshness::Expired,
        }
    }
}

/// One generation of the directory as a follower holds it.
#[derive(Clone)]
pub struct DirectoryView {
    /// The records.
    pub directory: Arc<dyn Directory + Send + Sync>,
    /// Whether a scan has found count and digest equal to what was stored: only then may a *no* be said from it.
    pub verified: bool,
    /// Whether it holds records that are not understood: then access is not decided from it.
    pub has_unknown_records: bool,
}

/// What joins who answers with who follows.
pub trait DirectoryReplica: Send + Sync {
    /// The serving generation; `None` while the store opens, or when there is none.
    fn view(&self) -> Option<DirectoryView>;
    /// Waits for the store to be opened, at most `limit`; then as [`Following::view`].
    fn wait_until_open(&self, limit: Duration) -> std::pin::Pin<Box<dyn Future<Output = Option<DirectoryView>> + Send + '_>>;
    /// Time since the directory was last proven current; `None` if it never was.
    fn age(&self, now: BootTime) -> Option<Duration>;
    /// Whether the feed was caught up when contact was last lost (or is now).
    fn is_caught_up(&self) -> bool;
    /// Where the serving generation stands.
    fn head(&self) -> Option<Head>;
}
