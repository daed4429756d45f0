//! Where a commit is in force, and for every other host until when it may still answer without it.
//!
//! A commit is in force everywhere once no host can answer from before it: each has acknowledged it, or may not answer without the primary
//! any more; no host may be missing from those that are known; and every answer that the primary itself decided before the commit has been
//! sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::error::ApiError;
use crate::api::request::RequestTime;
use crate::model::change::{Epoch, Head};
use crate::model::time::{BootTime, Time};
use crate::net::message::Response;
use crate::primary::replication::answers_under_way::AnswersUnderWay;
use crate::primary::replication::host_table::{HostView, OLDER_VERSION, SHARED_NAME};
use crate::primary::replication::hosts::HostRegistry;
use crate::primary::replication::missing_hosts::{MissingHosts, MissingPeriod};
use crate::primary::replication::shutdown::ShutdownSignal;
use crate::store::primary::primary_store::PrimaryStore;

/// For how long after its start a primary waits for the hosts that it knows: they reconnect one after the other.
const RECONNECT_WINDOW: Duration = Duration::from_secs(20);
/// The longest time that an operator may wait.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// A host acknowledges something every 30 s; after so long without it is overdue.
const ACK_OVERDUE: Duration = Duration::from_secs(90);
/// What an operator is told of streams whose host has not named its store.
const UNNAMED_INSTANCE: &str = "this host is of an older version and has not acknowledged anything since it connected: which store it has \
                                is not known yet";

/// Where a commit is in force, and where it may not be yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Propagation {
    /// Hosts that have applied it and have it on disk, and hosts that may not answer any more without the primary.
    pub in_force: Vec<Arc<str>>,
    /// The other hosts.
    pub pending: Vec<PendingHost>,
    /// Whether hosts may be missing from both, and until when.
    pub missing_hosts: Option<MissingPeriod>,
    /// Whether the primary itself is still sending answers that it decided before the commit. Only known to who waits.
    pub answers_under_way: bool,
}

impl Propagation {
    /// Returns the response to a revocation: what was done, to what (under the name `done`), in which commit, and where that is in force.
    pub fn revocation_response(self, message: String, done: &str, subject: Value, head: Head) -> Response {
        let body = json!({
            "message": message,
            done: subject,
            "head": head,
            "in_force": self.in_force,
            "pending": self.pending,
            "missing_hosts": self.missing_hosts,
            "answers_under_way": self.answers_under_way,
        });
        Response::json(StatusCode::OK, body.to_string())
    }
}

/// A host that has not confirmed a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingHost {
    /// Its name.
    pub host: Arc<str>,
    /// The random id of its store; `None` if it has not named it yet.
    pub instance: Option<Arc<str>>,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was last in touch.
    pub last_seen: Time,
    /// For how many seconds it may answer without the primary, at most.
    pub max_stale: u64,
    /// Until when it may answer without the commit, if it gets no line any more.
    pub until: Time,
    /// What else is wrong with the host, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Decides where `commit` is in force. `current_epoch` is the epoch of the store now: what a host acknowledged in it, if the commit was
/// made in an earlier epoch, came after the commit.
#[must_use]
fn evaluate(hosts: Vec<HostView>, commit: &Head, current_epoch: Epoch, now: Time) -> Propagation {
    let (in_force, pending): (Vec<_>, Vec<_>) =
        hosts.into_iter().partition(|host| host.has_lapsed() || has_applied(host, commit, current_epoch));
    let pending: Vec<PendingHost> = pending.into_iter().map(|host| pending_host(host, now)).collect();
    // A name is in force once every instance of it is.
    let unconfirmed: BTreeSet<&str> = pending.iter().map(|host| host.host.as_ref()).collect();
    let mut in_force: Vec<Arc<str>> =
        in_force.into_iter().map(|host| host.name).filter(|name| !unconfirmed.contains(name.as_ref())).collect();
    in_force.dedup();
    Propagation { in_force, pending, missing_hosts: None, answers_under_way: false }
}

/// Returns the names of the hosts that may answer without `commit` and have acknowledged nothing for [`ACK_OVERDUE`]. One that is only a moment
/// behind acknowledges all the same, so that a primary with many commits does not count it.
fn find_overdue(hosts: &[HostView], commit: &Head, current_epoch: Epoch, now: Time) -> Vec<Arc<str>> {
    let has_acked_lately = |host: &HostView| host.acked.as_ref().is_some_and(|acked| now.since(acked.at) < ACK_OVERDUE);
    let is_overdue = |host: &&HostView| !host.has_lapsed() && !has_applied(host, commit, current_epoch) && !has_acked_lately(host);
    hosts.iter().filter(is_overdue).map(|host| Arc::clone(&host.name)).collect()
}

fn pending_host(host: HostView, now: Time) -> PendingHost {
    let note = match &host.instance {
        None => Some(UNNAMED_INSTANCE),
        Some(_) if host.shares_name => Some(SHARED_NAME),
        Some(_) => (!host.says_bounds).then_some(OLDER_VERSION),
    };
    PendingHost {
        connected: host.is_connected(),
        until: now.plus(host.may_serve_for),
        host: host.name,
        instance: host.instance,
        last_seen: host.seen,
        max_stale: host.max_stale,
        note,
    }
}

fn has_applied(host: &HostView, commit: &Head, current_epoch: Epoch) -> bool {
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
    /// Whether hosts may be missing from these.
    pub missing_hosts: &'a MissingHosts,
    /// The answers that the primary itself is sending.
    pub answers: &'a AnswersUnderWay,
    /// The store of the commits.
    pub store: &'a PrimaryStore,
    /// When the primary started.
    pub started_at: BootTime,
    /// Ends the waiting when the primary shuts down.
    pub shutdown: ShutdownSignal,
}

impl PropagationMonitor<'_> {
    /// Returns where a commit is in force: now, or after waiting at most `wait` for all hosts that are connected. The commit must be
    /// readable: answers that are begun from now on are not waited for.
    pub async fn propagation(&self, commit: &Head, wait: Option<Duration>) -> Propagation {
        match wait {
            Some(limit) => self.wait_for_hosts(commit, limit).await,
            None => self.current(commit),
        }
    }

    /// Waits, at most `limit`, for a commit to be in force on every host that is connected, and on those that a primary which has just
    /// started still expects to reconnect; and for the answers of the primary itself. Ends when the primary shuts down.
    async fn wait_for_hosts(&self, commit: &Head, limit: Duration) -> Propagation {
        let answers_sent = self.answers.end_period();
        let settled = async {
            answers_sent.await;
            self.wait_until_settled(commit).await
        };
        tokio::select! {
            propagation = settled => return propagation,
            () = tokio::time::sleep(limit) => {}
            () = self.shutdown.requested() => {}
        }
        Propagation { answers_under_way: self.answers.has_unsent(), ..self.current(commit) }
    }

    async fn wait_until_settled(&self, commit: &Head) -> Propagation {
        let mut acks = self.hosts.ack_events();
        loop {
            acks.borrow_and_update();
            let propagation = self.current(commit);
            let reconnecting = RECONNECT_WINDOW.saturating_sub(RequestTime::now().boot.since(self.started_at));
            if propagation.pending.iter().any(|host| host.connected) {
                let _changed = acks.changed().await;
            } else if !propagation.pending.is_empty() && !reconnecting.is_zero() {
                // Also a host that was in touch already may be between its acknowledgement and its new stream.
                let _changed = tokio::time::timeout(reconnecting, acks.changed()).await;
            } else {
                return propagation;
            }
        }
    }

    /// Returns the names of those of these hosts that may answer without a commit and have acknowledged nothing for 90 s.
    pub fn overdue_hosts(&self, hosts: &[HostView], commit: &Head, now: Time) -> Vec<Arc<str>> {
        find_overdue(hosts, commit, self.store.head().epoch, now)
    }

    fn current(&self, commit: &Head) -> Propagation {
        let now = RequestTime::now();
        let propagation = evaluate(self.hosts.list(now.boot), commit, self.store.head().epoch, now.wall);
        Propagation { missing_hosts: self.missing_hosts.current(now), ..propagation }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Propagation, UNNAMED_INSTANCE, evaluate, find_overdue};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::{Digest, DirectoryDigest};
    use crate::model::time::Time;
    use crate::primary::replication::host_record::LastAck;
    use crate::primary::replication::host_report::HostReport;
    use crate::primary::replication::host_table::{HostView, OLDER_VERSION};

    fn host(seq: u64, streams: usize, may_serve_for: u64) -> HostView {
        let acked = LastAck { epoch: Epoch(1), seq, digest: Digest::default(), max_stale: 3600, instance: "a".to_owned(), at: Time::EPOCH };
        HostView {
            name: format!("host-{seq}-{streams}").into(),
            instance: Some("a".into()),
            streams,
            acked: Some(acked),
            seen: Time::EPOCH,
            max_stale: 3600,
            may_serve_for: Duration::from_secs(may_serve_for),
            says_bounds: true,
            shares_name: false,
            report: HostReport::default(),
        }
    }

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
        let hosts = |left| vec![host(5, 1, left), host(4, 1, left), host(3, 0, left)];
        let soon = evaluate(hosts(3590), &commit(1), Epoch(1), at(10));
        assert_eq!(names(&soon), (vec!["host-5-1"], vec!["host-4-1", "host-3-0"]));
        assert_eq!(soon.pending[1].until, at(3600));
        let late = evaluate(hosts(0), &commit(1), Epoch(1), at(3600));
        assert_eq!(names(&late), (vec!["host-5-1", "host-3-0"], vec!["host-4-1"]), "one that is connected does not lapse");
    }

    #[test]
    fn a_host_is_overdue_once_it_has_acked_nothing_for_a_while_and_lacks_the_commit() {
        let hosts = [host(5, 1, 3600), host(4, 1, 3600), host(3, 0, 3600), host(2, 0, 0), HostView { acked: None, ..host(1, 1, 3600) }];
        let overdue = |seconds| find_overdue(&hosts, &commit(1), Epoch(1), at(seconds)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(overdue(89), ["host-1-1"], "the one that never acked");
        assert_eq!(overdue(90), ["host-4-1", "host-3-0", "host-1-1"], "also the two that are behind; one has lapsed");
    }

    #[test]
    fn an_ack_of_the_present_epoch_counts_for_an_earlier_commit_and_not_for_a_later_one() {
        let later = commit(0);
        assert_eq!(evaluate(vec![host(1, 1, 9)], &later, Epoch(1), at(1)).pending, vec![]);
        let earlier = commit(2);
        assert_eq!(evaluate(vec![host(9, 1, 9)], &earlier, Epoch(2), at(1)).in_force.len(), 0);
    }

    #[test]
    fn a_name_is_in_force_once_every_instance_of_it_is() {
        let acked = host(5, 1, 9);
        let other = HostView { instance: Some("b".into()), acked: None, streams: 0, shares_name: true, ..acked.clone() };
        let unnamed = HostView { instance: None, acked: None, ..host(6, 1, 9) };
        let propagation = evaluate(vec![acked.clone(), other.clone(), unnamed], &commit(1), Epoch(1), at(1));
        assert_eq!(names(&propagation), (vec![], vec!["host-5-1", "host-6-1"]));
        assert!(propagation.pending[0].note.is_some_and(|note| note.starts_with("two hosts use this name")));
        assert_eq!(propagation.pending[1].note, Some(UNNAMED_INSTANCE));
        let older = HostView { says_bounds: false, shares_name: false, ..other.clone() };
        assert_eq!(evaluate(vec![older], &commit(1), Epoch(1), at(1)).pending[0].note, Some(OLDER_VERSION));
        let lapsed = HostView { may_serve_for: Duration::ZERO, ..other };
        let propagation = evaluate(vec![acked, lapsed], &commit(1), Epoch(1), at(1));
        assert_eq!(names(&propagation), (vec!["host-5-1"], vec![]));
    }
}
