//! The screen of a primary, and what a mirror's has in common with it: hosts, alarms, the store.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::status::screen::{Finding, Level, Screen, Weight};
use crate::cli::status::sidecar_findings::alarm_findings;
use crate::cli::status::sidecar_numbers::sockets_line;
use crate::cli::status::view::{AlarmView, HeadView, SocketsView};
use crate::cli::units::{bytes_text, count_text, duration_text, since_text, time_text};
use crate::model::time::Time;

/// The parts of a primary's status that the screen shows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrimaryDaemonView {
    pub now: Option<Time>,
    pub version: String,
    pub since: Option<Time>,
    pub head: HeadView,
    pub records: BTreeMap<String, u64>,
    pub revocations: Option<Revocations>,
    pub store: StoreView,
    pub store_bytes: Option<u64>,
    pub disk_free_bytes: Option<u64>,
    pub alarms: Vec<AlarmView>,
    pub hosts: u64,
    pub hosts_following: u64,
    pub hosts_behind: u64,
    pub hosts_away: u64,
    pub away: Vec<AwayHost>,
    pub hosts_overdue: u64,
    pub overdue: Vec<String>,
    pub accept_loss_until: Option<Time>,
    pub creation: Option<Creation>,
    pub sockets: SocketsView,
    pub usage_dropped: u64,
}

/// How much is revoked against directory files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Revocations {
    keys: u64,
    users: u64,
}

/// Whether the store can be written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StoreView {
    state: String,
}

/// A host that is not connected and may still answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AwayHost {
    host: String,
    last_seen: Option<Time>,
    may_answer_seconds: u64,
}

/// How repositories are created.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Creation {
    repositories: String,
    under_way: u64,
    last_failure: Option<CreationFailure>,
}

/// The last failure of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreationFailure {
    at: Option<Time>,
    reason: String,
}

/// Returns the screen. Fails for JSON that is not a primary's status.
pub fn screen(status: &Value) -> Result<Screen, serde_json::Error> {
    let view: PrimaryDaemonView = Deserialize::deserialize(status)?;
    let verdict = format!("serving: commit {}, {}, {}, {} alarms", view.head.seq, hosts_text(&view), disk_text(&view), view.alarms.len());
    Ok(Screen { level: level(&view), verdict, findings: findings(&view), numbers: numbers(&view) })
}

impl PrimaryDaemonView {
    /// Returns its wall clock when it was asked.
    pub fn now(&self) -> Time {
        self.now.unwrap_or(Time::EPOCH)
    }

    /// Returns whether no alarm stands, every host that may answer follows, and each has confirmed what is published.
    pub fn is_well(&self) -> bool {
        self.alarms.is_empty() && self.hosts_away == 0 && self.hosts_overdue == 0
    }
}

fn level(view: &PrimaryDaemonView) -> Level {
    if view.is_well() { Level::Well } else { Level::Degraded }
}

/// Returns how many hosts follow, and for how many a revocation may wait.
pub fn hosts_text(view: &PrimaryDaemonView) -> String {
    let following = format!("{} of {} following", view.hosts_following, count_text(view.hosts, "host"));
    let waiting = match view.hosts_behind {
        0 => "no revocation waits".to_owned(),
        behind => format!("revocations may wait for {}", count_text(behind, "host")),
    };
    format!("{following}, {waiting}")
}

fn disk_text(view: &PrimaryDaemonView) -> String {
    let free = view.disk_free_bytes.map_or_else(|| "free space unknown".to_owned(), |free| format!("{} free", bytes_text(free)));
    match view.store.state.as_str() {
        "writable" => format!("disk {free}"),
        state => format!("disk {}, {free}", state.replace('_', " ")),
    }
}

/// Returns what is wrong with a primary or a mirror, and its hosts.
pub fn findings(view: &PrimaryDaemonView) -> Vec<Finding> {
    let mut findings = alarm_findings(&view.alarms, view.now());
    findings.extend(view.away.iter().map(|host| away_finding(host, view.now())));
    if let Some(rest @ 1..) = view.hosts_away.checked_sub(view.away.len() as u64) {
        findings.push(Finding::new(
            Weight::Problem,
            format!("{} more are away", count_text(rest, "host")),
            Some("see `sidegate admin hosts`"),
        ));
    }
    findings.extend(overdue_finding(view));
    if let Some(until) = view.accept_loss_until {
        let text = format!("a loss is accepted until {}: hosts take a snapshot that lacks many of their keys", time_text(until));
        findings.push(Finding::new(Weight::Note, text, None));
    }
    if let Some(failure) = view.creation.as_ref().and_then(|creation| creation.last_failure.as_ref()) {
        let at = failure.at.map_or_else(String::new, |at| format!(", {}", since_text(at, view.now())));
        let text = format!("the last project whose repositories could not be made{at}: {}", failure.reason);
        findings.push(Finding::new(
            Weight::Note,
            text,
            Some("see that Gitaly answers at the address of the storage's record, and takes its token"),
        ));
    }
    findings
}

fn away_finding(host: &AwayHost, now: Time) -> Finding {
    let (name, left) = (&host.host, duration_text(host.may_answer_seconds));
    let seen = host.last_seen.map_or_else(String::new, |seen| format!(", last seen {}", since_text(seen, now)));
    let text = format!("host {name} is away{seen}: it may let in what is revoked meanwhile for {left} more");
    let remedy = format!("run `sidegate status` there; if it is gone for good, `sidegate admin forget-host {name}`");
    Finding::new(Weight::Problem, text, Some(&remedy))
}

/// Returns which hosts owe a confirmation: also one that is connected and hangs, which may let in what was revoked.
fn overdue_finding(view: &PrimaryDaemonView) -> Option<Finding> {
    let count = match view.hosts_overdue {
        0 => return None,
        1 => "1 host has".to_owned(),
        count => format!("{count} hosts have"),
    };
    let more = if view.overdue.len() as u64 == view.hosts_overdue { "" } else { ", …" };
    let text = format!("{count} not confirmed the last commit for 90 s: {}{more}", view.overdue.join(", "));
    Some(Finding::new(Weight::Problem, text, Some("see `sidegate admin hosts`, run `sidegate status` there")))
}

fn numbers(view: &PrimaryDaemonView) -> Vec<String> {
    let all: u64 = view.records.values().sum();
    let kinds: Vec<String> = view.records.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let size = view.store_bytes.map_or_else(|| "unknown size".to_owned(), bytes_text);
    let mut lines = vec![
        format!("directory: {} at commit {}: {}", count_text(all, "record"), view.head.seq, kinds.join(", ")),
        format!("hosts: {}, {} away, {} behind", hosts_following(view), view.hosts_away, view.hosts_behind),
        format!("store: {}, {size}; {}", view.store.state.replace('_', " "), disk_text(view)),
    ];
    lines.extend(view.revocations.as_ref().map(|revoked| {
        format!("revocations held against files: {}, {}", count_text(revoked.keys, "key"), count_text(revoked.users, "user"))
    }));
    lines.extend(
        view.creation
            .as_ref()
            .map(|creation| format!("repositories of created projects: {}, {} being made", creation.repositories, creation.under_way)),
    );
    lines.push(format!("notes of use that were dropped: {}", view.usage_dropped));
    lines.push(sockets_line(&view.sockets));
    lines.push(format!("sidegate primary {}{}", view.version, up_text(view)));
    lines
}

fn hosts_following(view: &PrimaryDaemonView) -> String {
    format!("{} of {} following", view.hosts_following, view.hosts)
}

/// Returns since when it runs, after a comma.
pub fn up_text(view: &PrimaryDaemonView) -> String {
    view.since.map_or_else(String::new, |since| format!(", up since {}", since_text(since, view.now())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::screen;
    use crate::cli::status::screen::{Colour, Level};

    fn status(overdue: &[&str], count: u64) -> Value {
        json!({"daemon": "primary", "head": {"seq": 7}, "hosts": 12, "hosts_following": 12, "hosts_overdue": count, "overdue": overdue})
    }

    #[test]
    fn a_host_that_does_not_confirm_the_last_commit_is_named_and_makes_it_degraded() {
        let shown = |overdue: &[&str], count| {
            let screen = screen(&status(overdue, count)).unwrap();
            (screen.level, screen.lines(Colour::Off).join("\n"))
        };
        let (level, text) = shown(&[], 0);
        assert!(level == Level::Well && !text.contains("not confirmed"), "{text}");
        let (level, text) = shown(&["ssh-1"], 1);
        assert!(level == Level::Degraded && text.contains("\n1 host has not confirmed the last commit for 90 s: ssh-1\n"), "{text}");
        assert!(text.contains("  to do: see `sidegate admin hosts`, run `sidegate status` there\n"), "{text}");
        let (_, text) = shown(&["ssh-1", "ssh-2"], 9);
        assert!(text.contains("9 hosts have not confirmed the last commit for 90 s: ssh-1, ssh-2, …\n"), "{text}");
    }
}
