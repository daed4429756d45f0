//! What a journey may say from what the follower holds.
//!
//! A yes needs a view that has not expired. A no needs more: a scan must have found the store whole, and the feed must have been
//! caught up; otherwise what is missing here may be there at the primary.

use std::time::Duration;

use crate::model::freshness::{DirectoryView, Freshness};

/// A view of the directory, and what its age allows. Without a view nothing may be said.
pub(in crate::sidecar) struct CachedView {
    /// The serving generation, unless its class has expired.
    pub view: Option<DirectoryView>,
    /// How old it is.
    pub age: Age,
    /// What that means for the class that was asked of.
    pub freshness: Freshness,
    /// Whether the feed was caught up when contact was last lost, or is now.
    pub caught_up: bool,
}

/// The time since the directory was last proven current.
#[derive(Clone, Copy, Debug)]
pub(in crate::sidecar) struct Age(pub Option<Duration>);

impl Age {
    /// In whole seconds, for a header.
    pub fn whole_seconds(self) -> u64 {
        self.0.map_or(0, |age| age.as_secs())
    }
}

impl CachedView {
    /// Whether an answer may be given without asking.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// Whether a *no* may be said from this view at all, fresh or while the primary fails.
    pub fn may_deny(&self) -> bool {
        self.caught_up && self.view.as_ref().is_some_and(|view| view.verified)
    }

    /// The view, if access may be decided from it: nothing in it is beyond our understanding.
    pub fn view_for_authorization(&self) -> Option<&DirectoryView> {
        self.view.as_ref().filter(|view| !view.has_unknown_records)
    }
}
