//! The alarms of a host, whatever raised them: following, its sockets, and what it keeps of a GitLab.

use serde_json::Value;

use crate::api::standing_alarm::{AlarmKind, StandingAlarm, socket_alarms};
use crate::model::time::BootTime;
use crate::sidecar::alarm_kinds::{KEPT_STORE, LOOK_AT_GITLAB, MASS_NEGATIVE};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::state::SidecarState;

/// Returns the alarms that stand. `follower` is the status of the replica.
#[must_use]
pub fn standing_alarms(state: &SidecarState, follower: &Value, now: BootTime) -> Vec<StandingAlarm> {
    let following = follower["alarms"].as_array().into_iter().flatten().map(follower_alarm);
    let kept = state.kept.iter().flat_map(|kept| [mass_negative_alarm(kept, now), kept_store_alarm(&kept.answers)].into_iter().flatten());
    following.chain(socket_alarms(&state.config.server_counters)).chain(kept).collect()
}

/// Returns an alarm of the replica in the shape of all others.
fn follower_alarm(alarm: &Value) -> StandingAlarm {
    let text = |name: &str| alarm[name].as_str().unwrap_or_default().to_owned();
    StandingAlarm { kind: text("alarm"), since: text("since").parse().ok(), message: text("message"), remedy: text("remedy") }
}

/// Returns what to know while a GitLab does not know most keys, and who of them is let in or refused.
fn mass_negative_alarm(kept: &KeptService, now: BootTime) -> Option<StandingAlarm> {
    let guard = kept.answers.guard_status(now);
    let (hold, remaining) = guard.hold?;
    let (unknown, asked, keys) = (hold.counts.unknown, hold.counts.asked, guard.unknown_keys);
    let what = format!("the GitLab did not know {unknown} of the {asked} keys that it was asked about within a minute and knew before");
    let (message, remedy) = if kept.shadow.is_some() {
        let would_be = guard.config.hold.as_secs();
        let then = format!(
            "in shadow mode its answer is given, so {keys} such keys are refused; after a switch they would be let in for {would_be} s"
        );
        (format!("{what}; {then}"), LOOK_AT_GITLAB)
    } else {
        let then = format!("{keys} such keys are let in for {} s more, or until a restart", remaining.as_secs());
        (format!("{what}; {then}"), MASS_NEGATIVE.remedy)
    };
    let kind = AlarmKind { remedy, ..MASS_NEGATIVE };
    Some(StandingAlarm::new(kind, Some(hold.since.wall), message))
}

/// Returns what to know while what is kept would not survive a restart.
fn kept_store_alarm(kept: &KeptAnswers) -> Option<StandingAlarm> {
    let status = kept.store().status();
    let since = status.in_memory_since?;
    let reason = status.state.strip_prefix("in memory only: ").unwrap_or(&status.state);
    let message = format!("what is kept is in memory only, and does not survive a restart: {reason}");
    Some(StandingAlarm::new(KEPT_STORE, Some(since), message))
}
