//! The first line of a sidecar's status: whether it serves, how current what it has is, whether it follows, and how many alarms stand.

use crate::cli::status::screen::Level;
use crate::cli::status::view::{AnswerSource, ClassVerdict, ClassView, PrimaryContact, SidecarView};
use crate::cli::units::time_text;

/// Returns how well a host is, and its first line: `serving: `, the freshness (`fresh`, `stale since …`, `expired …`), `following`, `not
/// following since …` or what is so in front of a GitLab, and `N alarms`.
#[must_use]
pub fn verdict(view: &SidecarView) -> (Level, String) {
    let mut parts = vec![freshness_text(view)];
    parts.extend(following_text(view));
    parts.extend(contact_text(view));
    parts.push(format!("{} alarms", view.alarms.len()));
    (level(view), format!("serving: {}", parts.join(", ")))
}

fn level(view: &SidecarView) -> Level {
    let classes = [&view.freshness.keys, &view.freshness.reads].map(|class| class.verdict);
    if classes.contains(&ClassVerdict::Expired) {
        return Level::Away;
    }
    let is_fresh = classes == [ClassVerdict::Fresh; 2] && view.freshness.push_precheck.verdict == ClassVerdict::Fresh;
    if is_fresh && !view.primary.state.is_outage() && view.alarms.is_empty() && view.not_following_since().is_none() {
        Level::Well
    } else {
        Level::Degraded
    }
}

/// Returns how current logins and fetches are. The check before a push is the primary's anyhow: it is said below.
fn freshness_text(view: &SidecarView) -> String {
    let (keys, reads) = (&view.freshness.keys, &view.freshness.reads);
    if keys.verdict == reads.verdict {
        let since = [keys.verdict_since, reads.verdict_since].into_iter().flatten().min();
        return class_text(&ClassView { verdict_since: since, ..keys.clone() });
    }
    let (worse, name, better, other) =
        if keys.verdict > reads.verdict { (keys, "keys", reads, "reads") } else { (reads, "reads", keys, "keys") };
    format!("{} ({name}) and {} ({other})", class_text(worse), class_text(better))
}

fn class_text(class: &ClassView) -> String {
    let since = class.verdict_since.map(|since| format!(" since {}", time_text(since)));
    match class.verdict {
        ClassVerdict::Fresh => "fresh".to_owned(),
        ClassVerdict::Stale => format!("stale{}", since.unwrap_or_else(|| " since an unknown time".to_owned())),
        ClassVerdict::Expired => format!("expired{}", since.unwrap_or_else(|| " (nothing has been loaded yet)".to_owned())),
    }
}

fn following_text(view: &SidecarView) -> Option<String> {
    match (view.not_following_since(), &view.feed) {
        (Some(since), _) => Some(format!("not following since {}", time_text(since))),
        (None, Some(_)) => Some("following".to_owned()),
        (None, None) => None,
    }
}

/// Returns how the one that is asked was found: always in front of a GitLab, otherwise where it does not answer.
fn contact_text(view: &SidecarView) -> Option<String> {
    let name = view.primary_name();
    let since = view.primary.failing_since.map_or_else(String::new, |since| format!(" since {}", time_text(since)));
    match (view.primary.state, view.source()) {
        (PrimaryContact::Silent, _) => Some(format!("{name} has not answered{since}")),
        (PrimaryContact::Fails, _) => Some(format!("{name} has given no usable answer{since}")),
        (PrimaryContact::Refuses, _) => Some(format!("{name} refuses this host{since}")),
        (_, AnswerSource::Directory) => None,
        (_, AnswerSource::Shadow) => Some("asking GitLab for everything (shadow mode)".to_owned()),
        (_, AnswerSource::Kept | AnswerSource::MirrorAndKept) => Some("asking GitLab".to_owned()),
    }
}
