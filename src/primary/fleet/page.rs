//! The fleet page as HTML: one document, with its style and its script inside, which loads nothing from elsewhere.
//!
//! Without JavaScript it loads itself anew every ten seconds; with it, the parts that changed are replaced, so that focus and scrolling stay.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::model::time::Time;
use crate::primary::fleet::overview::{HostRow, HostState, Overview};
use crate::primary::fleet::revocations_in_flight::{InFlight, Incomplete, Revoked};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// So many hosts are shown where not all are asked for.
const SHOWN_HOSTS: usize = 200;

/// Returns what a browser may do with the page: use its own style and script, and ask for it again.
#[must_use]
pub fn content_security_policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// Returns the page. `all`: with every host, however many there are.
#[must_use]
pub fn render(fleet: &Overview, all: bool) -> String {
    let (class, verdict) = verdict(fleet);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (verdict) " - sidegate fleet" }
                noscript { meta http-equiv="refresh" content="10"; }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#hosts" { "Skip to the hosts" }
                header {
                    h1 { "sidegate fleet" }
                    p #updated role="status" { "As of " (fleet.now.to_string()) }
                }
                main {
                    div data-part="verdict" class=(format!("verdict {class}")) role="status" { (verdict) }
                    div data-part="figures" { (figures(fleet)) }
                    div data-part="alarms" { (alarms(fleet)) }
                    div data-part="revocations" { (revocations(fleet)) }
                    h2 #hosts { "Hosts" }
                    div data-part="hosts" { (hosts(fleet, all)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Returns how it stands, in a class and a sentence.
fn verdict(fleet: &Overview) -> (&'static str, String) {
    let (trouble, away, behind) = (fleet.count(HostState::Trouble), fleet.count(HostState::Away), fleet.count(HostState::Behind));
    let mut wrong = Vec::new();
    for (count, what) in [(fleet.alarms.len(), "alarm"), (trouble, "host needs a look"), (away, "host away"), (behind, "host behind")] {
        if count > 0 {
            wrong.push(counted(count, what));
        }
    }
    let class = match () {
        () if !fleet.alarms.is_empty() || trouble > 0 => "bad",
        () if away > 0 || behind > 0 || fleet.missing.is_some() => "warn",
        () => "well",
    };
    match (wrong.is_empty(), fleet.hosts.is_empty()) {
        (false, _) => (class, wrong.join(", ")),
        (true, true) => (class, "no host has followed yet".to_owned()),
        (true, false) => (class, "every host follows and has confirmed the last commit".to_owned()),
    }
}

/// Returns a number with its noun, which is the first word of `what`.
fn counted(count: usize, what: &str) -> String {
    let (noun, rest) = what.split_once(' ').map_or((what, String::new()), |(noun, rest)| (noun, format!(" {rest}")));
    match count {
        1 => format!("1 {noun}{rest}"),
        _ => format!("{count} {noun}s{}", rest.replace(" needs ", " need ")),
    }
}

fn figures(fleet: &Overview) -> Markup {
    let following = fleet.count(HostState::Following) + fleet.count(HostState::Behind) + fleet.count(HostState::Trouble);
    html! {
        dl {
            div { dt { "Hosts connected" } dd { (following) " of " (fleet.hosts.len()) } }
            div { dt { "Last commit" } dd { (fleet.head.seq) } }
            div { dt { "Records" } dd { (fleet.head.state.count) } }
            div { dt { "This " (fleet.daemon) } dd { (fleet.version) } }
            div { dt { "Running for" } dd { (span(fleet.since, fleet.now)) } }
        }
    }
}

fn alarms(fleet: &Overview) -> Markup {
    html! {
        @if !fleet.alarms.is_empty() {
            h2 { "Alarms" }
            ul.alarms {
                @for alarm in &fleet.alarms {
                    li {
                        b { (alarm.kind) } ": " (alarm.message)
                        @if let Some(since) = alarm.since { " Since " (moment(since, fleet.now)) "." }
                        br; "To do: " (alarm.remedy)
                    }
                }
            }
        }
    }
}

fn revocations(fleet: &Overview) -> Markup {
    let InFlight { revocations, unknown } = &fleet.in_flight;
    html! {
        h2 { "Revocations in flight" }
        @if revocations.is_empty() && unknown.is_none() && fleet.missing.is_none() {
            p { "None: what was revoked is in force on every host that may answer." }
        }
        @if let Some(missing) = &fleet.missing {
            p.warn { "Hosts that are not listed may answer until " (missing.until.to_string()) ": " (missing.reason) "." }
        }
        @if let Some(reason) = unknown {
            p.warn { (match reason {
                Incomplete::BeforeTheJournal => "A host has confirmed nothing that is known here. It may lack revocations that are not listed.",
                Incomplete::TooMany => "There are more than are listed.",
            }) }
        }
        @if !revocations.is_empty() {
            table {
                thead { tr { th scope="col" { "Revoked" } th scope="col" { "Commit" } th scope="col" { "Not confirmed by" } th scope="col" { "In force everywhere" } } }
                tbody {
                    @for revocation in revocations {
                        tr {
                            th scope="row" data-label="Revoked" { span { (revoked(&revocation.what)) } }
                            td data-label="Commit" { (revocation.seq) }
                            td data-label="Not confirmed by" { (names(&revocation.waits_for)) }
                            td data-label="In force everywhere" {
                                span { @if revocation.is_reached { "once they confirm it; if they are not reached any more, " }
                                    "at the latest at " (revocation.until.to_string()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn revoked(what: &Revoked) -> String {
    match what {
        Revoked::Key(id) => format!("key {id} is removed"),
        Revoked::User(username, state) => {
            let state = serde_json::to_value(state).ok().and_then(|state| state.as_str().map(|state| state.replace('_', " ")));
            format!("user {username} is {}", state.unwrap_or_default())
        }
        Revoked::RemovedUser(identity) => format!("user {identity} is removed"),
    }
}

fn names(hosts: &[std::sync::Arc<str>]) -> String {
    const NAMED: usize = 5;
    let mut text = hosts.iter().take(NAMED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if hosts.len() > NAMED {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {} more", hosts.len() - NAMED);
    }
    text
}

fn hosts(fleet: &Overview, all: bool) -> Markup {
    let shown = if all { fleet.hosts.len() } else { fleet.hosts.len().min(SHOWN_HOSTS) };
    html! {
        @if shown < fleet.hosts.len() {
            p { "The first " (shown) " of " (fleet.hosts.len()) ", those that need a look first. " a href="?hosts=all" { "Show all" } }
        }
        table {
            thead { tr {
                @for title in ["Host", "State", "Behind", "Confirmed", "Answers without us for", "Version", "Alarms"] { th scope="col" { (title) } }
            } }
            tbody { @for host in fleet.hosts.iter().take(shown) { (host_row(host, fleet.now)) } }
        }
    }
}

fn host_row(host: &HostRow, now: Time) -> Markup {
    let (class, state) = match host.state {
        HostState::Trouble => ("bad", "needs a look"),
        HostState::Away => ("warn", "away"),
        HostState::Behind => ("warn", "behind"),
        HostState::Following => ("well", "following"),
        HostState::Lapsed => ("", "away, answers nothing"),
    };
    let behind = match host.behind {
        Some(0) => "-".to_owned(),
        Some(1) => "1 commit".to_owned(),
        Some(behind) => format!("{behind} commits"),
        None => "nothing confirmed yet".to_owned(),
    };
    html! {
        tr {
            th scope="row" data-label="Host" { span { (host.name) } }
            td data-label="State" { span class=(class) { (state) @if host.state == HostState::Away { ", last seen " (moment(host.seen, now)) } } }
            td data-label="Behind" { (behind) }
            td data-label="Confirmed" { @match host.confirmed { Some(at) => span { (moment(at, now)) }, None => "never" } }
            td data-label="Answers without us for" {
                span { (seconds_text(host.max_stale))
                    @if host.state == HostState::Away { " (until " (host.may_answer_until.to_string()) ")" } }
            }
            td data-label="Version" { (host.version.as_deref().unwrap_or("not said")) }
            td data-label="Alarms" { @if host.alarms.is_empty() { "none" } @else { span.bad { (host.alarms.join(", ")) } } }
        }
    }
}

/// Returns a moment as `3 min ago`, with the exact time for whoever looks closer.
fn moment(at: Time, now: Time) -> Markup {
    html! { time datetime=(at.to_string()) title=(at.to_string()) { (span(at, now)) " ago" } }
}

fn span(from: Time, to: Time) -> String {
    seconds_text(to.since(from).as_secs())
}

/// Returns a span of time in its largest whole unit.
fn seconds_text(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
