//! Whether a commit can be read already and is not on disk yet. An answer that may have been read from it waits for what becomes of it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The commits that were begun and that ended, well or not. There is one writer.
pub struct UnflushedCommits {
    begun: AtomicU64,
    ended: watch::Sender<u64>,
}

impl Default for UnflushedCommits {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), ended: watch::Sender::new(0) }
    }
}

/// A commit that is being made. Dropped once it is published or has failed.
pub struct UnflushedCommit<'a>(&'a UnflushedCommits);

impl UnflushedCommits {
    /// Notes that a commit begins, before it can be read.
    pub fn begin(&self) -> UnflushedCommit<'_> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        UnflushedCommit(self)
    }

    /// Waits until the commit that is being made at this moment, if any, has ended. Commits that begin later are not waited for.
    pub async fn ended(&self) {
        let begun = self.begun.load(Ordering::Acquire);
        if *self.ended.borrow() >= begun {
            return;
        }
        // The sender lives as long as `self`.
        let mut watching = self.ended.subscribe();
        let _ended = watching.wait_for(|ended| *ended >= begun).await.is_ok();
    }
}

impl Drop for UnflushedCommit<'_> {
    fn drop(&mut self) {
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::UnflushedCommits;

    #[test]
    fn an_answer_waits_for_the_commit_that_it_may_have_seen_and_for_no_later_one() {
        let commits = UnflushedCommits::default();
        assert!(commits.ended().now_or_never().is_some(), "nothing is being written");
        let first = commits.begin();
        let mut waiting = Box::pin(commits.ended());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        let _second = commits.begin();
        assert!(waiting.now_or_never().is_some());
        assert!(commits.ended().now_or_never().is_none());
    }
}
