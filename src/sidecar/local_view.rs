//! What may be answered from the local directory.
//!
//! A yes needs a view that has not expired. A no needs more: a scan must have found the store whole, and the feed must have been
//! caught up; otherwise what is missing here may be there at the primary.

use std::time::Duration;

use crate::model::freshness::{DirectoryView, Freshness, ProofTime};

/// A view of the directory, and what its age allows. Without a view nothing may be answered.
pub struct LocalView {
    /// The serving generation, unless its class has expired.
    pub view: Option<DirectoryView>,
    /// The time since the directory was last proven current; `None` if it never was.
    pub age: Option<Duration>,
    /// When it was last proven current by an exchange; `None` if it never was.
    pub exchange_proven_at: Option<ProofTime>,
    /// The time since then.
    pub exchange_age: Option<Duration>,
    /// What that age means for the class of answers.
    pub freshness: Freshness,
    /// Whether the feed was caught up when contact was last lost, or is now.
    pub caught_up: bool,
    /// How often the primary's epoch has changed since the start.
    pub epoch_changes: u64,
}

impl LocalView {
    /// Returns whether an answer may be given without asking the primary.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// Returns whether a *no* may be given from this view at all, fresh or while the primary fails.
    pub fn may_deny(&self) -> bool {
        self.caught_up && self.view.as_ref().is_some_and(|view| view.verified)
    }

    /// Returns the view, if access may be decided from it: it has all kinds of records, and none that is not understood.
    pub fn view_for_authorization(&self) -> Option<&DirectoryView> {
        self.view.as_ref().filter(|view| view.coverage.is_whole() && !view.has_unknown_records)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::LocalView;
    use crate::model::coverage::Coverage;
    use crate::model::freshness::{DirectoryView, Freshness};
    use crate::model::memory_directory::MemoryDirectory;

    #[test]
    fn access_is_decided_only_from_a_feed_that_has_every_kind_of_record() {
        for (coverage, has_unknown_records, decides) in [
            (Coverage::default(), false, true),
            (Coverage::default(), true, false),
            (Coverage::logins(), false, false),
            (Coverage::nothing(), false, false),
        ] {
            let directory = Arc::new(MemoryDirectory::default());
            let view = DirectoryView { directory, verified: true, has_unknown_records, coverage };
            let local = LocalView {
                view: Some(view),
                age: None,
                exchange_proven_at: None,
                exchange_age: None,
                freshness: Freshness::Fresh,
                caught_up: true,
                epoch_changes: 0,
            };
            assert_eq!(local.view_for_authorization().is_some(), decides);
        }
    }
}
