//! Where a commit is in force, and for each other host until when it may still answer from before it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::following::hosts::Host;
use crate::authority::refusal::Refusal;
use crate::model::change::{Epoch, Head};
use crate::model::clock;
use crate::model::time::Time;

/// How long after its start a primary waits for hosts that it knows from before: they come back one after the other.
const COMING_BACK: Duration = Duration::from_secs(20);
/// The longest that an operator may wait.
const LONGEST: Duration = Duration::from_secs(600);

/// Where a commit stands with the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Force {
    /// Hosts where it binds in answers and is on disk, and hosts that may answer nothing any more without us.
    pub in_force: Vec<Arc<str>>,
    /// The others, where it may not bind yet.
    pub pending: Vec<Pending>,
}

/// A host where a commit is not known to be in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
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
    heard: bool,
    /// What is wrong with it besides, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Judges what the hosts said. `present` is the epoch of the store now: what was acked in it, if the commit was made in an epoch before,
/// came after the commit.
#[must_use]
pub fn judge(hosts: Vec<(Arc<str>, Host)>, commit: &Head, present: Epoch, now: Time) -> Force {
    let mut force = Force::default();
    for (name, host) in hosts {
        let doubled = host.doubled(now);
        let holds = !doubled && holds(&host, commit, present);
        let until = host.until();
        let lapsed = host.open == 0 && until.is_some_and(|until| until <= now);
        if holds || lapsed {
            force.in_force.push(name);
            continue;
        }
        let note = doubled.then_some("two hosts use this name, or a store was copied: what one of them holds says nothing of the other");
        force.pending.push(Pending { host: name, connected: host.open > 0, last_seen: host.seen, until, heard: host.heard, note });
    }
    force
}

fn holds(host: &Host, commit: &Head, present: Epoch) -> bool {
    let Some(acked) = &host.acked else {
        return false;
    };
    (acked.epoch == commit.epoch && acked.seq >= commit.seq) || (acked.epoch != commit.epoch && acked.epoch == present)
}

/// How long the operator asked to wait (`wait`, in seconds); `None` if not at all.
pub fn wait_asked(call: &Call) -> Result<Option<Duration>, Refusal> {
    match call.number("wait")? {
        Some(seconds) if seconds > LONGEST.as_secs() => Err(Refusal::bad(format_args!("wait is at most {} seconds", LONGEST.as_secs()))),
        seconds => Ok(seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)),
    }
}

/// Where a commit is in force: after waiting, or as it stands now.
pub async fn told(house: &Authority, commit: &Head, wait_for: Option<Duration>) -> Force {
    match wait_for {
        Some(limit) => wait(house, commit, limit).await,
        None => now(house, commit),
    }
}

/// Waits, at most `limit`, for a commit to be in force on every host that is connected, or that a primary which was just started still
/// expects. Ends with the primary.
async fn wait(house: &Authority, commit: &Head, limit: Duration) -> Force {
    let mut acks = house.hosts.acks();
    let settled = async {
        loop {
            acks.borrow_and_update();
            let force = now(house, commit);
            let expected = COMING_BACK.saturating_sub(clock::wall().since(house.since));
            if force.pending.iter().any(|host| host.connected) {
                let _said = acks.changed().await;
            } else if force.pending.iter().any(|host| !host.heard) && !expected.is_zero() {
                let _said = tokio::time::timeout(expected, acks.changed()).await;
            } else {
                return force;
            }
        }
    };
    tokio::select! {
        force = settled => force,
        () = tokio::time::sleep(limit) => now(house, commit),
        () = house.ending() => now(house, commit),
    }
}

fn now(house: &Authority, commit: &Head) -> Force {
    judge(house.hosts.all(), commit, house.store.head().epoch, clock::wall())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Force, judge};
    use crate::authority::following::hosts::tests::host;
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::State;
    use crate::model::time::Time;

    fn commit(epoch: u128) -> Head {
        Head { epoch: Epoch(epoch), seq: 5, state: State::default() }
    }

    fn at(seconds: u64) -> Time {
        Time::EPOCH.plus(Duration::from_secs(seconds))
    }

    fn names(force: &Force) -> (Vec<&str>, Vec<&str>) {
        (force.in_force.iter().map(AsRef::as_ref).collect(), force.pending.iter().map(|host| host.host.as_ref()).collect())
    }

    #[test]
    fn it_is_in_force_where_it_was_acked_and_where_nothing_may_be_answered_any_more() {
        let hosts = || vec![host(5, 1), host(4, 1), host(3, 0)];
        let soon = judge(hosts(), &commit(1), Epoch(1), at(10));
        assert_eq!(names(&soon), (vec!["host-5-1"], vec!["host-4-1", "host-3-0"]));
        assert_eq!(soon.pending[1].until, Some(at(3600)));
        let late = judge(hosts(), &commit(1), Epoch(1), at(3600));
        assert_eq!(names(&late), (vec!["host-5-1", "host-3-0"], vec!["host-4-1"]), "one that is connected does not lapse");
    }

    #[test]
    fn an_ack_of_a_later_epoch_holds_and_one_of_an_earlier_does_not() {
        let later = commit(0);
        assert_eq!(judge(vec![host(1, 1)], &later, Epoch(1), at(1)).pending, vec![]);
        let earlier = commit(2);
        assert_eq!(judge(vec![host(9, 1)], &earlier, Epoch(2), at(1)).in_force.len(), 0);
    }
}
