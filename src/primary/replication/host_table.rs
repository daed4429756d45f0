//! The table of the hosts that follow: each by its name and its instance, which is the random id of its store. A second instance under
//! one name is another host, until the first may not answer any more.
//!
//! Hosts of an older version name no instance when they open a stream. Their streams are those of the record without an instance, and
//! count for every instance of that name that never named itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::api::request::RequestTime;
use crate::model::clock_reading::BootId;
use crate::model::time::{BootTime, Time};
use crate::primary::replication::host_record::{HostKey, HostRecord, LastAck, StoredHost};
use crate::primary::replication::host_report::HostReport;
use crate::wire::directory::feed_lines::Ack;

/// Most hosts that are known at once.
const MAX_HOSTS: usize = 10_000;

/// What an operator is told of hosts that share a name.
pub const SHARED_NAME: &str = "two hosts use this name, or its store was made anew: what one of them confirms says nothing about the other, \
                               and each is waited for until it may not answer any more; give each host its own name, and say \
                               `sidegate admin forget-host` of one that is no more";

/// What an operator is told of a host that does not say its bounds, and cannot prove how old its data is.
pub const OLDER_VERSION: &str = "this host is of an older version, which says the bound of its keys only: it is taken to answer for at least \
                                 sync.longest_max_stale; and it dates what it reads by its arrival, so on a link that delays it may answer \
                                 for longer";

/// What a host says of itself when it asks for changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostClaim {
    /// The subject of its token.
    pub name: Arc<str>,
    /// The random id of its store and the largest of its bounds in seconds, rounded up; `None` from an older version.
    pub instance: Option<(Arc<str>, u64)>,
}

/// Why a host is not registered, or may not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// There are too many hosts.
    #[error("{MAX_HOSTS} hosts are known already; `sidegate admin forget-host` forgets those that are no more")]
    TooManyHosts,
    /// The host may answer for longer than this primary allows.
    #[error(
        "this host would answer for up to {claimed} s without the primary, longer than the {longest} s that the primary allows: make the \
         largest `max_stale` in [freshness] of the host's configuration smaller, or `sync.longest_max_stale` in the primary's larger"
    )]
    BoundTooLong {
        /// The host's bound, in seconds.
        claimed: u64,
        /// The longest bound allowed, in seconds.
        longest: u64,
    },
}

/// A host as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    /// Its name.
    pub name: Arc<str>,
    /// The random id of its store; `None` if it has not named it yet.
    pub instance: Option<Arc<str>>,
    /// How many streams it has open.
    pub streams: usize,
    /// Its last acknowledgement.
    pub acked: Option<LastAck>,
    /// When it was last in touch.
    pub seen: Time,
    /// For how many seconds it may answer without the primary, at most.
    pub max_stale: u64,
    /// For how much longer it may do so, if it is not written to again.
    pub may_serve_for: Duration,
    /// Whether it says its bounds itself, and dates what it reads by the primary's clock; a host of an older version does neither.
    pub says_bounds: bool,
    /// Whether another host that may still answer has the same name.
    pub shares_name: bool,
    /// What it says of its version and its alarms.
    pub report: HostReport,
}

impl HostView {
    /// Returns whether it is connected now.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.streams > 0
    }

    /// Returns whether it may not answer any more without the primary.
    #[must_use]
    pub const fn has_lapsed(&self) -> bool {
        !self.is_connected() && self.may_serve_for.is_zero()
    }
}

/// The hosts that are known.
pub struct HostTable {
    hosts: BTreeMap<HostKey, HostRecord>,
    /// The longest bound that a host may have, in seconds.
    longest_max_stale: u64,
}

impl HostTable {
    /// Returns a table of these hosts. No host may have a longer bound than `longest_max_stale` seconds.
    #[must_use]
    pub const fn new(hosts: BTreeMap<HostKey, HostRecord>, longest_max_stale: u64) -> Self {
        Self { hosts, longest_max_stale }
    }

    // Following

    /// Notes that a host opens a stream.
    pub fn open_stream(&mut self, claim: &HostClaim, now: RequestTime) -> Result<HostKey, RegisterError> {
        let key = self.note(claim, now)?;
        self.check_bound(&key, claim.instance.as_ref().map(|(_, max_stale)| *max_stale), now.boot)?;
        if let Some(host) = self.hosts.get_mut(&key) {
            host.open_streams += 1;
            host.is_identified = false;
        }
        self.touch(&key, now);
        Ok(key)
    }

    /// Notes that a stream has ended.
    pub fn close_stream(&mut self, key: &HostKey, now: RequestTime) {
        self.touch(key, now);
        if let Some(host) = self.hosts.get_mut(key) {
            host.open_streams = host.open_streams.saturating_sub(1);
        }
    }

    /// Notes that there is a host. A bound that is too long is not noted: a host does not use it before it is accepted.
    pub fn note(&mut self, claim: &HostClaim, now: RequestTime) -> Result<HostKey, RegisterError> {
        let instance = claim.instance.as_ref().map(|(instance, _)| Arc::clone(instance));
        let key = HostKey { name: Arc::clone(&claim.name), instance };
        let longest = self.longest_max_stale;
        let host = self.upsert(&key, now)?;
        if let Some((_, max_stale)) = claim.instance {
            host.names_instance = true;
            if max_stale <= longest {
                host.claim(max_stale, now.boot);
            }
        }
        Ok(key)
    }

    /// Notes what a host acknowledged; `is_known`: whether this primary is sure to have had that state. Returns its key.
    pub fn record_ack(&mut self, name: &Arc<str>, ack: Ack, is_known: bool, now: RequestTime) -> Result<HostKey, RegisterError> {
        let key = HostKey { name: Arc::clone(name), instance: Some(ack.instance.as_str().into()) };
        let (longest, claimed) = (self.longest_max_stale, ack.max_stale);
        let host = self.upsert(&key, now)?;
        let names_instance = host.names_instance;
        if !names_instance || claimed <= longest {
            host.claim(claimed, now.boot);
        }
        host.touch(now);
        if is_known {
            host.record_ack(ack, now.wall);
        }
        if let Some(streams) = self.hosts.get_mut(&first_key(name)).filter(|_| !names_instance) {
            streams.is_identified = true;
        }
        self.check_bound(&key, Some(claimed), now.boot).map(|()| key)
    }

    /// Notes what a host says of its version and its alarms.
    pub fn record_report(&mut self, key: &HostKey, report: HostReport) {
        if let Some(host) = self.hosts.get_mut(key) {
            host.report.update(report);
        }
    }

    /// Notes that a host was written to. A line to a host without an instance may have reached any that never named itself.
    pub fn touch(&mut self, key: &HostKey, now: RequestTime) {
        if key.instance.is_some() {
            if let Some(host) = self.hosts.get_mut(key) {
                host.touch(now);
            }
            return;
        }
        let of_name = self.hosts.range_mut(first_key(&key.name)..).take_while(|(other, _)| other.name == key.name);
        of_name.filter(|(_, host)| !host.names_instance).for_each(|(_, host)| host.touch(now));
    }

    /// Refuses a host whose bound is too long. `claimed`: the bound that it says now, if it says one; for streams without an instance what
    /// an instance that they may belong to acknowledged a moment ago.
    pub fn check_bound(&self, key: &HostKey, claimed: Option<u64>, now: BootTime) -> Result<(), RegisterError> {
        let longest = self.longest_max_stale;
        let claimed = match (&key.instance, claimed) {
            (None, None) => {
                let unnamed = self.of_name(&key.name).filter(|(_, host)| !host.names_instance);
                unnamed.filter_map(|(_, host)| host.recent_claim(now)).max()
            }
            (_, claimed) => claimed,
        };
        match claimed.filter(|claimed| *claimed > longest) {
            Some(claimed) => Err(RegisterError::BoundTooLong { claimed, longest }),
            None => Ok(()),
        }
    }

    fn upsert(&mut self, key: &HostKey, now: RequestTime) -> Result<&mut HostRecord, RegisterError> {
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(key) {
            return Err(RegisterError::TooManyHosts);
        }
        Ok(self.hosts.entry(key.clone()).or_insert_with(|| HostRecord::new(now)))
    }

    // Reading

    /// Returns all hosts, by name. The streams of a host without an instance are shown as those of the instances that they may belong to.
    #[must_use]
    pub fn views(&self, now: BootTime) -> Vec<HostView> {
        let shown = self.hosts.iter().filter(|(key, host)| key.instance.is_some() || !host.is_identified);
        let mut views: Vec<HostView> = shown.map(|(key, host)| self.view(key, host, now)).collect();
        let mut serving = BTreeMap::<Arc<str>, usize>::new();
        for host in views.iter().filter(|host| counts_for_sharing(host)) {
            *serving.entry(Arc::clone(&host.name)).or_default() += 1;
        }
        for host in &mut views {
            host.shares_name = counts_for_sharing(host) && serving.get(&host.name).is_some_and(|count| *count > 1);
        }
        views
    }

    fn view(&self, key: &HostKey, host: &HostRecord, now: BootTime) -> HostView {
        HostView {
            name: Arc::clone(&key.name),
            instance: key.instance.clone(),
            streams: self.streams_of(key, host),
            acked: host.acked.clone(),
            seen: host.seen,
            max_stale: host.bound(self.longest_max_stale),
            may_serve_for: host.may_serve_for(self.longest_max_stale, now),
            says_bounds: host.names_instance,
            shares_name: false,
            report: host.report.clone(),
        }
    }

    /// Returns whether two hosts that may still answer have this name.
    #[must_use]
    pub fn is_name_shared(&self, name: &str, now: BootTime) -> bool {
        self.of_name(name).map(|(key, host)| self.view(key, host, now)).filter(counts_for_sharing).count() > 1
    }

    /// Returns how many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.hosts.values().map(|host| host.open_streams).sum()
    }

    /// Returns the longest bound of any host, or the longest that is allowed, in seconds.
    #[must_use]
    pub fn longest_bound(&self) -> u64 {
        let longest = self.longest_max_stale;
        self.hosts.values().map(|host| host.bound(longest)).fold(longest, u64::max)
    }

    // On disk

    /// Returns whether what is on disk covers a host's connection and its bound.
    #[must_use]
    pub fn is_covered_on_disk(&self, key: &HostKey) -> bool {
        self.hosts.get(key).is_none_or(HostRecord::is_covered_on_disk)
    }

    /// Returns the hosts that are to be stored now, as they are to be stored: `required` as connected, and those that changed. `at_end`: no
    /// host is written to any more.
    #[must_use]
    pub fn due(&self, required: Option<&HostKey>, at_end: bool, now: BootTime, boot_id: Option<&BootId>) -> Vec<(HostKey, StoredHost)> {
        let due = self.hosts.iter().filter_map(|(key, host)| {
            let is_required = required == Some(key);
            let is_connected = is_required || self.streams_of(key, host) > 0;
            let connected = if at_end { is_connected } else { host.is_stored_as_connected(is_connected, now) };
            let is_due = is_required || host.is_store_due(connected, self.longest_max_stale, now);
            is_due.then(|| (key.clone(), host.to_stored(connected, now, boot_id)))
        });
        due.collect()
    }

    /// Remembers what is on disk of a host.
    pub fn set_stored(&mut self, key: &HostKey, stored: StoredHost) {
        if let Some(host) = self.hosts.get_mut(key) {
            host.set_stored(Some(stored));
        }
    }

    /// Returns the hosts that have lapsed while another of their name has not, and ended streams whose instances are known.
    #[must_use]
    pub fn superseded(&self, now: BootTime) -> BTreeSet<HostKey> {
        let is_serving = |key: &HostKey, host: &HostRecord| !self.view(key, host, now).has_lapsed();
        let superseded = self.hosts.iter().filter(|(key, host)| match key.instance {
            None if host.is_identified => host.open_streams == 0,
            _ => !is_serving(key, host) && self.of_name(&key.name).any(|(other, host)| other != *key && is_serving(other, host)),
        });
        superseded.map(|(key, _)| key.clone()).collect()
    }

    /// Returns the hosts of a name, or one instance of it: those that are not connected, and how many are.
    #[must_use]
    pub fn not_connected(&self, name: &str, instance: Option<&str>) -> (BTreeSet<HostKey>, usize) {
        let matching = self.of_name(name).filter(|(key, _)| instance.is_none() || key.instance.as_deref() == instance);
        let (connected, away): (Vec<_>, Vec<_>) = matching.partition(|(key, host)| self.streams_of(key, host) > 0);
        let shown = connected.iter().filter(|(key, host)| key.instance.is_some() || !host.is_identified);
        (away.into_iter().map(|(key, _)| key.clone()).collect(), shown.count())
    }

    /// Removes hosts that were deleted on disk. One that has connected meanwhile stays, and is not on disk.
    pub fn remove_unless_connected(&mut self, keys: &BTreeSet<HostKey>) {
        for key in keys {
            let is_connected = self.hosts.get(key).is_some_and(|host| self.streams_of(key, host) > 0);
            if let Some(host) = self.hosts.get_mut(key).filter(|_| is_connected) {
                host.set_stored(None);
            } else {
                self.hosts.remove(key);
            }
        }
    }

    fn of_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a HostKey, &'a HostRecord)> {
        self.hosts.range(first_key(&Arc::from(name))..).take_while(move |(key, _)| key.name.as_ref() == name)
    }

    /// Returns how many streams a host has open, or may have.
    fn streams_of(&self, key: &HostKey, host: &HostRecord) -> usize {
        let may_be_unnamed = key.instance.is_some() && !host.names_instance;
        let unnamed = || self.hosts.get(&first_key(&key.name)).map_or(0, |unnamed| unnamed.open_streams);
        host.open_streams + if may_be_unnamed { unnamed() } else { 0 }
    }
}

/// Returns whether a host counts where hosts of one name are counted. Streams without an instance belong to a host that will name it.
fn counts_for_sharing(host: &HostView) -> bool {
    host.instance.is_some() && !host.has_lapsed()
}

/// Returns the first key that a name may have: that of the streams without an instance.
fn first_key(name: &Arc<str>) -> HostKey {
    HostKey { name: Arc::clone(name), instance: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{HostClaim, HostTable, HostView, RegisterError};
    use crate::primary::replication::host_record::tests::{ack, at};
    use crate::primary::replication::host_record::{HostKey, serving_time};

    const DAY: u64 = 86_400;

    fn table() -> HostTable {
        HostTable::new(BTreeMap::new(), DAY)
    }

    fn claim(name: &str, instance: Option<(&str, u64)>) -> HostClaim {
        HostClaim { name: name.into(), instance: instance.map(|(instance, max_stale)| (instance.into(), max_stale)) }
    }

    fn rows(table: &HostTable, seconds: u64) -> Vec<(String, Option<String>, bool, bool)> {
        let row = |host: HostView| {
            (host.name.to_string(), host.instance.as_ref().map(ToString::to_string), host.is_connected(), host.shares_name)
        };
        table.views(at(seconds).boot).into_iter().map(row).collect()
    }

    fn row(name: &str, instance: &str, connected: bool, shares: bool) -> (String, Option<String>, bool, bool) {
        (name.to_owned(), Some(instance.to_owned()), connected, shares)
    }

    #[test]
    fn a_second_instance_of_a_name_is_another_host_until_the_first_has_lapsed() {
        let mut table = table();
        let first = table.open_stream(&claim("ssh-1", Some(("a", 3600))), at(0)).unwrap();
        table.close_stream(&first, at(10));
        table.open_stream(&claim("ssh-1", Some(("b", 60))), at(20)).unwrap();
        assert_eq!(rows(&table, 30), [row("ssh-1", "a", false, true), row("ssh-1", "b", true, true)]);
        assert!(table.is_name_shared("ssh-1", at(30).boot) && table.superseded(at(30).boot).is_empty());
        let lapsed = 10 + serving_time(3600).as_secs() + 1;
        assert_eq!(rows(&table, lapsed), [row("ssh-1", "a", false, false), row("ssh-1", "b", true, false)]);
        assert_eq!(table.superseded(at(lapsed).boot).into_iter().collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn streams_without_an_instance_are_those_of_every_instance_that_never_named_itself() {
        let mut table = table();
        let unnamed = table.open_stream(&claim("old", None), at(0)).unwrap();
        table.open_stream(&claim("old", Some(("new", 60))), at(0)).unwrap();
        assert_eq!(rows(&table, 1).len(), 2, "not known yet whose they are");
        let name = Arc::from("old");
        table.record_ack(&name, ack(1, "a", 60), true, at(2)).unwrap();
        assert_eq!(rows(&table, 3), [row("old", "a", true, true), row("old", "new", true, true)]);
        table.touch(&unnamed, at(1000));
        table.close_stream(&unnamed, at(2000));
        let host = table.views(at(2000).boot).remove(0);
        assert_eq!((host.is_connected(), host.max_stale, host.may_serve_for), (false, DAY, serving_time(DAY)));
        assert_eq!(table.views(at(2000).boot).iter().map(|host| host.says_bounds).collect::<Vec<_>>(), [false, true]);
        assert_eq!(table.superseded(at(2000).boot).into_iter().collect::<Vec<_>>(), [unnamed]);
    }

    #[test]
    fn a_bound_that_is_too_long_is_refused_and_not_taken_for_the_host_s() {
        let mut table = table();
        let refused = RegisterError::BoundTooLong { claimed: 2 * DAY, longest: DAY };
        assert_eq!(table.open_stream(&claim("ssh-1", Some(("a", 2 * DAY))), at(0)), Err(refused));
        assert_eq!(table.views(at(0).boot)[0].max_stale, DAY, "it does not use what was refused");
        table.open_stream(&claim("ssh-1", Some(("a", DAY))), at(1)).unwrap();
        assert_eq!(table.record_ack(&Arc::from("ssh-1"), ack(1, "a", 2 * DAY), true, at(2)), Err(refused));
    }

    #[test]
    fn an_older_host_with_a_bound_that_is_too_long_is_refused_once_it_has_said_so() {
        let mut table = table();
        let stream = table.open_stream(&claim("old", None), at(0)).unwrap();
        assert_eq!(table.check_bound(&stream, None, at(1).boot), Ok(()));
        assert!(table.record_ack(&Arc::from("old"), ack(1, "a", 2 * DAY), true, at(2)).is_err());
        assert!(table.check_bound(&stream, None, at(3).boot).is_err());
        table.close_stream(&stream, at(4));
        assert!(table.open_stream(&claim("old", None), at(5)).is_err());
        assert_eq!(table.views(at(6).boot)[0].max_stale, 2 * DAY, "it may use it");
        assert!(table.open_stream(&claim("old", None), at(2 + 300)).is_ok(), "now and then it may say another bound");
    }

    #[test]
    fn a_host_that_connects_while_it_is_removed_stays_and_is_stored_again() {
        let mut table = table();
        let key = table.open_stream(&claim("ssh-1", Some(("a", 60))), at(0)).unwrap();
        let (away, connected) = table.not_connected("ssh-1", None);
        assert_eq!((away.len(), connected), (0, 1));
        table.close_stream(&key, at(1));
        let (away, connected) = table.not_connected("ssh-1", Some("a"));
        assert_eq!((away.len(), connected), (1, 0));
        assert_eq!(table.not_connected("ssh-1", Some("b")), (std::collections::BTreeSet::new(), 0));
        table.open_stream(&claim("ssh-1", Some(("a", 60))), at(2)).unwrap();
        table.remove_unless_connected(&away);
        assert!(!table.is_covered_on_disk(&HostKey { name: "ssh-1".into(), instance: Some("a".into()) }));
    }
}
