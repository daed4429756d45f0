//! What belonged to a user goes with the user: a number that comes back is a new person, who has nothing of the one before.

use std::path::Path;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::child::{child_folder, kill_after, report_done};
use super::{OTHER_USER, apply, call, handle, json_request, open, small_directory};
use crate::model::clock;
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::model::record::User;
use crate::primary::callers::requester::is_still_entitled;
use crate::primary::credentials::access_tokens::{NewToken, TokenCreation, create_token};
use crate::primary::credentials::last_used::{LastUsedSubject, last_used_on};
use crate::primary::credentials::recovery_codes::replace_codes;
use crate::primary::credentials::token_scope::TokenScope;
use crate::primary::extras::kubernetes::usage_counts;
use crate::primary::pushes::messages::{self, MessageKind};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;
use crate::wire::kubernetes::UsageMetrics;

const SET: &str = "k8s_api_proxy_requests_unique_users_via_ci_access";

fn zoe() -> Id {
    1.try_into().unwrap()
}

/// [`small_directory`] with two factors for Zoe, so that she may have recovery codes.
pub(super) fn with_zoe() -> Vec<String> {
    small_directory().into_iter().map(|line| line.replace(r#""name":"The zoe""#, r#""name":"The zoe","two_factor":true"#)).collect()
}

/// The whole directory without Zoe, and what is hers.
pub(super) fn without_zoe() -> Vec<String> {
    let of_zoe = [r#""id":1,"#, r#""user_id":1,"#];
    small_directory().into_iter().filter(|line| !of_zoe.iter().any(|mark| line.contains(mark))).collect()
}

async fn token(state: &Arc<PrimaryState>) -> String {
    let (status, body) = call(state, "internal/personal_access_token", &json!({"key_id": 11, "name": "t", "scopes": ["api"]})).await;
    assert!(status == StatusCode::OK && body["success"] == true, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

async fn is_token_good(state: &Arc<PrimaryState>, token: &str) -> bool {
    let request = json_request(Method::GET, "/api/v4/personal_access_tokens/self").header("private-token", token);
    match handle(state, OTHER_USER, request.body("").unwrap()).await.0 {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

async fn lfs_token(state: &Arc<PrimaryState>) -> Value {
    let (status, body) = call(state, "internal/lfs_authenticate", &json!({"key_id": 11, "project": "zoe/p", "operation": "upload"})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn is_lfs_token_good(state: &Arc<PrimaryState>, token: &Value) -> bool {
    let proof = json!({"login": token["username"], "token": token["lfs_token"], "project": "zoe/p", "operation": "download"});
    call(state, "internal/sidegate/lfs_verify", &proof).await.0 == StatusCode::OK
}

fn record_uses(state: &PrimaryState) {
    for subject in [LastUsedSubject::User(zoe()), LastUsedSubject::Key(11.try_into().unwrap())] {
        state.last_used.record(subject, clock::wall_time());
    }
}

fn uses(state: &PrimaryState) -> Vec<bool> {
    let subjects = [LastUsedSubject::User(zoe()), LastUsedSubject::Key(11.try_into().unwrap())];
    subjects.map(|subject| last_used_on(state.store.private_store(), subject).unwrap().is_some()).into()
}

fn add_to_set(state: &PrimaryState) {
    let usage = UsageMetrics { unique: [(SET, [zoe()].into())].into(), ..UsageMetrics::default() };
    usage_counts::add_usage(&state.store, &usage).unwrap();
}

fn set_size(state: &PrimaryState) -> u64 {
    usage_counts::load_totals(state.store.private_store()).unwrap().get(SET).copied().unwrap_or(0)
}

fn queue_message(state: &PrimaryState) {
    messages::queue(&state.store, zoe(), "project-1", MessageKind::Moved, "moved".to_owned(), clock::wall_time()).unwrap();
}

fn waiting_messages(state: &PrimaryState) -> Vec<String> {
    let (private_store, now) = (state.store.private_store(), clock::wall_time());
    private_store.update::<_, StoreError>(|store| messages::prepare_take(store, zoe(), "project-1", now)).unwrap()
}

fn has_codes(state: &PrimaryState) -> bool {
    !state.store.private_store().scan_prefix(b"codes/").unwrap().is_empty()
}

/// Gives Zoe one of everything that the private store has of a user, and returns her token and her LFS token.
pub(super) async fn give_everything(state: &Arc<PrimaryState>) -> (String, Value) {
    let (_, codes) = call(state, "internal/two_factor_recovery_codes", &json!({"key_id": 11})).await;
    assert_eq!(codes["success"], true, "{codes}");
    queue_message(state);
    record_uses(state);
    state.last_used.persist(&state.store).unwrap();
    add_to_set(state);
    let given = (token(state).await, lfs_token(state).await);
    assert!(is_token_good(state, &given.0).await && is_lfs_token_good(state, &given.1).await);
    assert_eq!((uses(state), set_size(state), has_codes(state)), (vec![true, true], 1, true));
    given
}

pub(super) async fn assert_nothing_left(state: &Arc<PrimaryState>, (token, lfs_token): &(String, Value)) {
    assert!(!is_token_good(state, token).await, "the token of the one before is not the new person's");
    assert!(!is_lfs_token_good(state, lfs_token).await, "nor is the LFS token");
    assert!(!has_codes(state), "recovery codes");
    assert_eq!(waiting_messages(state), [""; 0], "messages");
    assert_eq!(uses(state), [false, false], "last uses");
    assert_eq!(set_size(state), 0, "counters");
    assert_eq!(state.store.private_store().scan_prefix(b"token/").unwrap(), [], "tokens");
}

async fn opened() -> (tempfile::TempDir, Arc<PrimaryState>) {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &with_zoe()).await;
    (folder, state)
}

/// Removes Zoe by the commit alone, as if the process were killed right after it.
pub(super) fn commit_without_cleaning_up(state: &PrimaryState) {
    let gone = with_zoe().into_iter().filter(|line| !without_zoe().contains(line));
    let delete = |line: String| {
        let entry = crate::model::entry::Entry::parse(&line).unwrap();
        crate::model::change::Change::Delete(crate::model::record_identity::RecordIdentity::from_entry(&entry))
    };
    let changes: Vec<_> = gone.map(delete).collect();
    crate::primary::user_data::mark_gone(state.store.private_store(), &state.store.head(), &[zoe()]).unwrap();
    state.store.commit(|_| Ok::<_, StoreError>((changes, ()))).unwrap();
}

#[tokio::test]
async fn a_number_that_comes_back_has_nothing_of_the_user_before() {
    let (_folder, state) = opened().await;
    let given = give_everything(&state).await;
    apply(&state, "?prune&accept_loss", &without_zoe()).await;
    apply(&state, "?prune", &with_zoe()).await;
    assert_nothing_left(&state, &given).await;
    let (again, lfs) = give_everything(&state).await;
    assert!(again != given.0 && lfs["lfs_token"] != given.1["lfs_token"]);
}

#[tokio::test]
async fn what_others_have_stays_when_a_user_goes() {
    let (_folder, state) = opened().await;
    let bob = call(&state, "internal/personal_access_token", &json!({"key_id": 12, "name": "t", "scopes": ["api"]})).await.1;
    apply(&state, "?prune&accept_loss", &without_zoe()).await;
    assert!(is_token_good(&state, bob["token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn a_crash_between_the_removal_and_the_cleaning_up_leaves_it_to_the_next_start() {
    let (folder, state) = opened().await;
    let given = give_everything(&state).await;
    commit_without_cleaning_up(&state);
    drop(state);
    let state = open(folder.path());
    apply(&state, "", &with_zoe()).await;
    assert_nothing_left(&state, &given).await;
}

#[tokio::test]
async fn what_is_under_way_while_a_user_is_removed_leaves_nothing_behind() {
    let (_folder, state) = opened().await;
    let before: Arc<User> = state.store.directory().user(zoe()).unwrap().unwrap();
    record_uses(&state);
    apply(&state, "?prune&accept_loss", &without_zoe()).await;
    // Each of these was identified before the removal, and is stored after it.
    let now = clock::wall_time();
    let wanted = || NewToken { user_id: zoe(), name: "t".try_into().unwrap(), scopes: vec![TokenScope::Api], expires_at: None };
    let is_entitled = |directory: &_| is_still_entitled(directory, &before, None, now);
    assert_eq!(create_token(&state.store, wanted(), now, is_entitled).unwrap(), TokenCreation::NotEntitled);
    assert_eq!(replace_codes(&state.store, zoe(), now, is_entitled).unwrap(), None);
    queue_message(&state);
    add_to_set(&state);
    record_uses(&state);
    state.last_used.persist(&state.store).unwrap();
    assert_eq!((uses(&state), set_size(&state), has_codes(&state)), (vec![false, false], 0, false));
    record_uses(&state);
    apply(&state, "", &with_zoe()).await;
    state.last_used.persist(&state.store).unwrap();
    assert_eq!(uses(&state), [false, false], "what waited in memory was the other's");
    assert_eq!(waiting_messages(&state), [""; 0]);
    record_uses(&state);
    state.last_used.persist(&state.store).unwrap();
    assert_eq!(uses(&state), [true, true], "her own counts, also on the same day");
}

#[tokio::test]
async fn a_token_is_not_stored_for_a_key_that_was_revoked_or_an_account_that_was_blocked_meanwhile() {
    for (command, body) in [("revoke-key", json!({"id": 11})), ("block-user", json!({"username": "zoe"}))] {
        let (_folder, state) = opened().await;
        let directory = state.store.directory();
        let (user, key) = (directory.user(zoe()).unwrap().unwrap(), directory.key(11.try_into().unwrap()).unwrap().unwrap());
        assert!(is_still_entitled(&directory, &user, Some(&key), clock::wall_time()).unwrap());
        let (status, _) = super::admin(&state, command, body.to_string()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!is_still_entitled(&state.store.directory(), &user, Some(&key), clock::wall_time()).unwrap(), "{command}");
    }
}

#[tokio::test]
async fn operations_of_this_minute_are_not_counted_against_who_gets_the_number() {
    let limit = r#"{"kind":"settings","operations_per_minute":1000000000}"#.replace("1000000000", "3");
    let (_folder, state) = opened().await;
    apply(&state, "", std::slice::from_ref(&limit)).await;
    let question = json!({"key_id": 11, "project": "zoe/p", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let mut limited = false;
    for _ in 0..8 {
        limited |= call(&state, "internal/allowed", &question).await.0 == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(limited);
    apply(&state, "?prune&accept_loss", &[without_zoe(), vec![limit.clone()]].concat()).await;
    apply(&state, "", &with_zoe()).await;
    assert_eq!(call(&state, "internal/allowed", &question).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_uses_of_many_are_forgotten_as_those_of_few_are() {
    let (_folder, state) = opened().await;
    record_uses(&state);
    state.last_used.persist(&state.store).unwrap();
    record_uses(&state);
    let others = (100..12_100_u64).map(|id| LastUsedSubject::User(id.try_into().unwrap()));
    state.last_used.forget(state.store.private_store(), others.chain([LastUsedSubject::User(zoe())]).collect()).unwrap();
    assert_eq!(uses(&state), [false, true]);
    state.last_used.persist(&state.store).unwrap();
    assert_eq!(uses(&state), [false, true], "nor does it wait in memory");
}

#[tokio::test]
async fn child_removes_and_adds_a_user_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let state = open(Path::new(&folder));
    loop {
        apply(&state, "?prune&accept_loss", &with_zoe()).await;
        report_done(&format!("given {}", token(&state).await));
        apply(&state, "?prune&accept_loss", &without_zoe()).await;
        report_done("removed");
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_leaves_no_token_of_a_removed_user() {
    let folder = tempfile::tempdir().unwrap();
    for steps in 1..=6 {
        let done = kill_after(steps, "removed_users::child_removes_and_adds_a_user_until_it_is_killed", folder.path());
        let tokens: Vec<&str> = done.iter().filter_map(|step| step.strip_prefix("given ")).collect();
        let state = open(folder.path());
        let was_removed = state.store.directory().user(zoe()).unwrap().is_none();
        apply(&state, "", &with_zoe()).await;
        for (index, token) in tokens.iter().enumerate() {
            let is_last = index + 1 == tokens.len() && !was_removed && done.last().is_some_and(|step| step != "removed");
            assert!(is_last || !is_token_good(&state, token).await, "{done:?}");
        }
    }
}
