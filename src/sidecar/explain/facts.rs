//! The facts of an explanation, one sentence each: what the directory has of whom and what is asked, and the state of this host.

use std::time::Duration;

use crate::api::request::RequestTime;
use crate::model::explanation::UserFacts;
use crate::rules::explain::DirectoryFindings;
use crate::sidecar::explain::evidence::freshness_name;
use crate::sidecar::local_view::LocalView;
use crate::sidecar::state::SidecarState;

/// Returns what the directory says, a sentence for each record.
pub fn directory_facts(findings: &DirectoryFindings) -> Vec<String> {
    let mut facts = Vec::new();
    match findings.key_facts() {
        Some(key) => {
            let kind = if key.deploy == Some(true) { "deploy key" } else { "key" };
            let end = key.expires_at.map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"));
            let (algorithm, fingerprint) = (key.algorithm.unwrap_or_default(), key.fingerprint.unwrap_or_default());
            facts.push(format!("{kind} {}: {algorithm} {fingerprint}, {end}", key.id));
        }
        None if findings.user_facts().is_none() => facts.push("the directory here has no such key or user".to_owned()),
        None => {}
    }
    if let Some(UserFacts { id, username, state }) = findings.user_facts() {
        facts.push(format!("user {username} ({id}): {}", state.unwrap_or_default().replace('_', " ")));
    }
    if let Some(project) = findings.project_facts() {
        let role = project.role.map_or_else(|| "no role in it".to_owned(), |role| format!("role {role}"));
        facts.push(format!("project {} ({}): {}, {role}", project.path, project.id, project.visibility));
    } else if findings.access.is_some() {
        facts.push("the directory here has no such project".to_owned());
    }
    if !findings.allowed_ips.is_empty() {
        facts.push(format!("its root group is given only to {}; the client's address is --check-ip", findings.allowed_ips.join(", ")));
    }
    facts
}

/// Returns what to know of this host: how current its directory is, and what is wrong.
pub fn host_facts(state: &SidecarState, view: &LocalView, time: RequestTime) -> Vec<String> {
    let mut facts = Vec::new();
    if state.config.follows_feed || state.mirror.is_some() {
        let name = freshness_name(view.freshness);
        facts.push(match view.age {
            Some(age) => format!("the directory here was proven current {} ago: {name}", age_text(age)),
            None => "the directory here was never proven current".to_owned(),
        });
    }
    if let Some(outage) = state.upstream.channel().addresses.outage() {
        facts.push(format!("the primary has not answered since {}: {}", outage.since, outage.reason));
    }
    let status = (state.config.replica_control.status)();
    if let Some(since) = status["lost_since"].as_str().filter(|_| state.config.follows_feed || state.mirror.is_some()) {
        facts.push(format!("the feed is lost since {since}"));
    }
    if let Some(why) = status["resyncing"].as_str() {
        facts.push(format!("a whole snapshot is being loaded ({why}); the present copy goes on answering"));
    }
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        let (message, since) = (alarm["message"].as_str().unwrap_or_default(), alarm["since"].as_str().unwrap_or_default());
        facts.push(format!("alarm since {since}: {message}"));
    }
    let guard = state.kept.as_ref().map(|kept| kept.answers.guard_status(time.boot));
    if let Some((_, left)) = guard.and_then(|guard| guard.hold) {
        facts.push(format!("the primary does not know most keys that it knew: their yes is given for {} more", age_text(left)));
    }
    facts
}

/// Returns an age or a time that is left in the unit that a person would use.
fn age_text(age: Duration) -> String {
    match age.as_secs() {
        0..=119 => format!("{:.1} s", age.as_secs_f64()),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::age_text;

    #[test]
    fn an_age_has_the_unit_that_a_person_would_use() {
        let texts = [0, 90, 600, 10_800, 260_000].map(|seconds| age_text(Duration::from_secs(seconds)));
        assert_eq!(texts, ["0.0 s", "90.0 s", "10 min", "3 h", "3 days"]);
    }
}
