//! Where a commit is in force, and for every other host until when it may still answer without it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::api::error::ApiError;
use crate::model::change::{Epoch, Head};
use crate::model::clock;
use crate::model::time::Time;
use crate::primary::replication::host_record::{DUPLICATE_HOST, HostRecord};
use crate::primary::replication::hosts::HostRegistry;
use crate::primary::replication::shutdown::ShutdownSignal;
use crate::store::primary::primary_store::PrimaryStore;

/// For how long after its start a primary waits for the hosts that it knows: they reconnect one after the other.
const RECONNECT_WINDOW: Duration = Duration::from_secs(20);
/// The longest time that an operator may wait.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Where a commit is in force, and where it may not be yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Propagation {
    /// Hosts that have applied it and have it on disk, and hosts that may not answer any more without the primary.
    pub in_force: Vec<Arc<str>>,
    /// The other hosts.
    pub pending: Vec<PendingHost>,
}

/// A host that has not confirmed a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingHost {
    /// Its name.
    pub host: Arc<str>,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last in touch.
    pub last_seen: Time,
    /// Until when it may answer without the commit; `None` if it never said for how long it may serve without the primary.
    pub until: Option<Time>,
    /// What else is wrong with the host, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Decides where `commit` is in force. `current_epoch` is the epoch of the store now: what a host acknowledged in it, if the commit was
/// made in an earlier epoch, came after the commit.
#[must_use]
fn evaluate(hosts: Vec<(Arc<str>, HostRecord)>, commit: &Head, current_epoch: Epoch, now: Time) -> Propagation {
    let mut propagation = Propagation::default();
    for (name, host) in hosts {
        let duplicated = host.is_duplicated(now);
        let applied = !duplicated && has_applied(&host, commit, current_epoch);
        let until = host.may_serve_until();
        let lapsed = host.open_streams == 0 && until.is_some_and(|until| until <= now);
        if applied || lapsed {
            propagation.in_force.push(name);
            continue;
        }
        let note = duplicated.then_some(DUPLICATE_HOST);
        propagation.pending.push(PendingHost { host: name, connected: host.open_streams > 0, last_seen: host.seen, until, note });
    }
    propagation
}

fn has_applied(host: &HostRecord, commit: &Head, current_epoch: Epoch) -> bool {
    let Some(acked) = &host.acked else {
        return false;
    };
    (acked.epoch == commit.epoch && acked.seq >= commit.seq) || (acked.epoch != commit.epoch && acked.epoch == current_epoch)
}

/// Returns how long the operator wants to wait (`wait`, in seconds); `None` if not at all.
pub fn parse_wait(seconds: Option<u64>) -> Result<Option<Duration>, ApiError> {
    match seconds {
        Some(seconds) if seconds > MAX_WAIT.as_secs() => {
            Err(ApiError::bad_request(format_args!("wait is at most {} seconds", MAX_WAIT.as_secs())))
        }
        seconds => Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)),
    }
}

/// Watches where commits are in force.
pub struct PropagationMonitor<'a> {
    /// What the hosts acknowledged.
    pub hosts: &'a HostRegistry,
    /// The store of the commits.
    pub store: &'a PrimaryStore,
    /// When the primary started.
    pub started_at: Time,
    /// Ends the waiting when the primary shuts down.
    pub shutdown: ShutdownSignal,
}

impl PropagationMonitor<'_> {
    /// Returns where a commit is in force: now, or after waiting at most `wait` for all hosts that are connected.
    pub async fn propagation(&self, commit: &Head, wait: Option<Duration>) -> Propagation {
        match wait {
            Some(limit) => self.wait_for_hosts(commit, limit).await,
            None => self.current(commit),
        }
    }

    /// Waits, at most `limit`, for a commit to be in force on every host that is connected, and on those that a primary which has just
    /// started still expects to reconnect. Ends when the primary shuts down.
    async fn wait_for_hosts(&self, commit: &Head, limit: Duration) -> Propagation {
        let mut acks = self.hosts.ack_events();
        let settled = async {
            loop {
                acks.borrow_and_update();
                let propagation = self.current(commit);
                let reconnecting = RECONNECT_WINDOW.saturating_sub(clock::wall_time().since(self.started_at));
                if propagation.pending.iter().any(|host| host.connected) {
                    let _changed = acks.changed().await;
                } else if !propagation.pending.is_empty() && !reconnecting.is_zero() {
                    // Also a host that was in touch already may be between its acknowledgement and its new stream.
                    let _changed = tokio::time::timeout(reconnecting, acks.changed()).await;
                } else {
                    return propagation;
                }
            }
        };
        tokio::select! {
            propagation = settled => propagation,
            () = tokio::time::sleep(limit) => self.current(commit),
            () = self.shutdown.requested() => self.current(commit),
        }
    }

    fn current(&self, commit: &Head) -> Propagation {
        evaluate(self.hosts.list(), commit, self.store.head().epoch, clock::wall_time())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Propagation, evaluate};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::DirectoryDigest;
    use crate::model::time::Time;
    use crate::primary::replication::host_record::tests::host;

    fn commit(epoch: u128) -> Head {
        Head { epoch: Epoch(epoch), seq: 5, state: DirectoryDigest::default() }
    }

    fn at(seconds: u64) -> Time {
        Time::EPOCH.plus(Duration::from_secs(seconds))
    }

    fn names(propagation: &Propagation) -> (Vec<&str>, Vec<&str>) {
        (propagation.in_force.iter().map(AsRef::as_ref).collect(), propagation.pending.iter().map(|host| host.host.as_ref()).collect())
    }

    #[test]
    fn a_commit_is_in_force_where_it_was_acked_and_where_the_host_has_expired() {
        let hosts = || vec![host(5, 1), host(4, 1), host(3, 0)];
        let soon = evaluate(hosts(), &commit(1), Epoch(1), at(10));
        assert_eq!(names(&soon), (vec!["host-5-1"], vec!["host-4-1", "host-3-0"]));
        assert_eq!(soon.pending[1].until, Some(at(3600)));
        let late = evaluate(hosts(), &commit(1), Epoch(1), at(3600));
        assert_eq!(names(&late), (vec!["host-5-1", "host-3-0"], vec!["host-4-1"]), "one that is connected does not lapse");
    }

    #[test]
    fn an_ack_of_the_present_epoch_counts_for_an_earlier_commit_and_not_for_a_later_one() {
        let later = commit(0);
        assert_eq!(evaluate(vec![host(1, 1)], &later, Epoch(1), at(1)).pending, vec![]);
        let earlier = commit(2);
        assert_eq!(evaluate(vec![host(9, 1)], &earlier, Epoch(2), at(1)).in_force.len(), 0);
    }
}
