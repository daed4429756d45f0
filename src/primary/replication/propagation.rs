//! Where a commit is in force, and for each other host until when it may still answer from before it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::model::change::{Epoch, Head};
use crate::model::clock;
use crate::model::time::Time;
use crate::primary::call::ApiRequest;
use crate::primary::refusal::ApiError;
use crate::primary::replication::hosts::HostRecord;
use crate::primary::state::PrimaryState;

/// How long after its start a primary waits for hosts that it knows from before: they come back one after the other.
const RECONNECT_WINDOW: Duration = Duration::from_secs(20);
/// The longest that an operator may wait.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Where a commit stands with the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Propagation {
    /// Hosts where it binds in answers and is on disk, and hosts that may answer nothing any more without us.
    pub in_force: Vec<Arc<str>>,
    /// The others, where it may not bind yet.
    pub pending: Vec<PendingHost>,
}

/// A host where a commit is not known to be in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingHost {
    /// Its name.
    pub host: Arc<str>,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last in touch.
    pub last_seen: Time,
    /// Until when it may answer from before the commit; `None` if it never said how long it may go on without us.
    pub until: Option<Time>,
    /// Whether it was in touch since the primary started.
    #[serde(skip)]
    seen_since_start: bool,
    /// What is wrong with it besides, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Judges what the hosts said. `present` is the epoch of the store now: what was acked in it, if the commit was made in an epoch before,
/// came after the commit.
#[must_use]
pub fn evaluate(hosts: Vec<(Arc<str>, HostRecord)>, commit: &Head, present: Epoch, now: Time) -> Propagation {
    let mut force = Propagation::default();
    for (name, host) in hosts {
        let doubled = host.is_duplicated(now);
        let holds = !doubled && has_applied(&host, commit, present);
        let until = host.may_serve_until();
        let lapsed = host.open_streams == 0 && until.is_some_and(|until| until <= now);
        if holds || lapsed {
            force.in_force.push(name);
            continue;
        }
        let note = doubled.then_some("two hosts use this name, or a store was copied: what one of them holds says nothing of the other");
        force.pending.push(PendingHost {
            host: name,
            connected: host.open_streams > 0,
            last_seen: host.seen,
            until,
            seen_since_start: host.seen_since_start,
            note,
        });
    }
    force
}

fn has_applied(host: &HostRecord, commit: &Head, present: Epoch) -> bool {
    let Some(acked) = &host.acked else {
        return false;
    };
    (acked.epoch == commit.epoch && acked.seq >= commit.seq) || (acked.epoch != commit.epoch && acked.epoch == present)
}

/// How long the operator asked to wait (`wait`, in seconds); `None` if not at all.
pub fn parse_wait(call: &ApiRequest) -> Result<Option<Duration>, ApiError> {
    match call.number("wait")? {
        Some(seconds) if seconds > MAX_WAIT.as_secs() => {
            Err(ApiError::bad_request(format_args!("wait is at most {} seconds", MAX_WAIT.as_secs())))
        }
        seconds => Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)),
    }
}

/// Where a commit is in force: after waiting, or as it stands now.
pub async fn await_propagation(house: &PrimaryState, commit: &Head, wait_for: Option<Duration>) -> Propagation {
    match wait_for {
        Some(limit) => wait_for_hosts(house, commit, limit).await,
        None => current_propagation(house, commit),
    }
}

/// Waits, at most `limit`, for a commit to be in force on every host that is connected, or that a primary which was just started still
/// expects. Ends with the primary.
async fn wait_for_hosts(house: &PrimaryState, commit: &Head, limit: Duration) -> Propagation {
    let mut acks = house.hosts.ack_events();
    let settled = async {
        loop {
            acks.borrow_and_update();
            let force = current_propagation(house, commit);
            let expected = RECONNECT_WINDOW.saturating_sub(clock::wall_time().since(house.started_at));
            if force.pending.iter().any(|host| host.connected) {
                let _said = acks.changed().await;
            } else if force.pending.iter().any(|host| !host.seen_since_start) && !expected.is_zero() {
                let _said = tokio::time::timeout(expected, acks.changed()).await;
            } else {
                return force;
            }
        }
    };
    tokio::select! {
        force = settled => force,
        () = tokio::time::sleep(limit) => current_propagation(house, commit),
        () = house.shutdown_requested() => current_propagation(house, commit),
    }
}

fn current_propagation(house: &PrimaryState, commit: &Head) -> Propagation {
    evaluate(house.hosts.list(), commit, house.store.head().epoch, clock::wall_time())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Propagation, evaluate};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::DirectoryDigest;
    use crate::model::time::Time;
    use crate::primary::replication::hosts::tests::host;

    fn commit(epoch: u128) -> Head {
        Head { epoch: Epoch(epoch), seq: 5, state: DirectoryDigest::default() }
    }

    fn at(seconds: u64) -> Time {
        Time::EPOCH.plus(Duration::from_secs(seconds))
    }

    fn names(force: &Propagation) -> (Vec<&str>, Vec<&str>) {
        (force.in_force.iter().map(AsRef::as_ref).collect(), force.pending.iter().map(|host| host.host.as_ref()).collect())
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
