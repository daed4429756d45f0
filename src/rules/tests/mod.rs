//! The contract's cases of `allowed`, groups H to O, as far as they are decided here. Each test names its rows. This file has the
//! directory that they share, and helpers to build requests and to check decisions.

pub mod access_directions;
mod actors;
mod changed_directory;
mod changes;
mod code;
mod instance;
mod lfs;
pub mod project_creation;
#[cfg(test)]
pub mod properties;
mod record_grammar;
pub mod wikis_designs_snippets;

use crate::model::access_decision::{AccessDecision, AccessEvaluation, AccessGrant};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
use crate::model::time::Time;
use crate::rules::allowed::decide;

const DOWNLOAD: &str = "You are not allowed to download code from this project.";
const PUSH: &str = "You are not allowed to push code to this project.";
const UPLOAD: &str = "You are not allowed to upload code for this project.";
const MISSING: &str = "The project you were looking for could not be found or you don't have permission to view it.";
const DEPLOY: &str = "This deploy key does not have write access to this project.";
const ARCHIVED: &str = "You can't push code to an archived project.";
const READ_ONLY: &str = "The repository is temporarily read-only. Please try again later.";

/// Group `g` (1) with `g/sub` (2); in `g` a private (10), an internal (11) and a public (12) project. Users by role: owner 1,
/// maintainer 2, developer 3, reporter 4, planner 5, guest 6; outsider 7, external 8, admin 9; 20 to 26 as their external twins.
/// Keys 101 to 109 are theirs; deploy keys: 120 writes, 121 reads, 122 is attached to nothing.
fn sample_directory() -> MemoryDirectory {
    let mut lines = vec![
        r#"{"kind":"storage","name":"default","address":"unix:/gitaly.sock","token":"t","features":{"gitaly-feature-x":true,"y_z":false}}"#
            .to_owned(),
        r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#.to_owned(),
        r#"{"kind":"namespace","id":2,"type":"group","path":"g/sub","name":"sub","parent_id":1}"#.to_owned(),
        r#"{"kind":"namespace","id":3,"type":"user","path":"outsider","name":"o","owner_id":7}"#.to_owned(),
        r#"{"kind":"project","id":14,"namespace_id":3,"path":"outsider/own","name":"own","relative_path":"o.git"}"#.to_owned(),
        r#"{"kind":"project","id":13,"namespace_id":2,"path":"g/sub/deep","name":"deep","relative_path":"d.git"}"#.to_owned(),
        r#"{"kind":"redirect","from":"old/private","project_id":10}"#.to_owned(),
    ];
    for (id, visibility) in [(10, "private"), (11, "internal"), (12, "public")] {
        lines.push(format!(r#"{{"kind":"project","id":{id},"namespace_id":1,"path":"g/{visibility}","name":"p","visibility":"{visibility}","relative_path":"@hashed/{id}.git"}}"#));
    }
    let people = ["owner", "maintainer", "developer", "reporter", "planner", "guest", "outsider", "external", "admin"];
    for (id, name) in (1..).zip(people) {
        let more = match name {
            "external" => r#","external":true"#,
            "admin" => r#","admin":true"#,
            _ => "",
        };
        lines.push(format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"{name}"{more}}}"#));
        lines.push(key(100 + id, Some(id), ""));
    }
    for (id, level) in (1..).zip([50, 40, 30, 20, 15, 10]) {
        lines.push(format!(r#"{{"kind":"member","namespace_id":1,"user_id":{id},"access_level":{level}}}"#));
        let twin = 20 + id;
        lines.push(format!(r#"{{"kind":"user","id":{twin},"username":"external{id}","name":"x","external":true}}"#));
        lines.push(format!(r#"{{"kind":"member","namespace_id":1,"user_id":{twin},"access_level":{level}}}"#));
    }
    for (id, can_push) in [(120, true), (121, false)] {
        lines.push(key(id, None, r#","deploy":true"#));
        for project in [10, 11, 12] {
            lines.push(format!(r#"{{"kind":"deploy_grant","key_id":{id},"project_id":{project},"can_push":{can_push}}}"#));
        }
    }
    lines.push(key(122, Some(1), r#","deploy":true"#));
    lines.push(key(123, None, ""));
    MemoryDirectory::from_lines(lines.iter().map(String::as_str))
}

fn key(id: u64, user: Option<u64>, more: &str) -> String {
    let user = user.map(|user| format!(r#","user_id":{user}"#)).unwrap_or_default();
    format!(r#"{{"kind":"key","id":{id}{user},"title":"t","key":"{}","created_at":"2026-01-01T00:00:00Z"{more}}}"#, ed25519_public_key(id))
}

fn user(id: u64, more: &str) -> String {
    format!(r#"{{"kind":"user","id":{id},"username":"user{id}","name":"U"{more}}}"#)
}

/// The project of that visibility, changed.
fn project(visibility: &str, more: &str) -> String {
    let id = match visibility {
        "private" => 10,
        "internal" => 11,
        _ => 12,
    };
    format!(
        r#"{{"kind":"project","id":{id},"namespace_id":1,"path":"g/{visibility}","name":"p","visibility":"{visibility}","relative_path":"@hashed/{id}.git"{more}}}"#
    )
}

fn settings(fields: &str) -> String {
    format!(r#"{{"kind":"settings",{fields}}}"#)
}

fn user_claimant(id: u64) -> ClaimedActor {
    ClaimedActor::User(id.try_into().ok())
}

fn key_claimant(id: u64) -> ClaimedActor {
    ClaimedActor::Key(id.try_into().ok())
}

fn pull(claimed_actor: ClaimedActor, path: &str) -> AllowedRequest {
    AllowedRequest {
        project: Some(path.to_owned()),
        ..AllowedRequest::new(claimed_actor, Action::UploadPack, Protocol::Ssh, RefChanges::Any)
    }
}

fn push(claimed_actor: ClaimedActor, path: &str) -> AllowedRequest {
    AllowedRequest { action: Action::ReceivePack, ..pull(claimed_actor, path) }
}

fn with_gl_repository(request: AllowedRequest, word: &str) -> AllowedRequest {
    AllowedRequest { gl_repository: Some(word.to_owned()), project: None, ..request }
}

fn now() -> Time {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn evaluate(directory: &MemoryDirectory, request: &AllowedRequest) -> AccessEvaluation {
    decide(directory, request, now()).unwrap()
}

/// 200, or the refusal's status and sentence.
fn status_and_message(directory: &MemoryDirectory, request: &AllowedRequest) -> (u16, String) {
    match evaluate(directory, request).decision {
        AccessDecision::Granted(_) => (200, String::new()),
        AccessDecision::CreatesProject(creation) => (201, creation.path),
        AccessDecision::Denied(refusal) => (refusal.status, refusal.message),
    }
}

#[track_caller]
fn assert_granted(directory: &MemoryDirectory, request: &AllowedRequest) -> AccessGrant {
    match evaluate(directory, request).decision {
        AccessDecision::Granted(grant) => *grant,
        other => panic!("{request:?}: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(directory: &MemoryDirectory, request: &AllowedRequest, status: u16, text: &str) {
    assert_eq!(status_and_message(directory, request), (status, text.to_owned()), "{request:?}");
}
