//! What is wrong with a sidecar, in words, with since when and what to do; alarms first. Then what is to be known and is not wrong.

use crate::cli::status::screen::{Finding, Weight};
use crate::cli::status::view::{AlarmView, AnswerSource, ClassVerdict, ClassView, PrimaryContact, SidecarView};
use crate::cli::units::{count_text, duration_text, since_text};
use crate::model::time::Time;
use crate::net::client::primary_url::PrimaryUrl;

/// Alarms for which the feed is given up, or not taken, until what they say is done.
const FEED_ALARMS: [&str; 3] = ["forbidden", "primary_went_back", "garbled"];

/// Returns all findings of a host.
#[must_use]
pub fn findings(view: &SidecarView) -> Vec<Finding> {
    let mut findings = alarm_findings(&view.alarms, view.now());
    findings.extend(contact_finding(view));
    findings.extend(following_finding(view));
    findings.extend(freshness_findings(view));
    findings.extend(proof_finding(view.follower.proof.as_deref()));
    findings.extend(bound_finding(view));
    findings.extend(notes(view));
    findings
}

/// Returns the alarms that stand, and that the feed is lost.
#[must_use]
pub fn standing_findings(view: &SidecarView) -> Vec<Finding> {
    let mut findings = alarm_findings(&view.alarms, view.now());
    findings.extend(following_finding(view));
    findings
}

/// Returns the alarms of any daemon.
#[must_use]
pub fn alarm_findings(alarms: &[AlarmView], now: Time) -> Vec<Finding> {
    let finding = |alarm: &AlarmView| {
        let since = alarm.since.map_or_else(String::new, |since| format!(" since {}", since_text(since, now)));
        let remedy = Some(alarm.remedy.as_str()).filter(|remedy| !remedy.is_empty());
        Finding::new(Weight::Alarm, format!("ALARM {}{since}: {}", alarm.kind, alarm.message), remedy)
    };
    alarms.iter().map(finding).collect()
}

/// Returns that the primary does not answer, or refuses what this host signs.
fn contact_finding(view: &SidecarView) -> Option<Finding> {
    let (primary, name, url) = (&view.primary, view.primary_name(), &view.primary.url);
    let since = primary.failing_since.map_or_else(String::new, |since| format!(" since {}", since_text(since, view.now())));
    let reason = primary.failure.as_deref().unwrap_or("no reason is known");
    let finding = |what: String, remedy: String| Some(Finding::new(Weight::Problem, what, Some(&remedy)));
    match primary.state {
        PrimaryContact::Silent => finding(
            format!("{name} has not answered{since}: {reason}; it is asked again every second"),
            format!("look whether it runs and can be reached from here, {url}"),
        ),
        PrimaryContact::Fails => finding(
            format!("{name} has given no usable answer{since}: {reason}; it is asked again every second"),
            format!("look at what answers there, {url}: its own log, and that of a proxy before it"),
        ),
        PrimaryContact::Refuses => finding(
            format!("{name} refuses this host{since}: {reason}; it is asked again every second"),
            format!(
                "compare `auth.shell_secret_file` (or `primary.shell_secret_file`) with the secret there, and both clocks; look whether {url} is its API"
            ),
        ),
        PrimaryContact::Answers | PrimaryContact::Slow | PrimaryContact::NotAsked => None,
    }
}

/// Returns that the feed is lost.
fn following_finding(view: &SidecarView) -> Option<Finding> {
    let since = view.not_following_since()?;
    let of = if view.source() == AnswerSource::Directory { "primary" } else { "mirror" };
    let reason = view.follower.last_error.as_ref().map_or_else(|| "it is not connected yet".to_owned(), |error| error.message.clone());
    let url = view.feed.as_ref().map_or("", |feed| feed.url.as_str());
    let is_primary_heard = of == "primary" && view.primary.state == PrimaryContact::Answers;
    let alarm = view.alarms.iter().find(|alarm| FEED_ALARMS.contains(&alarm.kind.as_str()));
    let remedy = if let Some(alarm) = alarm {
        format!("as for the alarm `{}` above; following goes on by itself then", alarm.kind)
    } else if is_primary_heard {
        format!("it answers questions, but not the feed: look at its log, and at what stands between, {url}; following goes on by itself")
    } else {
        format!("make the {of} answer from here, {url}; following goes on by itself")
    };
    let text = format!("the feed of the {of} is not connected since {}: {reason}", since_text(since, view.now()));
    Some(Finding::new(Weight::Problem, text, Some(&remedy)))
}

fn freshness_findings(view: &SidecarView) -> Vec<Finding> {
    let classes = [("keys", &view.freshness.keys), ("reads", &view.freshness.reads), ("push_precheck", &view.freshness.push_precheck)];
    let mut found: Vec<(Vec<&str>, [String; 2])> = Vec::new();
    for (name, class) in classes {
        let Some(texts) = class_finding(view, class) else { continue };
        match found.iter_mut().find(|(_, others)| *others == texts) {
            Some((names, _)) => names.push(name),
            None => found.push((vec![name], texts)),
        }
    }
    let text = |(names, [since, then]): (Vec<&str>, [String; 2])| format!("{since}: {}: {then}", names.join(", "));
    found.into_iter().map(|found| Finding::new(Weight::Problem, text(found), None)).collect()
}

/// Returns since when a class is stale or expired, and what that means.
fn class_finding(view: &SidecarView, class: &ClassView) -> Option<[String; 2]> {
    let since = class.verdict_since.map_or_else(String::new, |since| format!(" since {}", since_text(since, view.now())));
    let name = view.primary_name();
    match class.verdict {
        ClassVerdict::Fresh => None,
        ClassVerdict::Stale => {
            let most = duration_text(class.max_stale_seconds);
            let left = class.expires_in_seconds.map_or_else(String::new, |left| format!(", {} from now", duration_text(left)));
            let then = format!("{name} is asked first, and while it fails what is held is given until it is {most} old{left}");
            Some([format!("stale{since}"), then])
        }
        ClassVerdict::Expired => {
            let then = format!("nothing is answered from here, {name} is asked, and while it fails people are told of an outage");
            Some([format!("expired{since}"), then])
        }
    }
}

/// Returns what to know of a proof that was not dated by an exchange: it makes nothing fresh.
fn proof_finding(proof: Option<&str>) -> Option<Finding> {
    match proof? {
        "arrival" => Some(Finding::new(
            Weight::Problem,
            "the primary is of an older version, whose feed carries no clock: how old its data is cannot be proven, and every question is asked first",
            Some("update the primary"),
        )),
        "wall_clocks" => Some(Finding::new(
            Weight::Note,
            "the primary's clock has not been compared with this host's yet: until then every question is asked first",
            None,
        )),
        _ => None,
    }
}

/// Returns what to know of a bound that the primary has not confirmed.
fn bound_finding(view: &SidecarView) -> Option<Finding> {
    let (configured, confirmed) = (view.follower.max_stale_seconds, view.follower.confirmed_max_stale_seconds);
    (view.feed.is_some() && confirmed < configured).then(|| {
        let [configured, confirmed] = [configured, confirmed].map(duration_text);
        let text = format!(
            "the primary has not confirmed the largest max_stale of {configured} yet: until it does, nothing older than {confirmed} is answered"
        );
        Finding::new(Weight::Problem, text, Some("wait until the primary answers; if it does, see its log"))
    })
}

/// Returns what is to be known, and is not wrong.
fn notes(view: &SidecarView) -> Vec<Finding> {
    let (follower, now) = (&view.follower, view.now());
    let mut notes = Vec::new();
    let mut note = |text: String, remedy: Option<&str>| notes.push(Finding::new(Weight::Note, text, remedy));
    let shows_keys = |url: &str| PrimaryUrl::parse(url, false).is_err() && PrimaryUrl::parse(url, true).is_ok();
    if let Some(address) = view.primary.addresses.iter().find(|address| shows_keys(&address.url)) {
        let what =
            format!("`primary.insecure_http` is in use: keys, tokens and answers can be read and changed on the way to {}", address.url);
        note(what, Some("name the primary by https://, and remove `primary.insecure_http`"));
    }
    if let Some(reason) = &follower.resyncing {
        let since = follower.resyncing_since.map_or_else(String::new, |since| format!(" since {}", since_text(since, now)));
        let then = if follower.cursor.is_some() { "; answers go on from what is here" } else { "" };
        note(format!("a whole snapshot is being fetched{since}, because {reason}{then}"), None);
    }
    if follower.cursor.is_some() && !follower.whole {
        note("the store has not been found whole yet: until then no key is denied from it, but asked about".to_owned(), None);
    }
    if follower.foreign > 0 {
        let records = count_text(follower.foreign, "record");
        note(format!("{records} of a newer primary cannot be read wholly: every `allowed` is asked"), Some("update sidegate on this host"));
    }
    if let Some(invalid @ 1..) = follower.invalid_records {
        let records = count_text(invalid, "record");
        note(format!("{records} of the directory break the grammar of a field, and answer nothing"), Some("correct them at the primary"));
    }
    if view.primary.denials_kept > 0 {
        let denials = count_text(view.primary.denials_kept, "denial");
        note(format!("{denials} of the primary are kept beside the store until the feed has caught up: they refuse what it grants"), None);
    }
    if view.primary.state == PrimaryContact::Slow {
        let last = view.primary.last_hedged.map_or_else(String::new, |last| format!(", the last {}", since_text(last, now)));
        let (name, hedge) = (view.primary_name(), view.primary.hedge_milliseconds);
        let given = count_text(view.primary.answers_hedged, "time");
        note(
            format!("{name} is slow: {given} it had not answered within {hedge} ms and what is held was given{last}"),
            Some("look at its load; nobody whom this host knows waits for it"),
        );
    }
    notes
}
