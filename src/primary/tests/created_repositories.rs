//! A project that a push creates has its repositories at Gitaly, or the push is refused and nothing is recorded: whatever Gitaly does, and
//! whatever happens to the directory meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, LocalSet};

use super::fake_gitaly::{Behavior, Call, FakeGitaly};
use super::{admin, admin_get, apply, open, options, push, small_directory, try_apply, user};
use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::record::{Record, Storage};
use crate::net::gitaly::client::GitalyClient;
use crate::primary::config::{PrimaryOptions, RepositoryCreation};
use crate::primary::directory::reserved_projects;
use crate::primary::metrics::CreationLabel;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

const TOKEN: &str = "a token of Gitaly";
/// Zoe's key in [`small_directory`].
const ZOE: u32 = 11;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

fn storage(address: &str, token: &str) -> String {
    json!({"kind": "storage", "name": "default", "address": address, "token": token}).to_string()
}

fn directory(storage: String) -> Vec<String> {
    let mut lines = small_directory();
    lines[0] = storage;
    lines
}

/// Opens the primary of a folder, which creates repositories within this time, by the certificate in `ca.pem` if there is one.
fn open_with_gitaly(folder: &Path, time_limit: Duration) -> Arc<PrimaryState> {
    let ca_file = folder.join("ca.pem");
    let client = GitalyClient::new(ca_file.exists().then_some(ca_file.as_path())).unwrap();
    let repositories = RepositoryCreation::Gitaly { client, time_limit };
    PrimaryState::open(PrimaryOptions { repositories, ..options(folder) }).unwrap()
}

/// The same with the directory of a Gitaly that knows [`TOKEN`].
async fn with_directory(folder: &Path, gitaly: &FakeGitaly, time_limit: Duration) -> Arc<PrimaryState> {
    let state = open_with_gitaly(folder, time_limit);
    apply(&state, "", &directory(storage(&gitaly.address, TOKEN))).await;
    state
}

fn creations(state: &PrimaryState, outcome: &'static str) -> u64 {
    state.metrics.creations.get_or_create(&CreationLabel { outcome }).get()
}

/// The id and the path on the storage of a project.
fn project(state: &PrimaryState, path: &str) -> Option<(u64, String)> {
    let project = state.store.directory().project_by_path(path).unwrap()?;
    Some((project.id.number(), project.relative_path.to_string()))
}

fn assert_refused((status, body): &(StatusCode, Value), expected: &str) {
    assert_eq!((*status, &body["status"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(false)), "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("Could not create project: ") && message.contains(expected), "{message}");
}

/// Zoe pushes to a path, in a task of its own.
fn start_push(state: &Arc<PrimaryState>, path: &'static str) -> JoinHandle<(StatusCode, Value)> {
    let state = Arc::clone(state);
    tokio::task::spawn_local(async move { push(&state, ZOE, path).await })
}

/// Waits for calls while the tasks of the test go on.
async fn wait_for_calls(gitaly: &Arc<FakeGitaly>, count: usize) -> Vec<Call> {
    let gitaly = Arc::clone(gitaly);
    tokio::task::spawn_blocking(move || gitaly.wait_for_calls(count)).await.unwrap()
}

/// Runs a test whose pushes are tasks beside it.
fn with_tasks(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[tokio::test]
async fn code_and_wiki_are_created_over_tcp_a_unix_socket_and_tls_with_a_token_and_without() {
    for kind in ["tcp", "unix", "tls", "without token"] {
        let folder = tempfile::tempdir().unwrap();
        let token = if kind == "without token" { "" } else { TOKEN };
        let gitaly = match kind {
            "unix" => FakeGitaly::on_unix(folder.path(), token),
            "tls" => FakeGitaly::on_tls(&folder.path().join("ca.pem"), token),
            _ => FakeGitaly::on_tcp(token),
        };
        let state = open_with_gitaly(folder.path(), LONG);
        apply(&state, "", &directory(storage(&gitaly.address, token))).await;
        let (status, body) = push(&state, ZOE, "zoe/Fresh.git").await;
        assert_eq!(status, StatusCode::OK, "{kind}: {body}");
        let (id, relative_path) = project(&state, "zoe/fresh").unwrap();
        assert_eq!(body["gitaly"]["repository"]["relative_path"], relative_path.as_str(), "{kind}");
        let call = |relative_path: String, word: &str, suffix: &str| Call {
            storage: "default".to_owned(),
            relative_path,
            gl_repository: format!("{word}-{id}"),
            gl_project_path: format!("zoe/Fresh{suffix}"),
            default_branch: "main".to_owned(),
        };
        let wiki_path = relative_path.replace(".git", ".wiki.git");
        assert_eq!(gitaly.calls(), [call(relative_path, "project", ""), call(wiki_path, "wiki", ".wiki")], "{kind}");
        assert_eq!(creations(&state, "created"), 1, "{kind}");
        assert_eq!(reserved_projects::count(state.store.private_store()).unwrap(), 0, "{kind}: it is a project now");
    }
}

#[tokio::test]
async fn whatever_gitaly_fails_with_nothing_is_recorded_and_a_retry_goes_on_with_the_same_id_and_path() {
    let cases = [
        (Behavior::Status(14, "no leader"), "unavailable", "Gitaly is not available"),
        (Behavior::Status(4, "context deadline exceeded"), "timed_out", "in time"),
        (Behavior::Status(3, "storage name \"default\" not found"), "refused", "INVALID_ARGUMENT"),
        (Behavior::Status(13, "disk full"), "refused", "INTERNAL"),
        (Behavior::Status(16, "who is it"), "token_refused", "refuses the token"),
        (Behavior::Status(7, "not you"), "token_refused", "refuses the token"),
        (Behavior::NotFound, "refused", "Gitaly refused"),
        (Behavior::HangUp, "unreachable", "cannot be reached"),
        (Behavior::CreateAndHangUp, "unreachable", "cannot be reached"),
        (Behavior::Wait, "timed_out", "within 0.05 s"),
        (Behavior::Silent, "timed_out", "within 0.05 s"),
    ];
    for (behavior, outcome, sentence) in cases {
        let folder = tempfile::tempdir().unwrap();
        let gitaly = FakeGitaly::on_tcp(TOKEN);
        gitaly.set(behavior.clone());
        let limit = if outcome == "timed_out" { SHORT } else { LONG };
        let state = with_directory(folder.path(), &gitaly, limit).await;
        let head = state.store.head();
        let refused = push(&state, ZOE, "zoe/fresh").await;
        assert_refused(&refused, sentence);
        let message = refused.1["message"].as_str().unwrap();
        assert!(!message.contains(&gitaly.address) && !message.contains(TOKEN) && !message.contains("disk full"), "for the log: {message}");
        assert_eq!((state.store.head(), project(&state, "zoe/fresh")), (head, None), "{behavior:?}");
        assert_eq!(creations(&state, outcome), 1, "{behavior:?}");
        let status = admin_get(&state, "status").await.1;
        assert_eq!((&status["creation"]["repositories"], &status["kept"]["reserved_projects"]), (&json!("gitaly"), &json!(1)), "{status}");
        assert!(status["creation"]["last_failure"]["reason"].is_string(), "{status}");

        let attempted = gitaly.calls().first().map(|call| (call.gl_repository.clone(), call.relative_path.clone()));
        drop(state);
        gitaly.set(Behavior::Create);
        let state = open_with_gitaly(folder.path(), LONG);
        assert_eq!(push(&state, ZOE, "zoe/fresh").await.0, StatusCode::OK, "after a restart, {behavior:?}");
        let (id, relative_path) = project(&state, "zoe/fresh").unwrap();
        if let Some(attempted) = attempted {
            assert_eq!((format!("project-{id}"), relative_path.clone()), attempted, "{behavior:?}");
        }
        let repositories = [relative_path.clone(), relative_path.replace(".git", ".wiki.git")];
        assert_eq!(gitaly.repositories(), repositories.into(), "none is left over, {behavior:?}");
    }
}

#[tokio::test]
async fn a_wrong_token_a_dead_gitaly_and_a_storage_without_a_usable_address_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let gitaly = FakeGitaly::on_tcp(TOKEN);
    let state = open_with_gitaly(folder.path(), LONG);
    apply(&state, "", &directory(storage(&gitaly.address, "another token"))).await;
    assert_refused(&push(&state, ZOE, "zoe/fresh").await, "refuses the token");
    apply(&state, "", &[storage(&gitaly.address, "")]).await;
    assert_refused(&push(&state, ZOE, "zoe/fresh").await, "refuses the token");
    assert_eq!(creations(&state, "token_refused"), 2);
    let address = gitaly.address.clone();
    drop(gitaly);
    let refused_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for dead in [format!("tcp://{refused_port}"), format!("unix:{}/none.sock", folder.path().display()), address.replace("tcp", "tls")] {
        apply(&state, "", &[storage(&dead, TOKEN)]).await;
        assert_refused(&push(&state, ZOE, "zoe/fresh").await, "cannot be reached");
    }
    assert_eq!(creations(&state, "unreachable"), 3);
    apply(&state, "", &[storage("dns:gitaly.internal", TOKEN)]).await;
    assert_refused(&push(&state, ZOE, "zoe/fresh").await, "the address of the storage `default` cannot be used: a host and a port");
    // As a version before wrote it.
    let Record::Storage(stored) = Record::parse(&storage("unix:/g", "")).unwrap() else { unreachable!() };
    let empty = Record::Storage(Storage { address: "".try_into().unwrap(), ..stored });
    let put = vec![Change::Put(Entry::from_record(empty).unwrap())];
    state.store.commit(|_| Ok::<_, StoreError>((put, ()))).unwrap();
    let (status, body) = push(&state, ZOE, "zoe/fresh").await;
    assert_eq!((status, &body["status"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(false)), "{body}");
    assert!(body["message"].as_str().unwrap().contains("storage `default`"), "{body}");
    assert_eq!(project(&state, "zoe/fresh"), None);
}

#[tokio::test]
async fn where_something_else_creates_repositories_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let gitaly = FakeGitaly::on_tcp(TOKEN);
    let state = open(folder.path());
    apply(&state, "", &directory(storage(&gitaly.address, TOKEN))).await;
    assert_eq!(push(&state, ZOE, "zoe/fresh").await.0, StatusCode::OK);
    assert_eq!(gitaly.calls(), []);
    assert_eq!(admin_get(&state, "status").await.1["creation"], json!({"repositories": "none", "under_way": 0, "last_failure": null}));
}

#[test]
fn while_gitaly_is_slow_others_write_and_many_pushes_to_one_path_are_one_call() {
    with_tasks(async {
        let folder = tempfile::tempdir().unwrap();
        let gitaly = Arc::new(FakeGitaly::on_tcp(TOKEN));
        let state = with_directory(folder.path(), &gitaly, LONG).await;
        gitaly.set(Behavior::Wait);
        let pushes: Vec<_> = (0..5).map(|_| start_push(&state, "zoe/fresh")).collect();
        wait_for_calls(&gitaly, 1).await;
        // The writer is free: an apply and a revocation are committed, and another project is reserved and asked for.
        apply(&state, "", &[user(3, "eve")]).await;
        assert_eq!(admin(&state, "block-user?username=eve", String::new()).await.0, StatusCode::OK);
        let other = start_push(&state, "zoe/other");
        wait_for_calls(&gitaly, 2).await;
        assert_eq!(admin_get(&state, "status").await.1["creation"]["under_way"], 2);
        assert_eq!(gitaly.calls().len(), 2, "one for each path");
        gitaly.set(Behavior::Create);
        for push in pushes {
            let (status, body) = push.await.unwrap();
            assert_eq!((status, &body["gl_project_path"]), (StatusCode::OK, &json!("zoe/fresh")), "{body}");
        }
        assert_eq!(other.await.unwrap().0, StatusCode::OK);
        let calls = gitaly.calls();
        let paths: std::collections::HashSet<_> = calls.iter().map(|call| &call.relative_path).collect();
        assert_eq!(paths.len(), 4, "code and wiki of two projects: {calls:?}");
        assert_eq!(creations(&state, "created"), 2);
        assert_eq!(state.store.directory().counts_by_kind()["project"], 3);
    });
}

#[test]
fn what_the_directory_says_at_the_end_counts() {
    with_tasks(async {
        let blocked = r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe","state":"blocked"}"#.to_owned();
        let taken = r#"{"kind":"project","id":2,"namespace_id":1,"path":"zoe/imported","name":"i","relative_path":"i.git"}"#.to_owned();
        let there = r#"{"kind":"project","id":9,"namespace_id":1,"path":"zoe/fresh","name":"n","relative_path":"n.git"}"#.to_owned();
        let moved = storage("unix:/run/another-gitaly.sock", TOKEN);
        for (meanwhile, status, message) in [
            (blocked, 401, "Your account has been blocked."),
            (taken, 422, "the directory was changed meanwhile"),
            (moved, 422, "the directory was changed meanwhile"),
            (there, 200, ""),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let gitaly = Arc::new(FakeGitaly::on_tcp(TOKEN));
            let state = with_directory(folder.path(), &gitaly, LONG).await;
            gitaly.set(Behavior::Wait);
            let push = start_push(&state, "zoe/fresh");
            wait_for_calls(&gitaly, 1).await;
            apply(&state, "", std::slice::from_ref(&meanwhile)).await;
            gitaly.set(Behavior::Create);
            let (given, body) = push.await.unwrap();
            assert_eq!(given.as_u16(), status, "{meanwhile}: {body}");
            assert!(body["message"].as_str().unwrap_or_default().contains(message), "{meanwhile}: {body}");
            let created = project(&state, "zoe/fresh").filter(|(id, _)| *id != 9);
            assert_eq!((created, creations(&state, "created")), (None, 0), "{meanwhile}");
        }
    });
}

#[test]
fn a_new_epoch_ends_what_is_reserved_and_under_way() {
    with_tasks(async {
        let folder = tempfile::tempdir().unwrap();
        let gitaly = Arc::new(FakeGitaly::on_tcp(TOKEN));
        let state = with_directory(folder.path(), &gitaly, LONG).await;
        gitaly.set(Behavior::Wait);
        let first = start_push(&state, "zoe/fresh");
        let attempted = wait_for_calls(&gitaly, 1).await[0].relative_path.clone();
        assert_eq!(admin(&state, "new-epoch", String::new()).await.0, StatusCode::OK);
        gitaly.set(Behavior::Create);
        assert_refused(&first.await.unwrap(), "the directory was changed meanwhile");
        assert_eq!(start_push(&state, "zoe/fresh").await.unwrap().0, StatusCode::OK);
        let (id, relative_path) = project(&state, "zoe/fresh").unwrap();
        assert!(id > 1_000_000 && relative_path != attempted, "{id} {relative_path}");
    });
}

#[test]
fn the_repository_of_a_project_that_was_removed_is_never_given_to_a_push_that_began_before() {
    with_tasks(async {
        let folder = tempfile::tempdir().unwrap();
        let gitaly = Arc::new(FakeGitaly::on_tcp(TOKEN));
        let state = with_directory(folder.path(), &gitaly, LONG).await;
        let (mut paths, lines) = (std::collections::HashSet::new(), directory(storage(&gitaly.address, TOKEN)));
        for round in 0..8 {
            let pushes: Vec<_> = (0..4).map(|_| start_push(&state, "zoe/fresh")).collect();
            wait_for_calls(&gitaly, 1).await;
            let (status, body) = try_apply(&state, "?prune&accept_loss", &lines).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            for push in pushes {
                let (status, body) = push.await.unwrap();
                if status == StatusCode::OK {
                    paths.insert(body["gitaly"]["repository"]["relative_path"].as_str().unwrap().to_owned());
                } else {
                    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
                }
            }
            apply(&state, "?prune&accept_loss", &lines).await;
            let known = paths.clone();
            assert_eq!(push(&state, ZOE, "zoe/fresh").await.0, StatusCode::OK);
            let (_, relative_path) = project(&state, "zoe/fresh").unwrap();
            assert!(!known.contains(&relative_path), "round {round}: {relative_path} was a project's that is gone");
            paths.insert(relative_path);
            apply(&state, "?prune&accept_loss", &lines).await;
        }
    });
}

#[test]
fn a_push_whose_client_hangs_up_leaves_what_the_next_one_goes_on_with() {
    with_tasks(async {
        let folder = tempfile::tempdir().unwrap();
        let gitaly = Arc::new(FakeGitaly::on_tcp(TOKEN));
        let state = with_directory(folder.path(), &gitaly, LONG).await;
        gitaly.set(Behavior::Wait);
        let first = start_push(&state, "zoe/fresh");
        let attempted = wait_for_calls(&gitaly, 1).await[0].clone();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let next = start_push(&state, "zoe/fresh");
        gitaly.set(Behavior::Create);
        assert_eq!(next.await.unwrap().0, StatusCode::OK);
        assert_eq!(project(&state, "zoe/fresh").unwrap().1, attempted.relative_path);
        assert_eq!(gitaly.repositories().len(), 2);
    });
}
