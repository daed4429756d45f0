//! The alarms of a primary, whatever raised them: its store, its sockets, its hosts, and records that lead to one repository.

use crate::api::request::RequestTime;
use crate::api::standing_alarm::{StandingAlarm, socket_alarms};
use crate::primary::metrics::{HOSTS_MISSING, INVALID_RECORDS, SHARED_HOST_NAME, SHARED_REPOSITORIES};
use crate::primary::replication::host_table::SHARED_NAME;
use crate::primary::state::PrimaryState;
use crate::primary::store_health::StoreHealth;

const SHARED_NAME_REMEDY: &str = "give each host its own `host`; `sidegate admin forget-host` the one that is no more";
const SHARED_REPOSITORIES_REMEDY: &str = "give each project of the directory file a repository of its own, and apply it";

const INVALID_RECORDS_REMEDY: &str = "correct them in the directory file, and apply it; the log names them";

/// Returns the alarms that stand: those that the metrics show.
#[must_use]
pub fn standing_alarms(state: &PrimaryState, time: RequestTime) -> Vec<StandingAlarm> {
    let missing = state.missing_hosts.current(time).map(|missing| {
        let message = format!("hosts that this primary does not know may answer without it until {}: {}", missing.until, missing.reason);
        StandingAlarm::new(HOSTS_MISSING, Some(missing.since), message, missing.remedy)
    });
    let one = [store_alarm(&state.store_health()), missing, shared_repositories_alarm(state), invalid_records_alarm(state)];
    one.into_iter().flatten().chain(socket_alarms(&state.server_counters)).chain(shared_names(state, time)).collect()
}

fn store_alarm(health: &StoreHealth) -> Option<StandingAlarm> {
    let (kind, message, remedy) = (health.alarm()?, health.message()?, health.remedy()?);
    Some(StandingAlarm::new(kind, health.since(), message, remedy))
}

/// Returns one alarm for each name that several hosts have.
fn shared_names(state: &PrimaryState, time: RequestTime) -> impl Iterator<Item = StandingAlarm> {
    let hosts = state.hosts.list(time.boot).into_iter().filter(|host| host.shares_name);
    let names: std::collections::BTreeSet<_> = hosts.map(|host| host.name).collect();
    names.into_iter().map(|name| StandingAlarm::new(SHARED_HOST_NAME, None, format!("{name}: {SHARED_NAME}"), SHARED_NAME_REMEDY))
}

fn shared_repositories_alarm(state: &PrimaryState) -> Option<StandingAlarm> {
    let count = state.store.directory().shared_repositories().count();
    let message = format!("{count} places of repositories have two records that lead there: neither is answered");
    (count > 0).then(|| StandingAlarm::new(SHARED_REPOSITORIES, None, message, SHARED_REPOSITORIES_REMEDY))
}

fn invalid_records_alarm(state: &PrimaryState) -> Option<StandingAlarm> {
    let count = state.store.directory().invalid_records().map_or(0, |invalid| invalid.count());
    let message = format!("{count} records break the grammar of a field, and answer nothing");
    (count > 0).then(|| StandingAlarm::new(INVALID_RECORDS, None, message, INVALID_RECORDS_REMEDY))
}
