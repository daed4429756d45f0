//! A repository is given to one project and never to another: whatever was removed, restored or imported meanwhile.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use proptest::prelude::*;
use serde_json::Value;

use super::{admin, apply, open, push, small_directory, try_apply, user};
use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// Bob's key in [`small_directory`].
const BOB: u32 = 12;
/// `@hashed/…` of the id 2, as GitLab computes it.
const HASHED_PATH_OF_2: &str = "@hashed/d4/73/d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35.git";

fn directory() -> Vec<String> {
    let mut lines = small_directory();
    lines.push(r#"{"kind":"namespace","id":2,"type":"user","path":"bob","name":"bob","owner_id":2}"#.to_owned());
    lines
}

fn project(id: u64, path: &str, relative_path: &str) -> String {
    format!(r#"{{"kind":"project","id":{id},"namespace_id":2,"path":"{path}","name":"n","relative_path":"{relative_path}"}}"#)
}

fn snippet(id: u64, relative_path: &str) -> String {
    format!(r#"{{"kind":"snippet","id":{id},"author_id":2,"storage":"default","relative_path":"{relative_path}"}}"#)
}

/// Bob pushes to a path that is not there; returns the id and the relative path of the project that this creates.
async fn create(state: &Arc<PrimaryState>, path: &str) -> (u64, String) {
    let (status, body) = push(state, BOB, path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let relative_path = body["gitaly"]["repository"]["relative_path"].as_str().unwrap().to_owned();
    let id = body["gl_repository"].as_str().and_then(|word| word.strip_prefix("project-")).unwrap().parse().unwrap();
    (id, relative_path)
}

async fn new_epoch(state: &Arc<PrimaryState>) {
    let (status, body) = admin(state, "new-epoch", String::new()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_first_push_never_gets_the_id_or_the_repository_of_a_pruned_project() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let mut before = directory();
    before.push(project(2, "bob/secret", HASHED_PATH_OF_2));
    apply(&state, "", &before).await;
    apply(&state, "?prune&accept_loss", &directory()).await;
    let (id, relative_path) = create(&state, "bob/mine").await;
    assert_ne!(relative_path, HASHED_PATH_OF_2, "the repository of the project that was pruned");
    assert!(id > 2, "the id {id} was given before");
    let (prefix, name) = (relative_path.strip_prefix("@hashed/").unwrap(), &relative_path["@hashed/xx/yy/".len()..]);
    let hex = name.strip_suffix(".git").unwrap();
    assert!(hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{relative_path}");
    assert_eq!(prefix, format!("{}/{}/{hex}.git", &hex[..2], &hex[2..4]));
}

#[tokio::test]
async fn the_id_of_a_project_that_was_pruned_is_not_given_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let mut before = directory();
    before.push(project(500, "bob/old", "500.git"));
    apply(&state, "", &before).await;
    drop(state);
    let state = open(folder.path());
    apply(&state, "?prune&accept_loss", &directory()).await;
    drop(state);
    let state = open(folder.path());
    assert!(create(&state, "bob/mine").await.0 > 500);
}

#[tokio::test]
async fn after_a_restore_and_a_new_epoch_ids_go_on_a_million_above_the_highest_and_paths_are_new() {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = open(folder.path());
    apply(&state, "", &directory()).await;
    drop(state);
    copy_folder(&folder.path().join("store"), &backup.path().join("store"));
    let state = open(folder.path());
    let (lost_id, lost_path) = create(&state, "bob/lost").await;
    drop(state);
    let state = open(backup.path());
    new_epoch(&state).await;
    let (id, relative_path) = create(&state, "bob/mine").await;
    assert_ne!(relative_path, lost_path, "the repository of a project that the backup does not know");
    assert!(id > lost_id + 999_000, "{id} after {lost_id}");
}

#[tokio::test]
async fn a_file_that_gives_one_repository_to_two_records_is_refused_with_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &directory()).await;
    let kept = |more: &[String]| directory().into_iter().chain(more.iter().cloned()).collect::<Vec<_>>();
    for more in [
        vec![project(7, "bob/a", "7.git"), project(8, "bob/b", "7.git")],
        vec![project(7, "bob/a", "1.git")],
        vec![project(7, "bob/a", "1.wiki.git")],
        vec![project(7, "bob/a", "1.design.git")],
        vec![project(7, "bob/a", "1")],
        vec![snippet(7, "1.git")],
        vec![snippet(7, "1.wiki.git")],
        vec![snippet(7, "s.git"), snippet(8, "s.git")],
        vec![snippet(7, "s.wiki.git"), project(8, "bob/a", "s.git")],
    ] {
        // Alone (looked up, and among others compared with the whole directory), and as the whole directory.
        let policy =
            r#"{"kind":"broadcast","id":1,"message":"m","starts_at":"2020-01-31T12:00:00.000Z","ends_at":"2120-02-01T12:00:00.000Z"}"#;
        let compared: Vec<String> = more.iter().cloned().chain([policy.to_owned()]).collect();
        for (query, lines) in [("", more.clone()), ("", compared), ("?prune", kept(&more))] {
            let (status, body) = try_apply(&state, query, &lines).await;
            let message = body["message"].as_str().unwrap_or_default();
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{more:?} {query}: {body}");
            assert!(
                message.starts_with("line ") && message.contains("`relative_path`") && message.contains("already"),
                "{more:?} {query}: {message}"
            );
        }
    }
    let other_storage = r#"{"kind":"storage","name":"other","address":"unix:/o"}"#.to_owned();
    let on_other = project(7, "bob/a", "1.git").replace("\"relative_path\"", "\"storage\":\"other\",\"relative_path\"");
    apply(&state, "", &[other_storage, on_other, snippet(7, "s.wiki.git"), snippet(8, "s.git")]).await;
    apply(&state, "", &[project(8, "bob/c", "8.git"), project(9, "bob/d", "9.git")]).await;
    // Two projects may exchange their repositories in one file.
    apply(&state, "", &[project(8, "bob/c", "9.git"), project(9, "bob/d", "8.git")]).await;
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    /// A file of the operator's with a project of a chosen id.
    Import(u8),
    /// The whole directory, with the projects of which the bit of the path is set.
    Prune(u8),
    Backup,
    Restore,
    NewEpoch,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..4).prop_map(Step::Push),
        2 => (1_u8..40).prop_map(Step::Import),
        3 => any::<u8>().prop_map(Step::Prune),
        1 => Just(Step::Backup),
        2 => Just(Step::Restore),
        1 => Just(Step::NewEpoch),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 4..24)
}

/// Runs the steps, and checks that each project that a push creates has an id and a path that no project ever had.
async fn run_steps(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let (live, backup) = (folder.path().join("live"), folder.path().join("backup"));
    let mut state = open(&live);
    let (mut ids, mut paths) = (HashSet::new(), HashMap::<String, Step>::new());
    apply(&state, "", &directory()).await;
    ids.insert(1);
    let mut serial = 0;
    for step in steps {
        match &step {
            Step::Push(number) => {
                let path = format!("bob/p{number}");
                let directory = state.store.directory();
                // A file may have given its id another path, and this one leads there now.
                let exists = directory.project_by_path(&path).unwrap().or(directory.project_by_former_path(&path).unwrap()).is_some();
                drop(directory);
                let (id, relative_path) = create(&state, &path).await;
                if !exists {
                    assert!(ids.insert(id), "the id {id} was given twice");
                    let before = paths.insert(relative_path.clone(), step.clone());
                    assert!(before.is_none(), "{relative_path} was given twice");
                }
            }
            Step::Import(id) => {
                serial += 1;
                let line = project(u64::from(*id) + 1, &format!("bob/import{id}"), &format!("import/{serial}.git"));
                apply(&state, "", &[line, user(3, "eve")]).await;
                ids.insert(u64::from(*id) + 1);
            }
            Step::Prune(kept) => {
                let bodies = state.store.directory().record_lines().map(|line| String::from(line.unwrap()));
                let projects: Vec<String> = bodies.filter(|line| line.starts_with(r#"{"kind":"project","#)).collect();
                let kept = projects.into_iter().enumerate().filter(|(index, line)| !line.contains("zoe/p") && kept >> (index % 8) & 1 == 1);
                let lines: Vec<String> = directory().into_iter().chain(kept.map(|(_, line)| line)).collect();
                apply(&state, "?prune&accept_loss", &lines).await;
            }
            Step::Backup | Step::Restart => {
                drop(state);
                if matches!(step, Step::Backup) {
                    let _ = fs::remove_dir_all(&backup);
                    copy_folder(&live, &backup);
                }
                state = open(&live);
            }
            Step::Restore if backup.exists() => {
                drop(state);
                fs::remove_dir_all(&live).unwrap();
                copy_folder(&backup, &live);
                state = open(&live);
                new_epoch(&state).await;
            }
            Step::NewEpoch => new_epoch(&state).await,
            Step::Restore => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn no_id_and_no_repository_is_ever_given_twice(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run_steps(steps));
    }
}

#[tokio::test]
async fn a_push_creates_no_project_whose_name_is_that_of_a_wiki() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let mut lines = directory();
    lines.push(project(7, "bob/x", "7.git"));
    lines.push(project(8, "bob/y.wiki", "8.git"));
    apply(&state, "", &lines).await;
    for path in ["bob/x.WIKI", "bob/x.Design", "bob/y", "bob/free.wiki"] {
        let (status, body) = push(&state, BOB, path).await;
        assert_ne!(status, StatusCode::OK, "{path}: {body}");
        assert!(state.store.directory().project_by_path(path).unwrap().is_none(), "{path}");
    }
    assert_eq!(push(&state, BOB, "bob/x.wiki").await.1["gl_repository"], Value::from("wiki-7"));
}

#[tokio::test]
async fn of_two_projects_on_one_repository_that_a_store_already_holds_neither_is_answered_and_other_files_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &directory()).await;
    // As a version before wrote it.
    let put = |line: &str| Change::Put(Entry::from_record(Record::parse(line).unwrap()).unwrap());
    let changes = vec![put(&project(7, "bob/a", "1.git")), put(&project(8, "bob/b", "8.git"))];
    state.store.commit(|_| Ok::<_, StoreError>((changes, ()))).unwrap();
    for (path, status) in [("bob/a", 404), ("bob/a.wiki", 404), ("bob/b", 200)] {
        assert_eq!(push(&state, BOB, path).await.0.as_u16(), status, "{path}");
    }
    drop(state);
    let state = open(folder.path());
    assert_eq!(push(&state, BOB, "bob/a").await.0, StatusCode::NOT_FOUND, "after a restart");
    assert_eq!(push(&state, 11, "zoe/p").await.0, StatusCode::NOT_FOUND, "nor the other");
    let alarm = state.store.directory().shared_repositories().alarm().unwrap();
    assert!(alarm.contains("project 1 (`1.git`), project 7 (`1.git`)"), "{alarm}");
    apply(&state, "", &[user(3, "eve")]).await;
    apply(&state, "", &[project(7, "bob/a", "7.git")]).await;
    assert_eq!(push(&state, BOB, "bob/a").await.0, StatusCode::OK, "it was given its own");
    assert_eq!(push(&state, 11, "zoe/p").await.0, StatusCode::OK);
}
