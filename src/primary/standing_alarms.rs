//! The alarms of a primary, whatever raised them: its store, its sockets, its hosts, and records that lead to one repository.

use crate::api::request::RequestTime;
use crate::api::standing_alarm::{AlarmKind, StandingAlarm, socket_alarms};
use crate::primary::alarm_kinds::{HOSTS_MISSING, INVALID_RECORDS, SHARED_HOST_NAME, SHARED_REPOSITORIES};
use crate::primary::replication::host_table::SHARED_NAME;
use crate::primary::state::PrimaryState;
use crate::primary::store_health::StoreHealth;

/// Returns the alarms that stand: those that the metrics show.
#[must_use]
pub fn standing_alarms(state: &PrimaryState, time: RequestTime) -> Vec<StandingAlarm> {
    let missing = state.missing_hosts.current(time).map(|missing| {
        let message = format!("hosts that this primary does not know may answer without it until {}: {}", missing.until, missing.reason);
        let kind = AlarmKind { remedy: missing.remedy, ..HOSTS_MISSING };
        StandingAlarm::new(kind, Some(missing.since), message)
    });
    let one = [store_alarm(&state.store_health()), missing, shared_repositories_alarm(state), invalid_records_alarm(state)];
    one.into_iter().flatten().chain(socket_alarms(&state.server_counters)).chain(shared_names(state, time)).collect()
}

fn store_alarm(health: &StoreHealth) -> Option<StandingAlarm> {
    Some(StandingAlarm::new(health.alarm()?, health.since(), health.message()?))
}

/// Returns one alarm for each name that several hosts have.
fn shared_names(state: &PrimaryState, time: RequestTime) -> impl Iterator<Item = StandingAlarm> {
    let hosts = state.hosts.list(time.boot).into_iter().filter(|host| host.shares_name);
    let names: std::collections::BTreeSet<_> = hosts.map(|host| host.name).collect();
    names.into_iter().map(|name| StandingAlarm::new(SHARED_HOST_NAME, None, format!("{name}: {SHARED_NAME}")))
}

fn shared_repositories_alarm(state: &PrimaryState) -> Option<StandingAlarm> {
    let count = state.store.directory().shared_repositories().count();
    let message = format!("{count} places of repositories have two records that lead there: neither is answered");
    (count > 0).then(|| StandingAlarm::new(SHARED_REPOSITORIES, None, message))
}

fn invalid_records_alarm(state: &PrimaryState) -> Option<StandingAlarm> {
    let count = state.store.directory().invalid_records().map_or(0, |invalid| invalid.count());
    let message = format!("{count} records break the grammar of a field, and answer nothing");
    (count > 0).then(|| StandingAlarm::new(INVALID_RECORDS, None, message))
}
