//! What a start could not finish because the disk was full comes before every commit, or that is refused; and a revocation that is stored
//! and not committed is not called unchanged.

use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::removed_users::{assert_nothing_left, commit_without_cleaning_up, give_everything, with_zoe};
use super::revocations::{key_ids, mark_without_commit, revoked};
use super::{admin, apply, open, small_directory, try_apply, user};
use crate::primary::state::PrimaryState;
use crate::store::tests::small_disk::SmallDisk;

/// Room for a store, and no more than a test fills in a moment.
const DISK_KIB: u64 = 32 << 10;

fn on_small_disk(folder: &Path) -> Option<SmallDisk> {
    SmallDisk::mount(&folder.join("store"), DISK_KIB)
}

/// A primary that ended between the mark of a revocation and its commit; `None` where no small disk can be mounted.
async fn with_unmade_revocation(folder: &Path) -> Option<SmallDisk> {
    let disk = on_small_disk(folder)?;
    let state = open(folder);
    apply(&state, "", &small_directory()).await;
    mark_without_commit(&state, 12, 1);
    Some(disk)
}

/// Opens the primary again on a full disk, on which nothing can be finished, and then makes room.
fn reopen_on_full_disk(folder: &Path, disk: &SmallDisk) -> Arc<PrimaryState> {
    disk.fill();
    let state = open(folder);
    disk.free_space();
    state
}

#[tokio::test]
async fn a_commit_that_comes_before_a_revocation_that_was_put_off_makes_it_first() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = with_unmade_revocation(folder.path()).await else { return };
    let state = reopen_on_full_disk(folder.path(), &disk);
    apply(&state, "", &[user(50, "new")]).await;
    assert_eq!((key_ids(&state), revoked(&state)), ([11].into(), (1, 1)), "the key and the mark");
    apply(&state, "", &small_directory()).await;
    assert_eq!((key_ids(&state), revoked(&state)), ([11].into(), (1, 1)), "it is held against the next file");
}

#[tokio::test]
async fn who_gets_a_free_number_before_what_was_put_off_is_done_gets_nothing_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = on_small_disk(folder.path()) else { return };
    let state = open(folder.path());
    apply(&state, "", &with_zoe()).await;
    let given = give_everything(&state).await;
    commit_without_cleaning_up(&state);
    drop(state);
    let state = reopen_on_full_disk(folder.path(), &disk);
    apply(&state, "", &with_zoe()).await;
    assert_nothing_left(&state, &given).await;
}

#[tokio::test]
async fn on_a_full_disk_a_change_is_refused_for_what_is_to_be_finished_first() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = with_unmade_revocation(folder.path()).await else { return };
    disk.fill();
    let state = open(folder.path());
    let (status, body) = admin(&state, "block-user", json!({"username": "bob"}).to_string()).await;
    let message = body["message"].as_str().unwrap();
    assert!(status == StatusCode::FAILED_DEPENDENCY && message.contains("last end") && message.contains("full"), "{status} {body}");
    assert_eq!((key_ids(&state), revoked(&state)), ([11, 12].into(), (1, 1)));
}

#[tokio::test]
async fn a_revocation_whose_commit_is_refused_is_not_called_unchanged_and_comes_before_the_next_commit() {
    let folder = tempfile::tempdir().unwrap();
    // The directory's records on a disk of their own, so that there is room for the mark and none for the commit.
    let Some(disk) = SmallDisk::mount(&folder.path().join("store/generations"), DISK_KIB) else { return };
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(folder.path().join("store"), private).unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    disk.fill();
    let (status, body) = admin(&state, "revoke-key", json!({"id": 12}).to_string()).await;
    let message = body["message"].as_str().unwrap();
    assert!(status == StatusCode::FAILED_DEPENDENCY && message.contains("is not in force yet"), "{status} {body}");
    assert!(!message.contains("was not;") && !message.contains("  "), "{message}");
    assert_eq!((key_ids(&state), revoked(&state)), ([11, 12].into(), (1, 0)));
    disk.free_space();
    apply(&state, "", &[user(50, "new")]).await;
    assert_eq!((key_ids(&state), revoked(&state)), ([11].into(), (1, 0)));
}

#[tokio::test]
async fn what_an_apply_could_not_clean_up_comes_before_the_next_commit() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &with_zoe()).await;
    let given = give_everything(&state).await;
    commit_without_cleaning_up(&state);
    state.writer.lock().unwrap().leave_repairs();
    let (status, _) = try_apply(&state, "", &with_zoe()).await;
    assert_eq!(status, StatusCode::OK);
    assert_nothing_left(&state, &given).await;
}
