//! A project or a group that is renamed leaves its old path to nobody: a push there reaches the project or is refused.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::{apply, open, push, small_directory, try_apply};
use crate::model::record::Record;
use crate::primary::state::PrimaryState;

/// Bob's key in [`small_directory`].
const BOB: u32 = 12;

/// The group `team` with the subgroup `team/sub`, both under another path if it is given, without projects. Bob owns both.
fn groups(path: &str) -> Vec<String> {
    let mut lines = small_directory();
    lines.extend([
        r#"{"kind":"namespace","id":2,"type":"user","path":"bob","name":"bob","owner_id":2}"#.to_owned(),
        format!(r#"{{"kind":"namespace","id":3,"type":"group","path":"{path}","name":"t"}}"#),
        format!(r#"{{"kind":"namespace","id":4,"type":"group","path":"{path}/sub","name":"s","parent_id":3}}"#),
        r#"{"kind":"member","namespace_id":3,"user_id":2,"access_level":50}"#.to_owned(),
    ]);
    lines
}

fn project(id: u64, namespace: u64, path: &str) -> String {
    format!(r#"{{"kind":"project","id":{id},"namespace_id":{namespace},"path":"{path}","name":"n","relative_path":"r{id}.git"}}"#)
}

fn redirect(from: &str, id: u64) -> String {
    format!(r#"{{"kind":"redirect","from":"{from}","project_id":{id}}}"#)
}

fn with(mut lines: Vec<String>, more: &[String]) -> Vec<String> {
    lines.extend_from_slice(more);
    lines
}

fn records(state: &PrimaryState) -> impl Iterator<Item = Arc<Record>> {
    state.store.directory().entries().filter_map(|entry| entry.unwrap().record().cloned())
}

fn redirects(state: &PrimaryState) -> Vec<String> {
    let of = |record: Arc<Record>| match &*record {
        Record::Redirect(redirect) => Some(format!("{} {}", redirect.from, redirect.project_id)),
        _ => None,
    };
    records(state).filter_map(of).collect()
}

fn project_count(state: &PrimaryState) -> usize {
    records(state).filter(|record| matches!(**record, Record::Project(_))).count()
}

/// Checks that Bob's push to a path reaches this repository, under its present path, and creates nothing.
async fn assert_reaches(state: &Arc<PrimaryState>, path: &str, repository: &str, present: &str) {
    let before = project_count(state);
    let (status, body) = push(state, BOB, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    assert_eq!((&body["gl_repository"], &body["gl_project_path"]), (&Value::from(repository), &Value::from(present)), "{path}");
    assert_eq!(project_count(state), before, "{path}");
}

async fn opened(lines: &[String]) -> (tempfile::TempDir, Arc<PrimaryState>) {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", lines).await;
    (folder, state)
}

#[tokio::test]
async fn a_push_to_the_old_path_of_a_renamed_project_reaches_it_and_creates_none() {
    let team = with(groups("team"), &[project(10, 3, "team/p")]);
    for (query, file) in [("", vec![project(10, 3, "team/renamed")]), ("?prune", with(groups("team"), &[project(10, 3, "team/renamed")]))] {
        let (_folder, state) = opened(&team).await;
        apply(&state, query, &file).await;
        for old in ["team/p", "/TEAM/P.git"] {
            assert_reaches(&state, old, "project-10", "team/renamed").await;
        }
        assert_reaches(&state, "team/p.wiki", "wiki-10", "team/renamed.wiki").await;
        assert_eq!(redirects(&state), ["team/p 10"]);
    }
}

#[tokio::test]
async fn each_project_below_a_renamed_group_is_reached_by_its_old_path() {
    let team = with(groups("team"), &[project(10, 3, "team/p"), project(11, 4, "team/sub/q")]);
    let crew = with(groups("crew"), &[project(10, 3, "crew/p"), project(11, 4, "crew/sub/q")]);
    let (_folder, state) = opened(&team).await;
    apply(&state, "?prune", &crew).await;
    assert_reaches(&state, "team/p", "project-10", "crew/p").await;
    assert_reaches(&state, "team/sub/q", "project-11", "crew/sub/q").await;
    // Bob takes the name of the group that was; what was below it is still not his to create.
    let taken = r#"{"kind":"namespace","id":9,"type":"user","path":"team","name":"t","owner_id":2}"#.to_owned();
    apply(&state, "?prune", &with(crew, &[taken])).await;
    assert_reaches(&state, "team/p", "project-10", "crew/p").await;
    assert_eq!(redirects(&state), ["team/p 10", "team/sub/q 11"]);
}

#[tokio::test]
async fn a_redirect_of_a_rename_survives_a_prune_until_a_project_takes_the_path() {
    let (folder, state) = opened(&with(groups("team"), &[project(10, 3, "team/p")])).await;
    let renamed = with(groups("team"), &[project(10, 3, "team/renamed")]);
    apply(&state, "?prune", &with(renamed.clone(), &[redirect("chosen/path", 10)])).await;
    drop(state);
    let state = open(folder.path());
    for _ in 0..2 {
        apply(&state, "?prune", &renamed).await;
        assert_eq!(redirects(&state), ["team/p 10"], "the redirect that the operator wrote goes with its line, the other stays");
    }
    apply(&state, "", &[project(20, 3, "Team/P")]).await;
    assert_eq!(redirects(&state), Vec::<String>::new());
    assert_reaches(&state, "team/p", "project-20", "Team/P").await;
    apply(&state, "?prune", &renamed).await;
    assert_eq!(redirects(&state), Vec::<String>::new(), "it does not come back");
}

#[tokio::test]
async fn chains_swaps_and_returns_leave_each_old_path_to_the_project_that_had_it() {
    let start = with(groups("team"), &[project(10, 3, "team/a"), project(11, 3, "team/b")]);
    for (case, files, expected) in [
        ("renamed twice", vec![vec![project(10, 3, "team/c")], vec![project(10, 3, "team/d")]], vec!["team/a 10", "team/c 10"]),
        ("two paths swapped", vec![vec![project(10, 3, "team/b"), project(11, 3, "team/a")]], vec![]),
        ("renamed and back", vec![vec![project(10, 3, "team/c")], vec![project(10, 3, "team/A")]], vec!["team/c 10"]),
        ("another case", vec![vec![project(10, 3, "team/A")]], vec![]),
        (
            "a path that two left",
            vec![vec![project(10, 3, "team/c")], vec![project(11, 3, "team/a")], vec![project(11, 3, "team/e")]],
            vec!["team/a 11", "team/b 11"],
        ),
        ("moved on by another", vec![vec![project(10, 3, "team/c"), project(11, 3, "team/a")]], vec!["team/b 11"]),
    ] {
        let (_folder, state) = opened(&start).await;
        for file in files {
            apply(&state, "", &file).await;
        }
        assert_eq!(redirects(&state), expected, "{case}");
    }
}

#[tokio::test]
async fn the_redirects_of_a_project_go_with_it() {
    let (_folder, state) = opened(&with(groups("team"), &[project(10, 3, "team/p")])).await;
    apply(&state, "", &[project(10, 3, "team/renamed")]).await;
    apply(&state, "?prune&accept_loss", &groups("team")).await;
    assert_eq!(redirects(&state), Vec::<String>::new());
    let (status, body) = push(&state, BOB, "team/p").await;
    assert_eq!((status, &body["gl_project_path"]), (StatusCode::OK, &Value::from("team/p")));
    assert_ne!(body["gl_repository"], Value::from("project-10"));
}

#[tokio::test]
async fn a_rename_of_more_than_one_commit_carries_leaves_a_redirect_for_each() {
    let all = |group: &str| {
        let projects: Vec<String> = (100..1_200).map(|id| project(id, 3, &format!("{group}/p{id}"))).collect();
        with(groups(group), &projects)
    };
    let (_folder, state) = opened(&all("team")).await;
    apply(&state, "?prune", &all("crew")).await;
    assert_eq!(redirects(&state).len(), 1_100);
    assert_reaches(&state, "team/p777", "project-777", "crew/p777").await;
}

#[tokio::test]
async fn a_file_with_a_redirect_from_the_path_of_a_project_is_refused_by_its_line() {
    let (_folder, state) = opened(&with(groups("team"), &[project(10, 3, "team/p"), project(11, 3, "team/q")])).await;
    for (file, named) in [
        (vec![redirect("TEAM/p", 11)], "line 1: the path `TEAM/p` stands in the directory already"),
        (vec![project(11, 3, "team/r"), redirect("team/r", 10)], "line 2: the path `team/r` stands in line 1 already"),
    ] {
        let (status, body) = try_apply(&state, "", &file).await;
        assert_eq!((status, body["message"].as_str().unwrap_or_default()), (StatusCode::UNPROCESSABLE_ENTITY, named));
    }
    apply(&state, "", &[project(11, 3, "team/r"), redirect("team/q", 10)]).await;
    assert_eq!(redirects(&state), ["team/q 10"], "what the operator says of the old path counts");
}

#[tokio::test]
async fn a_group_that_is_renamed_without_what_is_in_it_is_refused_by_its_line() {
    let start = with(groups("team"), &[project(10, 3, "team/p"), project(11, 4, "team/sub/q")]);
    let team = |path: &str| format!(r#"{{"kind":"namespace","id":3,"type":"group","path":"{path}","name":"t"}}"#);
    let sub = |path: &str| format!(r#"{{"kind":"namespace","id":4,"type":"group","path":"{path}","name":"s","parent_id":3}}"#);
    let large: Vec<String> = (1_000..2_100).map(|id| super::user(id, &format!("u{id}"))).collect();
    for more in [vec![], large] {
        for (file, named) in [
            (
                vec![team("crew"), sub("crew/sub"), project(11, 4, "crew/sub/q")],
                "line 1: `path` is `crew`, but project 10 stays at `team/p`",
            ),
            (vec![team("crew"), project(10, 3, "crew/p")], "line 1: `path` is `crew`, but namespace 4 stays at `team/sub`"),
            (
                vec![team("crew"), sub("crew/sub"), project(10, 3, "crew/p")],
                "line 2: `path` is `crew/sub`, but project 11 stays at `team/sub/q`",
            ),
        ] {
            let (_folder, state) = opened(&start).await;
            let (status, body) = try_apply(&state, "", &with(file, &more)).await;
            let expected = format!("{named}; name it in the file too, with its new `path`");
            assert_eq!((status, body["message"].as_str().unwrap_or_default()), (StatusCode::UNPROCESSABLE_ENTITY, &*expected));
        }
    }
    let (_folder, state) = opened(&start).await;
    apply(&state, "", &[team("Team")]).await;
    apply(&state, "", &[team("crew"), sub("crew/sub"), project(10, 3, "crew/p"), project(11, 4, "crew/sub/q")]).await;
    assert_reaches(&state, "team/sub/q", "project-11", "crew/sub/q").await;
}

#[tokio::test]
async fn the_wiki_of_a_project_goes_before_the_old_path_of_another() {
    let (_folder, state) = opened(&with(groups("team"), &[project(10, 3, "team/x.wiki")])).await;
    apply(&state, "", &[project(10, 3, "team/y")]).await;
    assert_reaches(&state, "team/x.wiki", "project-10", "team/y").await;
    assert_ne!(push(&state, BOB, "team/x").await.0, StatusCode::OK, "its wiki would stand at the old path of another project");
    apply(&state, "", &[project(11, 3, "team/x")]).await;
    assert_reaches(&state, "team/x.wiki", "wiki-11", "team/x.wiki").await;
}
