//! The grammar of the fields of a record: what a record must look like to match anything.
//!
//! It binds where a record enters: a line of a directory file that breaks it is refused. It is no part of [`Record::parse`], which feed
//! and store use: what a store holds or a feed brings is never refused for it. It is kept and counted, and answers nothing.

use std::fmt::Display;

use crate::model::address_grammar::{is_gitaly_address, is_host, is_web_url};
use crate::model::ip_range::IpRange;
use crate::model::path_grammar::{SegmentError, check_name, check_segment, is_ref_pattern, is_relative_path};
use crate::model::record::{Key, Namespace, Project, Record, Settings, Storage};

/// A field that breaks its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct GrammarError {
    /// The name of the field.
    pub field: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

/// Checks every field of a record that has a grammar.
pub fn check(record: &Record) -> Result<(), GrammarError> {
    match record {
        Record::Settings(settings) => check_settings(settings),
        Record::Storage(storage) => check_storage(storage),
        Record::User(user) => check_segment(&user.username).map_err(|reason| segment_error("username", &user.username, &reason)),
        Record::Namespace(namespace) => check_namespace(namespace),
        Record::Project(project) => check_project(project),
        Record::Snippet(snippet) => check_relative_path(&snippet.relative_path),
        Record::Redirect(redirect) => check_path("from", &redirect.from, 2, check_segment),
        Record::ProtectedBranch(branch) => check_pattern(&branch.pattern),
        Record::ProtectedTag(tag) => check_pattern(&tag.pattern),
        Record::ErrorTrackingKey(key) => require("public_key", !key.public_key.is_empty(), &key.public_key, "is empty"),
        Record::Key(key) => check_key(key),
        Record::Member(_) | Record::Share(_) | Record::DeployGrant(_) | Record::Agent(_) => Ok(()),
    }
}

/// Returns whether a record that is stored may be answered from. Settings always may, because their restrictions bind whatever their URL
/// looks like; without them the defaults would let people in.
#[must_use]
pub fn is_answerable(record: &Record) -> bool {
    matches!(record, Record::Settings(_)) || check(record).is_ok()
}

fn check_settings(settings: &Settings) -> Result<(), GrammarError> {
    require("host", is_host(&settings.host), &settings.host, "is not the name of a host")?;
    require("web_url", is_web_url(&settings.web_url), &settings.web_url, "is not a URL: `http://` or `https://`, a host, perhaps a path")
}

fn check_storage(storage: &Storage) -> Result<(), GrammarError> {
    require("name", !storage.name.is_empty(), &storage.name, "is empty")?;
    let rule = "is not an address of Gitaly: `unix:/path`, `tcp://host:port`, `tls://host:port` or `dns:name`";
    require("address", is_gitaly_address(&storage.address), &storage.address, rule)
}

fn check_namespace(namespace: &Namespace) -> Result<(), GrammarError> {
    check_path("path", &namespace.path, 1, check_name)?;
    let has_parent = namespace.path.contains('/');
    let rule = "has more than one segment, and there is no `parent_id`";
    require("path", !has_parent || namespace.parent_id.is_some(), &namespace.path, rule)?;
    for entry in &namespace.allowed_ips {
        require("allowed_ips", IpRange::parse(entry).is_some(), entry, "is not one address or one network (`10.0.0.0/8`)")?;
    }
    Ok(())
}

fn check_project(project: &Project) -> Result<(), GrammarError> {
    check_path("path", &project.path, 2, check_name)?;
    let branch = &project.default_branch;
    require("default_branch", branch.is_empty() || is_ref_pattern(branch), branch, "is not the name of a branch, without `refs/heads/`")?;
    check_relative_path(&project.relative_path)
}

fn check_key(key: &Key) -> Result<(), GrammarError> {
    if key.user_id.is_none() && !key.deploy {
        let reason = "is missing: a key has an owner or is a deploy key (`deploy`)".to_owned();
        return Err(GrammarError { field: "user_id", reason });
    }
    Ok(())
}

/// Checks a path of at least `least` segments, the last by `check_last`.
fn check_path(
    field: &'static str,
    path: &str,
    least: usize,
    check_last: impl Fn(&str) -> Result<(), SegmentError>,
) -> Result<(), GrammarError> {
    let segments: Vec<&str> = path.split('/').collect();
    require(field, segments.len() >= least, path, "is not a full path: the namespace's, a slash, a name")?;
    let last = segments.len() - 1;
    for (number, segment) in segments.into_iter().enumerate() {
        // A group on top may have a name that is reserved below a group.
        let outcome = if number == last && last > 0 { check_last(segment) } else { check_segment(segment) };
        outcome.map_err(|reason| segment_error(field, path, &reason))?;
    }
    Ok(())
}

fn check_relative_path(path: &str) -> Result<(), GrammarError> {
    require("relative_path", is_relative_path(path), path, "is not relative, or has an empty, `.` or `..` segment")
}

fn check_pattern(pattern: &str) -> Result<(), GrammarError> {
    require("pattern", is_ref_pattern(pattern), pattern, "matches no ref; it is the short name, without `refs/heads/` or `refs/tags/`")
}

fn require(field: &'static str, holds: bool, value: &str, rule: &str) -> Result<(), GrammarError> {
    if holds { Ok(()) } else { Err(GrammarError { field, reason: format!("`{value}` {rule}") }) }
}

fn segment_error(field: &'static str, value: &str, reason: &impl Display) -> GrammarError {
    GrammarError { field, reason: format!("`{value}` {reason}") }
}
