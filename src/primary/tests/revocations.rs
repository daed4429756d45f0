//! What the operator revoked stays revoked: against later files of any size, files that were staged before, crashes between two writes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::child::{child_folder, kill_after, report_done};
use super::{admin, apply, call, open, own_uid, small_directory, try_apply, user};
use crate::model::change::Change;
use crate::model::clock;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::enums::UserState;
use crate::model::memory_directory::ed25519_public_key;
use crate::model::record::Record;
use crate::primary::apply::constraints::Constraints;
use crate::primary::apply::diff::Unlisted;
use crate::primary::apply::execute::{ApplyMode, ApplyOptions, apply_staged};
use crate::primary::apply::held_revocations::{OnRevoked, RevocationPolicy, hold_revocations};
use crate::primary::apply::staged_file::StagedFile;
use crate::primary::directory::revocations::{self, Order};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// How many users make a file too large for one commit, so that it replaces the directory.
const MANY_USERS: u32 = 1_100;

fn key_line(id: u32, blob: u32, more: &str) -> String {
    let key = ed25519_public_key(blob.into());
    format!(r#"{{"kind":"key","id":{id},"title":"t","key":"{key}","created_at":"2026-01-31T12:00:00.000Z"{more}}}"#)
}

fn many_users() -> Vec<String> {
    (1_000..1_000 + MANY_USERS).map(|id| user(id, &format!("u{id}"))).collect()
}

fn with(mut lines: Vec<String>, more: &[String]) -> Vec<String> {
    lines.extend_from_slice(more);
    lines
}

async fn opened(lines: &[String]) -> (tempfile::TempDir, Arc<PrimaryState>) {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", lines).await;
    (folder, state)
}

async fn revoke_key(state: &Arc<PrimaryState>, id: u32) -> Value {
    let (status, body) = admin(state, "revoke-key", json!({"id": id}).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn block_user(state: &Arc<PrimaryState>, name: &str) {
    let (status, body) = admin(state, "block-user", json!({"username": name}).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

/// Applies a file and returns what it says about revocations.
async fn revocations_of(state: &Arc<PrimaryState>, query: &str, lines: &[String]) -> Value {
    let (status, body) = try_apply(state, query, lines).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["revocations"].clone()
}

/// The lines of the file that were held or undone, each as its kind, its id and its line.
fn lines_of(list: &Value) -> Vec<(String, u64, u64)> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| (one["kind"].as_str().unwrap().to_owned(), one["id"].as_u64().unwrap(), one["line"].as_u64().unwrap())).collect()
}

pub(super) fn key_ids(state: &PrimaryState) -> BTreeSet<u64> {
    let records = state.store.directory().entries().filter_map(|entry| entry.unwrap().record().cloned());
    records.filter_map(|record| if let Record::Key(key) = &*record { Some(key.id.number()) } else { None }).collect()
}

fn grants(state: &PrimaryState) -> usize {
    let records = state.store.directory().entries().filter_map(|entry| entry.unwrap().record().cloned());
    records.filter(|record| matches!(**record, Record::DeployGrant(_))).count()
}

pub(super) fn revoked(state: &PrimaryState) -> (usize, usize) {
    revocations::count(state.store.private_store()).unwrap()
}

async fn is_refused(state: &Arc<PrimaryState>, key_id: u32) -> bool {
    let body = json!({"key_id": key_id, "project": "zoe/p", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let (status, body) = call(state, "internal/allowed", &body).await;
    assert!(status == StatusCode::OK || body["status"] == false, "{body}");
    status != StatusCode::OK
}

#[tokio::test]
async fn a_nightly_file_brings_back_neither_a_revoked_key_nor_a_blocked_user_and_the_rest_of_it_is_applied() {
    for (query, more) in [("", vec![]), ("?prune", vec![]), ("", many_users()), ("?prune", many_users())] {
        let nightly = with(small_directory(), &more);
        let (folder, mut state) = opened(&small_directory()).await;
        revoke_key(&state, 12).await;
        block_user(&state, "zoe").await;
        for round in 0..3 {
            let lines = with(nightly.clone(), &[user(50 + round, &format!("new{round}"))]);
            let said = revocations_of(&state, &format!("{query}{}", if query.is_empty() { "" } else { "&accept_loss" }), &lines).await;
            assert_eq!(lines_of(&said["held"]), [("key".to_owned(), 12, 7), ("user".to_owned(), 1, 2)], "{query} {round}");
            assert_eq!((&said["undone"], &said["ended"]), (&json!([]), &json!(0)));
            assert_eq!(said["held"][0]["by"], json!(format!("uid {}", own_uid())));
            assert_eq!(key_ids(&state), [11].into(), "{query} {round}");
            assert!(is_refused(&state, 11).await, "{query} {round}: the owner is blocked");
            assert!(state.store.directory().record_lines().any(|line| line.unwrap().contains(&format!("new{round}"))));
            drop(state);
            state = open(folder.path());
        }
        assert_eq!(revoked(&state), (1, 1));
    }
}

#[tokio::test]
async fn a_revoked_key_under_another_id_is_held_and_another_key_under_its_id_is_not() {
    let (_folder, state) = opened(&small_directory()).await;
    revoke_key(&state, 12).await;
    let said = revocations_of(&state, "", &[key_line(99, 12, r#","user_id":2"#), key_line(12, 77, r#","user_id":2"#)]).await;
    assert_eq!(lines_of(&said["held"]), [("key".to_owned(), 99, 1)]);
    assert_eq!(key_ids(&state), [11, 12].into(), "the id is free for another key");
}

#[tokio::test]
async fn the_grants_of_a_revoked_deploy_key_are_held_with_it() {
    let grant = r#"{"kind":"deploy_grant","key_id":13,"project_id":1}"#.to_owned();
    let nightly = with(small_directory(), &[key_line(13, 13, r#","deploy":true"#), grant.clone()]);
    for query in ["", "?prune"] {
        let (_folder, state) = opened(&nightly).await;
        assert_eq!(grants(&state), 1);
        revoke_key(&state, 13).await;
        let said = revocations_of(&state, query, &nightly).await;
        assert_eq!(lines_of(&said["held"]), [("key".to_owned(), 13, 8)]);
        assert_eq!((grants(&state), key_ids(&state)), (0, [11, 12].into()));
        apply(&state, "", std::slice::from_ref(&grant)).await;
        assert_eq!(grants(&state), 0, "a file of the grants alone");
        // Another deploy key has the id now: the grants of the older file are not for it.
        apply(&state, "", &[key_line(13, 14, r#","deploy":true"#)]).await;
        apply(&state, "", &nightly[6..]).await;
        assert_eq!(grants(&state), 0);
        apply(&state, "", std::slice::from_ref(&grant)).await;
        assert_eq!(grants(&state), 1, "one that is meant for it is");
    }
}

#[tokio::test]
async fn revocations_are_undone_only_on_purpose_and_only_those_that_the_file_has() {
    let (_folder, state) = opened(&small_directory()).await;
    revoke_key(&state, 11).await;
    revoke_key(&state, 12).await;
    block_user(&state, "zoe").await;
    let said = revocations_of(&state, "?undo_revocations", &[key_line(12, 12, r#","user_id":2"#)]).await;
    assert_eq!((lines_of(&said["undone"]), &said["held"]), (vec![("key".to_owned(), 12, 1)], &json!([])));
    assert_eq!((key_ids(&state), revoked(&state)), ([12].into(), (1, 1)));
    let said = revocations_of(&state, "?undo_revocations&prune", &small_directory()).await;
    assert_eq!(lines_of(&said["undone"]), [("key".to_owned(), 11, 6), ("user".to_owned(), 1, 2)]);
    assert_eq!((key_ids(&state), revoked(&state)), ([11, 12].into(), (0, 0)));
    assert!(!is_refused(&state, 11).await);
    assert_eq!(revocations_of(&state, "?prune", &small_directory()).await, json!({"held": [], "undone": [], "ended": 0}));
}

/// A whole directory in which all is revoked that [`revoke_both`] revokes.
fn newer() -> Vec<Vec<String>> {
    let with_zoe_as = |state: &str| {
        let zoe = user(1, "zoe").replace(r#""name""#, &format!(r#""state":"{state}","name""#));
        let rest = small_directory().into_iter().enumerate().filter(|(index, _)| ![1, 6].contains(index)).map(|(_, line)| line);
        rest.chain([zoe]).collect()
    };
    let of_zoe = [r#""id":1,"#, r#""user_id":1,"#, r#""id":12,"#];
    let without_zoe = small_directory().into_iter().filter(|line| !of_zoe.iter().any(|mark| line.contains(mark))).collect();
    vec![with_zoe_as("blocked"), with_zoe_as("banned"), without_zoe]
}

async fn revoke_both(state: &Arc<PrimaryState>) {
    revoke_key(state, 12).await;
    block_user(state, "zoe").await;
}

#[tokio::test]
async fn an_older_file_undoes_nothing_also_after_a_newer_one_that_revokes_as_well() {
    for newer in newer() {
        let (folder, state) = opened(&small_directory()).await;
        revoke_both(&state).await;
        apply(&state, "?prune&accept_loss", &newer).await;
        assert_eq!(revoked(&state), (1, 1));
        let said = revocations_of(&state, "?prune", &small_directory()).await;
        assert_eq!(lines_of(&said["held"]), [("key".to_owned(), 12, 7), ("user".to_owned(), 1, 2)]);
        drop(state);
        let state = open(folder.path());
        assert_eq!((key_ids(&state), is_refused(&state, 11).await), ([11].into(), true));
    }
}

#[tokio::test]
async fn a_revocation_ends_once_the_files_have_revoked_as_well_for_a_year() {
    let year = Duration::from_secs(365 * 24 * 3600);
    for newer in newer() {
        let (_folder, state) = opened(&small_directory()).await;
        revoke_both(&state).await;
        let apply_at = |lines: &[String], unlisted, at: Duration| {
            let (staged, constraints) = stage(&state, lines);
            let now = clock::wall_time().plus(at);
            let options = ApplyOptions { unlisted, accept_loss: true, on_revoked: OnRevoked::Hold, mode: ApplyMode::Commit, now };
            let applied = apply_staged(&state.apply_target(), staged, constraints, options).unwrap();
            (applied.revocations.held.len(), applied.revocations.ended)
        };
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(apply_at(&newer, Unlisted::Remove, day), (0, 0));
        // The time begins anew with each older file.
        assert_eq!(apply_at(&small_directory(), Unlisted::Remove, 2 * day), (2, 0));
        assert_eq!(apply_at(&newer, Unlisted::Remove, 3 * day), (0, 0));
        assert_eq!(apply_at(&small_directory()[..1], Unlisted::Keep, 4 * day), (0, 0), "a file that says nothing of them");
        assert_eq!(apply_at(&newer, Unlisted::Remove, 2 * day + year), (0, 0));
        assert_eq!(apply_at(&newer, Unlisted::Remove, 3 * day + year), (0, 2));
        assert_eq!(revoked(&state), (0, 0));
    }
}

#[tokio::test]
async fn a_number_that_comes_back_under_another_name_is_another_person_who_is_not_blocked() {
    let (_folder, state) = opened(&small_directory()).await;
    block_user(&state, "bob").await;
    apply(&state, "", &[user(2, "robert")]).await;
    assert_eq!(state.store.directory().user_by_username("robert").unwrap().unwrap().state, UserState::Blocked, "the same person");
    let without_bob: Vec<String> = small_directory().into_iter().filter(|line| !line.contains("bob") && !line.contains(":12,")).collect();
    apply(&state, "?prune", &without_bob).await;
    let said = revocations_of(&state, "", &[user(2, "BOB")]).await;
    assert_eq!(lines_of(&said["held"]), [("user".to_owned(), 2, 1)], "and the one who was blocked comes back blocked");
    apply(&state, "?prune", &without_bob).await;
    let said = revocations_of(&state, "", &[user(2, "eve")]).await;
    assert_eq!((&said["held"], &said["ended"], revoked(&state)), (&json!([]), &json!(1), (0, 0)));
    assert_eq!(state.store.directory().user_by_username("eve").unwrap().unwrap().state, UserState::Active);
}

fn stage(state: &PrimaryState, lines: &[String]) -> (StagedFile, Constraints) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    let mut constraints = Constraints::default();
    let staged = StagedFile::read(file, &state.temp_dir, &mut constraints).unwrap();
    (staged, constraints)
}

#[tokio::test]
async fn a_revocation_between_staging_and_commit_holds_for_a_small_file_and_for_one_that_is_built_beside() {
    for (unlisted, more) in [(Unlisted::Keep, vec![]), (Unlisted::Remove, vec![]), (Unlisted::Keep, many_users())] {
        let (_folder, state) = opened(&small_directory()).await;
        let lines = with(small_directory(), &with(more, &[user(3, "eve")]));
        let (staged, constraints) = stage(&state, &lines);
        revoke_key(&state, 12).await;
        block_user(&state, "zoe").await;
        let options =
            ApplyOptions { unlisted, accept_loss: false, on_revoked: OnRevoked::Hold, mode: ApplyMode::Commit, now: clock::wall_time() };
        let applied = apply_staged(&state.apply_target(), staged, constraints, options).unwrap();
        assert_eq!(applied.revocations.held.len(), 2);
        assert_eq!(key_ids(&state), [11].into(), "{unlisted:?}");
        assert!(is_refused(&state, 11).await);
        assert!(state.store.directory().record_lines().any(|line| line.unwrap().contains("eve")));
    }
}

/// Marks a key as revoked and a user as blocked, and commits neither, as if the process were killed in between.
pub(super) fn mark_without_commit(state: &PrimaryState, key_id: u64, user_id: u64) {
    let (directory, private_store) = (state.store.directory(), state.store.private_store());
    let order = || Order { at: clock::wall_time(), by: "uid 0".to_owned(), in_file_since: None };
    for entry in directory.entries() {
        match entry.unwrap().record().map(AsRef::as_ref) {
            Some(Record::Key(key)) if key.id.number() == key_id => {
                revocations::revoke_keys(&directory, private_store, &[key], &order()).map(drop).unwrap();
            }
            Some(Record::User(user)) if user.id.number() == user_id => {
                revocations::block_user(&directory, private_store, user, order()).map(drop).unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_crash_after_the_mark_and_before_the_commit_is_made_good_at_the_next_start() {
    let (folder, state) = opened(&small_directory()).await;
    mark_without_commit(&state, 12, 1);
    assert_eq!(key_ids(&state), [11, 12].into());
    drop(state);
    let state = open(folder.path());
    assert_eq!(key_ids(&state), [11].into());
    assert!(is_refused(&state, 11).await);
    let seq = state.store.head().seq;
    drop(state);
    assert_eq!(open(folder.path()).store.head().seq, seq, "once");
}

#[tokio::test]
async fn a_crash_after_the_commit_of_an_undoing_does_not_revoke_again() {
    let (folder, state) = opened(&small_directory()).await;
    revoke_key(&state, 12).await;
    block_user(&state, "zoe").await;
    // As an undoing does whose process is killed right after its commit.
    let lines = small_directory();
    let changes: Vec<Change> = [&lines[1], &lines[6]].map(|line| Change::Put(Entry::parse(line).unwrap())).into();
    state.store.commit(|_| Ok::<_, StoreError>((changes, ()))).unwrap();
    drop(state);
    let state = open(folder.path());
    assert_eq!((key_ids(&state), revoked(&state)), ([11, 12].into(), (0, 0)));
    apply(&state, "", &small_directory()).await;
    assert!(!is_refused(&state, 11).await);
}

#[tokio::test]
async fn a_revocation_that_is_repeated_answers_as_the_first_one_did() {
    let (_folder, state) = opened(&small_directory()).await;
    let first = revoke_key(&state, 12).await;
    let again = revoke_key(&state, 12).await;
    assert_eq!((&again["message"], &again["head"]), (&first["message"], &first["head"]));
    let (status, _) = admin(&state, "revoke-key", json!({"id": 999}).to_string()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn child_revokes_and_undoes_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let state = open(Path::new(&folder));
    for round in 0.. {
        let more = if round % 3 == 0 { many_users() } else { Vec::new() };
        apply(&state, "?undo_revocations", &with(small_directory(), &more)).await;
        report_done("undone");
        revoke_key(&state, 12).await;
        report_done("revoked");
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_leaves_a_revocation_that_was_answered_and_no_file_undoes_it() {
    let folder = tempfile::tempdir().unwrap();
    for steps in 1..=8 {
        let done = kill_after(steps, "revocations::child_revokes_and_undoes_until_it_is_killed", folder.path());
        let state = open(folder.path());
        let (present, marked) = (key_ids(&state).contains(&12), revoked(&state).0 == 1);
        assert_ne!(present, marked, "after {done:?}: the key is in the directory, or it is revoked");
        apply(&state, "", &small_directory()).await;
        assert_eq!(key_ids(&state).contains(&12), present, "after {done:?}");
    }
}

#[tokio::test]
async fn a_key_is_revoked_by_its_fingerprint_and_all_keys_of_a_user_by_the_name() {
    let more = [key_line(21, 21, r#","user_id":1"#), key_line(22, 22, r#","user_id":1"#)];
    let (folder, state) = opened(&with(small_directory(), &more)).await;
    let fingerprint = revoke_key(&state, 12).await["revoked"]["fingerprint"].clone();
    for _again in 0..2 {
        let (status, body) = admin(&state, "revoke-key", json!({"fingerprint": fingerprint}).to_string()).await;
        assert_eq!((status, &body["revoked"]["id"]), (StatusCode::OK, &json!(12)), "{body}");
    }
    let seq = state.store.head().seq;
    let (status, body) = admin(&state, "revoke-key", json!({"username": "ZOE"}).to_string()).await;
    let ids: Vec<u64> = body["revoked"]["keys"].as_array().unwrap().iter().map(|key| key["id"].as_u64().unwrap()).collect();
    assert_eq!((status, ids, key_ids(&state)), (StatusCode::OK, vec![11, 21, 22], [].into()), "{body}");
    assert_eq!((revoked(&state), state.store.head().seq), ((4, 0), seq + 1), "in one commit");
    drop(state);
    let state = open(folder.path());
    let said = revocations_of(&state, "", &with(small_directory(), &more)).await;
    assert_eq!((said["held"].as_array().unwrap().len(), key_ids(&state)), (4, [].into()));
    let (status, body) = admin(&state, "revoke-key", json!({"username": "zoe"}).to_string()).await;
    assert_eq!((status, &body["revoked"]["keys"]), (StatusCode::OK, &json!([])), "{body}");
    for (body, expected) in [
        (json!({}), StatusCode::BAD_REQUEST),
        (json!({"id": 11, "username": "zoe"}), StatusCode::BAD_REQUEST),
        (json!({"fingerprint": "SHA256:x"}), StatusCode::BAD_REQUEST),
        (json!({"fingerprint": format!("SHA256:{}", "A".repeat(43))}), StatusCode::NOT_FOUND),
        (json!({"username": "nobody"}), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(admin(&state, "revoke-key", body.to_string()).await.0, expected, "{body}");
    }
}

async fn unblock(state: &Arc<PrimaryState>, name: &str) -> (StatusCode, Value) {
    admin(state, "unblock-user", json!({"username": name}).to_string()).await
}

#[tokio::test]
async fn an_unblocked_user_has_the_state_from_before_and_files_count_again() {
    let (folder, state) = opened(&small_directory()).await;
    block_user(&state, "zoe").await;
    block_user(&state, "zoe").await;
    assert!(is_refused(&state, 11).await);
    let (status, body) = unblock(&state, "Zoe").await;
    assert_eq!((status, &body["unblocked"]["state"], &body["head"]["seq"]), (StatusCode::OK, &json!("active"), &json!(3)), "{body}");
    assert!(!is_refused(&state, 11).await && revoked(&state) == (0, 0));
    assert_eq!(unblock(&state, "zoe").await.0, StatusCode::OK, "once more changes nothing");
    assert_eq!(state.store.head().seq, 3);
    assert_eq!(unblock(&state, "nobody").await.0, StatusCode::NOT_FOUND);
    drop(state);
    let state = open(folder.path());
    let said = revocations_of(&state, "", &small_directory()).await;
    assert_eq!((&said["held"], is_refused(&state, 11).await), (&json!([]), false));
    let deactivated = user(1, "zoe").replace('}', r#","state":"deactivated"}"#);
    apply(&state, "", &[deactivated]).await;
    block_user(&state, "zoe").await;
    assert_eq!(unblock(&state, "zoe").await.1["unblocked"]["state"], "deactivated");
}

#[tokio::test]
async fn who_is_blocked_by_the_file_is_not_unblocked_by_the_command() {
    let (_folder, state) = opened(&small_directory()).await;
    let blocked = user(1, "zoe").replace('}', r#","state":"blocked"}"#);
    apply(&state, "", std::slice::from_ref(&blocked)).await;
    let (status, body) = unblock(&state, "zoe").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["message"].as_str().unwrap().contains("the directory file says so"), "{body}");
    block_user(&state, "bob").await;
    apply(&state, "", &[blocked.replace("zoe", "bob").replace(r#""id":1"#, r#""id":2"#)]).await;
    let (status, body) = unblock(&state, "bob").await;
    assert_eq!((status, revoked(&state)), (StatusCode::CONFLICT, (0, 1)), "{body}");
}

fn zoe_as(state: &str) -> String {
    user(1, "zoe").replace('}', &format!(r#","state":"{state}"}}"#))
}

fn state_of_zoe(state: &PrimaryState) -> UserState {
    state.store.directory().user_by_username("zoe").unwrap().unwrap().state
}

#[tokio::test]
async fn who_is_unblocked_does_not_get_back_what_the_file_took_away_meanwhile() {
    for (in_file, more) in [("blocked", vec![]), ("banned", vec![]), ("deactivated", vec![]), ("pending_approval", many_users())] {
        let (folder, state) = opened(&small_directory()).await;
        block_user(&state, "zoe").await;
        apply(&state, "", &with(more, &[zoe_as(in_file)])).await;
        block_user(&state, "zoe").await;
        drop(state);
        let state = open(folder.path());
        let (before, seq) = (state_of_zoe(&state), state.store.head().seq);
        let (status, body) = unblock(&state, "zoe").await;
        assert_eq!(status, StatusCode::CONFLICT, "{in_file}: {body}");
        let said = body["message"].as_str().unwrap();
        assert!(said.contains(in_file) && said.contains("`state`"), "{said}");
        assert_eq!((state_of_zoe(&state), state.store.head().seq, revoked(&state)), (before, seq, (0, 1)), "{in_file}");
        // As the message says.
        apply(&state, "", &[user(1, "zoe")]).await;
        assert_eq!(state_of_zoe(&state), UserState::Blocked);
        let (status, body) = unblock(&state, "zoe").await;
        assert_eq!((status, &body["unblocked"]["state"]), (StatusCode::OK, &json!("active")), "{in_file}: {body}");
    }
}

#[tokio::test]
async fn who_is_unblocked_gets_what_the_file_gave_meanwhile() {
    let (_folder, state) = opened(&small_directory()).await;
    apply(&state, "", &[zoe_as("deactivated")]).await;
    block_user(&state, "zoe").await;
    apply(&state, "", &[user(1, "zoe")]).await;
    let (_, body) = unblock(&state, "zoe").await;
    assert_eq!((&body["unblocked"]["state"], state_of_zoe(&state)), (&json!("active"), UserState::Active), "{body}");
}

#[tokio::test]
async fn a_blocking_of_an_earlier_version_is_undone_only_once_a_file_says_the_state() {
    let (_folder, state) = opened(&small_directory()).await;
    block_user(&state, "zoe").await;
    let marks = state.store.private_store().scan_prefix(b"revoked/user/").unwrap();
    let entries = marks.into_iter().map(|(key, value)| {
        let mut mark: Value = serde_json::from_slice(&value).unwrap();
        mark.as_object_mut().unwrap().remove("before").unwrap();
        (key, Some(mark.to_string().into_bytes()))
    });
    let writes = crate::store::primary::private_store::PrivateWrites { entries: entries.collect() };
    state.store.private_store().write(writes).unwrap();
    let (status, body) = unblock(&state, "zoe").await;
    assert_eq!((status, state_of_zoe(&state), revoked(&state)), (StatusCode::CONFLICT, UserState::Blocked, (0, 1)), "{body}");
    assert!(body["message"].as_str().unwrap().contains("Apply the directory file"), "{body}");
    apply(&state, "", &[user(1, "zoe")]).await;
    assert_eq!(unblock(&state, "zoe").await.1["unblocked"]["state"], "active");
}

#[tokio::test]
async fn what_a_file_takes_away_is_noted_before_it_is_applied() {
    let (_folder, state) = opened(&small_directory()).await;
    block_user(&state, "zoe").await;
    let (mut staged, mut constraints) = stage(&state, &[zoe_as("deactivated")]);
    let policy = RevocationPolicy { unlisted: Unlisted::Keep, on_revoked: OnRevoked::Hold, now: clock::wall_time() };
    let directory = state.store.directory();
    let held = hold_revocations(&directory, state.store.private_store(), &mut staged, &mut constraints, policy).unwrap();
    held.write_losses(state.store.private_store()).unwrap();
    // The process ends right after the commit.
    assert_eq!(unblock(&state, "zoe").await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_crash_between_the_unblocking_and_the_end_of_its_mark_does_not_block_again() {
    let (folder, state) = opened(&small_directory()).await;
    block_user(&state, "zoe").await;
    let mark = state.store.private_store().scan_prefix(b"revoked/user/").unwrap();
    assert_eq!(unblock(&state, "zoe").await.0, StatusCode::OK);
    let entries = mark.into_iter().map(|(key, value)| (key, Some(value))).collect();
    state.store.private_store().write(crate::store::primary::private_store::PrivateWrites { entries }).unwrap();
    drop(state);
    let state = open(folder.path());
    assert!(!is_refused(&state, 11).await && revoked(&state) == (0, 0));
}
