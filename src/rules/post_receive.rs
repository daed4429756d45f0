//! The messages after a push: push options that were ignored, a broadcast, links to create merge requests. (server.md 2.9)
//!
//! Merge requests are not stored here, so every push option about them fails, and no branch has one already.

use std::collections::BTreeSet;

use crate::model::access_decision::Repository;
use crate::model::push::{PushEvent, PushMessages};
use crate::model::record::{Project, Settings};
use crate::model::text::check_control_bytes;
use crate::model::time::Time;
use crate::model::unpublished::{Broadcast, BroadcastType};
use crate::rules::wildcard::matches_wildcard;

/// The prefixes of push options about merge requests.
const MERGE_REQUEST_OPTION_PREFIXES: [&str; 2] = ["merge_request.", "mr."];

/// Returns the messages for a push. `broadcasts` are all that exist, lowest id first.
#[must_use]
pub fn build_messages(
    pushed: &PushEvent,
    repository: Option<&Repository>,
    settings: &Settings,
    broadcasts: &[Broadcast],
    now: Time,
) -> PushMessages {
    let mut messages = PushMessages::default();
    if let Some(warning) = repository.and_then(|repository| push_options_warning(repository, &pushed.push_options)) {
        messages.add_alert(warning);
    }
    let project = repository.and_then(Repository::project);
    if let Some(banner) = select_banner(broadcasts, project.map(|project| &*project.path), now) {
        messages.add_alert(banner.message.to_string());
    }
    if let Some(Repository::Project(project)) = repository {
        for link in merge_request_links(project, settings, &pushed.changes) {
            messages.add_basic(link);
        }
    }
    messages
}

fn push_options_warning(repository: &Repository, options: &[String]) -> Option<String> {
    let about_merge_requests = |option: &String| MERGE_REQUEST_OPTION_PREFIXES.iter().any(|prefix| option.starts_with(prefix));
    if !options.iter().any(about_merge_requests) {
        return None;
    }
    let error = match repository {
        Repository::Project(project) => format!("Merge requests are not enabled for project {}", project.path),
        Repository::Wiki(_) | Repository::Design(_) | Repository::Snippet(..) => "Push options are only supported for projects".to_owned(),
    };
    let quoted: Vec<String> = options.iter().map(|option| format!("'{option}'")).collect();
    Some(format!("WARNINGS:\nError encountered with push options {}: {error}", quoted.join(" ")))
}

/// Returns the latest active banner for this path; if there is none, the latest for all paths.
fn select_banner<'a>(broadcasts: &'a [Broadcast], path: Option<&str>, now: Time) -> Option<&'a Broadcast> {
    let active =
        |broadcast: &&Broadcast| broadcast.broadcast_type == BroadcastType::Banner && broadcast.starts_at <= now && now < broadcast.ends_at;
    let meant_for = |broadcast: &&Broadcast| {
        !broadcast.target_path.is_empty() && path.is_some_and(|path| matches_path_pattern(&broadcast.target_path, path))
    };
    let latest = |broadcasts: &mut dyn Iterator<Item = &'a Broadcast>| broadcasts.max_by_key(|broadcast| broadcast.id);
    latest(&mut broadcasts.iter().filter(active).filter(meant_for))
        .or_else(|| latest(&mut broadcasts.iter().filter(active).filter(|broadcast| broadcast.target_path.is_empty())))
}

/// Returns whether a pattern matches a path, in any ASCII case and without the slashes at the front of either.
fn matches_path_pattern(pattern: &str, path: &str) -> bool {
    let normalized = |text: &str| text.trim_start_matches('/').to_ascii_lowercase();
    matches_wildcard(&normalized(pattern), &normalized(path))
}

/// Returns one message for each pushed branch except the default one: in the order of the lines, each branch once.
fn merge_request_links(project: &Project, settings: &Settings, changes: &str) -> Vec<String> {
    if !project.print_merge_request_link {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let branches = changes.lines().filter_map(parse_pushed_branch).filter(|branch| **branch != *project.default_branch);
    branches.filter(|branch| seen.insert(*branch)).map(|branch| merge_request_link(project, settings, branch)).collect()
}

fn merge_request_link(project: &Project, settings: &Settings, branch: &str) -> String {
    let web_url = settings.web_url.trim_end_matches('/');
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("merge_request[source_branch]", branch).finish();
    format!("To create a merge request for {branch}, visit:\n  {web_url}/{}/-/merge_requests/new?{query}", project.path)
}

/// Returns the branch that a line creates or updates; `None` for any other line.
fn parse_pushed_branch(line: &str) -> Option<&str> {
    let mut words = line.splitn(3, ' ');
    let (_old, new, name) = (words.next()?, words.next()?, words.next()?);
    let branch = name.strip_prefix("refs/heads/").filter(|branch| !branch.is_empty() && check_control_bytes(branch).is_ok())?;
    let deleted = new.bytes().all(|byte| byte == b'0');
    (!deleted).then_some(branch)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{build_messages, matches_path_pattern};
    use crate::model::access_decision::Repository;
    use crate::model::access_request::ClaimedActor;
    use crate::model::push::{MessageType, PushEvent};
    use crate::model::record::{Project, Record, Settings};
    use crate::model::time::Time;
    use crate::model::unpublished::{Broadcast, UnpublishedRecord};

    const NOW: &str = "2026-01-31T12:00:00Z";
    const NEW: &str = "fd9e76b9136bdd9fe217061b497745792fe5a5ee";
    const NULL_OBJECT_ID: &str = "0000000000000000000000000000000000000000";

    fn settings() -> Settings {
        match Record::parse(r#"{"kind":"settings","web_url":"https://git.example.com/"}"#).unwrap() {
            Record::Settings(settings) => settings,
            other => panic!("{other:?}"),
        }
    }

    fn project(more: &str) -> Arc<Project> {
        let line = format!(r#"{{"kind":"project","id":7,"namespace_id":1,"path":"Tools/gate","name":"p","relative_path":"p.git"{more}}}"#);
        match Record::parse(&line).unwrap() {
            Record::Project(project) => Arc::new(project),
            other => panic!("{other:?}"),
        }
    }

    fn broadcast(id: u32, message: &str, more: &str) -> Broadcast {
        let line = format!(
            r#"{{"kind":"broadcast","id":{id},"message":"{message}","starts_at":"2026-01-31T12:00:00Z","ends_at":"2026-02-01T12:00:00Z"{more}}}"#
        );
        match UnpublishedRecord::parse(&line).unwrap() {
            UnpublishedRecord::Broadcast(broadcast) => broadcast,
            other => panic!("{other:?}"),
        }
    }

    fn built_messages(
        repository: Option<&Repository>,
        changes: &str,
        options: &[&str],
        broadcasts: &[Broadcast],
        now: &str,
    ) -> Vec<(MessageType, String)> {
        let pushed = PushEvent {
            gl_repository: String::new(),
            claimed_actor: ClaimedActor::Unspecified,
            changes: changes.to_owned(),
            push_options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        let now: Time = now.parse().unwrap();
        build_messages(&pushed, repository, &settings(), broadcasts, now)
            .iter()
            .map(|(message_type, text)| (message_type, text.to_owned()))
            .collect()
    }

    fn expected_link(branch: &str, spelled: &str) -> (MessageType, String) {
        let url = format!("https://git.example.com/Tools/gate/-/merge_requests/new?merge_request%5Bsource_branch%5D={spelled}");
        (MessageType::Basic, format!("To create a merge request for {branch}, visit:\n  {url}"))
    }

    #[test]
    fn each_pushed_branch_but_the_default_one_has_a_link_and_tags_and_deletions_have_none() {
        let changes = [
            format!("{NULL_OBJECT_ID} {NEW} refs/heads/feature"),
            format!("{NEW} {NEW} refs/heads/a b&c/ü"),
            format!("{NULL_OBJECT_ID} {NEW} refs/heads/main"),
            format!("{NEW} {NULL_OBJECT_ID} refs/heads/gone"),
            format!("{NULL_OBJECT_ID} {NEW} refs/tags/v1"),
            format!("{NULL_OBJECT_ID} {NEW} refs/heads/feature"),
            "nonsense".to_owned(),
            format!("{NULL_OBJECT_ID} {NEW} refs/heads/"),
        ]
        .join("\n");
        let own = Repository::Project(project(""));
        assert_eq!(
            built_messages(Some(&own), &changes, &[], &[], NOW),
            [expected_link("feature", "feature"), expected_link("a b&c/ü", "a+b%26c%2F%C3%BC")]
        );
        let silent = Repository::Project(project(r#","print_merge_request_link":false"#));
        assert_eq!(built_messages(Some(&silent), &changes, &[], &[], NOW), []);
        assert_eq!(built_messages(Some(&Repository::Wiki(project(""))), &changes, &[], &[], NOW), []);
        assert_eq!(built_messages(None, &changes, &[], &[], NOW), []);
    }

    #[test]
    fn options_about_merge_requests_cause_a_warning_and_others_do_not() {
        let warned = |repository: &Repository, options: &[&str]| built_messages(Some(repository), "", options, &[], NOW);
        let own = Repository::Project(project(""));
        let text = "WARNINGS:\nError encountered with push options 'ci.skip' 'merge_request.create': \
                    Merge requests are not enabled for project Tools/gate";
        assert_eq!(warned(&own, &["ci.skip", "merge_request.create"]), [(MessageType::Alert, text.to_owned())]);
        assert_eq!(warned(&own, &["ci.skip", "merge_requests"]), []);
        let text = "WARNINGS:\nError encountered with push options 'mr.create': Push options are only supported for projects";
        assert_eq!(warned(&Repository::Wiki(project("")), &["mr.create"]), [(MessageType::Alert, text.to_owned())]);
        assert_eq!(built_messages(None, "", &["merge_request.create"], &[], NOW), []);
    }

    #[test]
    fn the_latest_banner_of_the_path_is_shown_else_the_latest_of_all() {
        let own = Repository::Project(project(""));
        let everywhere = [broadcast(1, "one", ""), broadcast(9, "nine", ""), broadcast(8, "eight", "")];
        let alert = |text: &str| vec![(MessageType::Alert, text.to_owned())];
        assert_eq!(built_messages(Some(&own), "", &[], &everywhere, NOW), alert("nine"));
        assert_eq!(built_messages(None, "", &[], &everywhere, NOW), alert("nine"));
        let scoped = [
            broadcast(2, "tools", r#","target_path":"/tools/*""#),
            broadcast(3, "later", r#","target_path":"tools/g*e""#),
            broadcast(4, "others", r#","target_path":"/other/*""#),
        ];
        let all = [&everywhere[..], &scoped].concat();
        assert_eq!(built_messages(Some(&own), "", &[], &all, NOW), alert("later"));
        assert_eq!(built_messages(None, "", &[], &scoped, NOW), []);
        assert_eq!(built_messages(Some(&own), "", &[], &[broadcast(1, "n", r#","broadcast_type":"notification""#)], NOW), []);
        assert_eq!(built_messages(Some(&own), "", &[], &everywhere, "2026-02-01T12:00:00Z"), [], "it has ended");
        assert_eq!(built_messages(Some(&own), "", &[], &everywhere, "2026-01-31T11:59:59.999Z"), [], "it has not begun");
    }

    #[test]
    fn a_banner_stands_before_a_warning_and_both_before_links() {
        let own = Repository::Project(project(""));
        let changes = format!("{NULL_OBJECT_ID} {NEW} refs/heads/f");
        let messages: Vec<_> = built_messages(Some(&own), &changes, &["mr.create"], &[broadcast(1, "banner", "")], NOW);
        assert_eq!((messages[0].1.as_str(), messages[1].0, messages[2].0), ("banner", MessageType::Alert, MessageType::Basic));
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, path) in [("/a/b", "a/b"), ("*", "a/b"), ("a/*", "A/b/c"), ("*/b", "a/b"), ("a*b*c", "a/xbyb/c"), ("A/B", "a/b")] {
            assert!(matches_path_pattern(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("/a", "a/b"), ("a/*", "ab"), ("*/b", "a/b/c"), ("a*bc*c", "abc"), ("ab*ba", "aba")] {
            assert!(!matches_path_pattern(pattern, path), "{pattern} {path}");
        }
    }
}
