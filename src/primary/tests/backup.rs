//! A backup is the whole store at one moment, and what is restored from it is that store with a new epoch.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use proptest::prelude::*;
use serde_json::json;

use super::revocations::{key_ids, revoked};
use super::{admin, apply, call, open, small_directory, user};
use crate::model::clock;
use crate::primary::backup::restore::{Restored, restore};
use crate::primary::backup::restored::{RESTORED_KEY, UNKNOWN_UNTIL_KEY};
use crate::primary::backup::revoked_since::RevokedSince;
use crate::primary::backup::write::write_backup;
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::StoreOptions;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::tests::small_disk::SmallDisk;
use crate::wire::directory::backup_lines;

const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 8 << 20, record_cache_entries: 16 };

fn back_up(state: &PrimaryState) -> File {
    write_backup(&state.store, &state.writer, &state.temp_dir, clock::wall_time()).unwrap()
}

fn restore_to(folder: &Path, backup: &File) -> Restored {
    let mut backup = backup;
    backup.rewind().unwrap();
    restore(backup, &folder.join("store"), OPTIONS, clock::wall_time()).unwrap()
}

fn records(state: &PrimaryState) -> Vec<String> {
    state.store.directory().record_lines().map(|line| line.unwrap().into()).collect()
}

/// The private store, without what a start or a restore writes of its own.
fn private_entries(state: &PrimaryState) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let own = [b"store-origin".as_slice(), b"missing-hosts", b"seen/project", RESTORED_KEY, UNKNOWN_UNTIL_KEY];
    let entries = state.store.private_store().scan_prefix(b"").unwrap();
    entries.into_iter().filter(|(key, _)| !own.contains(&key.as_slice())).collect()
}

async fn opened(folder: &Path, lines: &[String]) -> Arc<PrimaryState> {
    let state = open(folder);
    apply(&state, "", lines).await;
    state
}

#[tokio::test]
async fn a_restored_store_has_the_records_the_tokens_and_the_revocations_of_the_backup_and_another_epoch() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = opened(folder.path(), &small_directory()).await;
    let token = json!({"key_id": 11, "name": "t", "scopes": ["read_api"], "expires_at": null});
    let (status, made) = call(&state, "internal/personal_access_token", &token).await;
    assert!(status.is_success() && made["success"] == true, "{made}");
    let (status, _) = admin(&state, "revoke-key", json!({"id": 12}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let (backup, head) = (back_up(&state), state.store.head());
    let restored = restore_to(other.path(), &backup);
    assert!(restored.replaced.is_none() && matches!(restored.since, RevokedSince::Unknown { reason: None, .. }));
    let again = open(other.path());
    assert_eq!((records(&again), private_entries(&again)), (records(&state), private_entries(&state)));
    assert_eq!(
        (again.store.head().seq, again.store.head().state, again.store.token_seed()),
        (head.seq, head.state, state.store.token_seed())
    );
    assert_ne!(again.store.head().epoch, head.epoch);
    let missing = again.missing_hosts.current(crate::api::request::RequestTime::now()).unwrap();
    assert_eq!(missing.reason, "the store was restored from a backup");
    assert_eq!(revoked(&again), (1, 0));
}

#[tokio::test]
async fn what_was_revoked_after_the_backup_is_revoked_again_where_the_replaced_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let state = opened(folder.path(), &small_directory()).await;
    let backup = back_up(&state);
    for (target, body) in [("revoke-key", json!({"id": 12})), ("block-user", json!({"username": "zoe"}))] {
        assert_eq!(admin(&state, target, body.to_string()).await.0, StatusCode::OK);
    }
    drop(state);
    let restored = restore_to(folder.path(), &backup);
    let RevokedSince::Known(since) = restored.since else { panic!("{:?}", restored.since) };
    assert_eq!(since.len(), 2, "{since:?}");
    let state = open(folder.path());
    assert_eq!((key_ids(&state), revoked(&state)), ([11].into(), (1, 1)));
    assert!(records(&state).iter().any(|line| line.contains(r#""username":"zoe""#) && line.contains(r#""state":"blocked""#)));
}

fn is_known(restored: &Restored) -> bool {
    matches!(restored.since, RevokedSince::Known(..))
}

#[tokio::test]
async fn only_the_store_that_was_backed_up_says_what_was_revoked_since() {
    let (folder, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = opened(folder.path(), &small_directory()).await;
    let backup = back_up(&state);
    drop(state);
    assert!(is_known(&restore_to(folder.path(), &backup)), "the very store");
    assert!(is_known(&restore_to(folder.path(), &backup)), "and what was restored over it");
    // The disk was lost, systemd started the primary on an empty folder, and the operator notices.
    let state = opened(fresh.path(), &small_directory()).await;
    assert_eq!(admin(&state, "block-user", json!({"username": "bob"}).to_string()).await.0, StatusCode::OK);
    drop(state);
    let restored = restore_to(fresh.path(), &backup);
    assert!(!is_known(&restored), "{:?}", restored.since);
    let state = open(fresh.path());
    assert_eq!(revoked(&state), (0, 1), "what is revoked there is carried over all the same");
    drop(state);
    assert!(!is_known(&restore_to(fresh.path(), &backup)), "once more");
    let restored = restore_to(fresh.path(), &backup);
    assert!(!is_known(&restored), "and once more");
}

#[tokio::test]
async fn a_private_store_without_content_or_without_its_directory_says_nothing() {
    for lost in ["ledger", "CURRENT"] {
        let folder = tempfile::tempdir().unwrap();
        let state = opened(folder.path(), &small_directory()).await;
        let backup = back_up(&state);
        drop(state);
        let path = folder.path().join("store").join(lost);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        assert!(!is_known(&restore_to(folder.path(), &backup)), "{lost}");
    }
}

#[tokio::test]
async fn a_store_that_was_restored_from_an_older_backup_does_not_know_what_a_newer_one_lacks() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = opened(folder.path(), &small_directory()).await;
    let older = back_up(&state);
    apply(&state, "", &[user(50, "newer")]).await;
    let newer = back_up(&state);
    // Lost from here on.
    restore_to(other.path(), &older);
    let state = opened(other.path(), &[user(60, "sixty")]).await;
    apply(&state, "", &[user(61, "other")]).await;
    let newest = back_up(&state);
    drop(state);
    let restored = restore_to(other.path(), &newer);
    assert!(!is_known(&restored), "{:?}", restored.since);
    restore_to(folder.path().join("elsewhere").as_path(), &newest);
    let state = opened(&folder.path().join("elsewhere"), &[user(62, "more")]).await;
    drop(state);
    assert!(!is_known(&restore_to(&folder.path().join("elsewhere"), &newer)), "a backup of it does not know either");
}

#[tokio::test]
async fn what_is_revoked_again_is_in_force_before_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = opened(folder.path(), &small_directory()).await;
    let backup = back_up(&state);
    assert_eq!(admin(&state, "revoke-key", json!({"id": 12}).to_string()).await.0, StatusCode::OK);
    drop(state);
    restore_to(folder.path(), &backup);
    let store = PrimaryStore::open(&folder.path().join("store"), OPTIONS).unwrap();
    let lines: Vec<String> = store.directory().record_lines().map(|line| line.unwrap().into()).collect();
    assert!(lines.iter().any(|line| line.contains(r#""kind":"key","id":11,"#)), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(r#""kind":"key","id":12,"#)), "{lines:?}");
}

#[tokio::test]
async fn a_backup_for_which_there_is_no_room_is_refused_before_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(&folder.path().join("store"), 64 << 10) else { return };
    let lines: Vec<String> = small_directory().into_iter().chain((1_000..21_000).map(|id| user(id, &format!("u{id}")))).collect();
    let state = opened(folder.path(), &lines).await;
    let used = state.store.directory().size_on_disk();
    assert!(used >= 4 << 20, "{used}: more than what sled takes and gives back by itself");
    // What is left would take the copy's headroom, and not the copy.
    let free = state.store.free_bytes().unwrap();
    let left = (2 << 20) + used / 4;
    fs::write(folder.path().join("store/filler"), vec![1; usize::try_from(free - left).unwrap()]).unwrap();
    let guard = state.writer.lock().unwrap();
    let (shared, (sender, receiver)) = (Arc::clone(&state), std::sync::mpsc::channel());
    let asked = std::thread::spawn(move || {
        let refused = write_backup(&shared.store, &shared.writer, &shared.temp_dir, clock::wall_time()).map(drop);
        sender.send(refused).unwrap();
    });
    let refused = receiver.recv_timeout(std::time::Duration::from_secs(60));
    drop(guard);
    asked.join().unwrap();
    let refused = refused.expect("it does not wait for the lock").unwrap_err();
    assert_eq!(refused.status, StatusCode::INSUFFICIENT_STORAGE);
    assert!(
        refused.message.contains("No backup was begun") && refused.message.contains("MiB") && refused.message.contains("make room"),
        "{}",
        refused.message
    );
    fs::remove_file(folder.path().join("store/filler")).unwrap();
    back_up(&state);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anything_is_touched_and_so_is_a_store_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let state = opened(folder.path(), &small_directory()).await;
    let mut backup = back_up(&state);
    let before = (records(&state), state.store.head());
    let refused = restore(&backup, &folder.path().join("store"), OPTIONS, clock::wall_time()).unwrap_err().to_string();
    assert!(refused.contains("uses this store; stop it"), "{refused}");
    drop(state);
    let mut text = String::new();
    backup.rewind().unwrap();
    backup.read_to_string(&mut text).unwrap();
    for damaged in [text.replace("zoe", "zod"), text[..text.len() - 10].to_owned(), "nonsense\n".to_owned(), String::new()] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(damaged.as_bytes()).unwrap();
        file.rewind().unwrap();
        let refused = restore(&file, &folder.path().join("store"), OPTIONS, clock::wall_time()).unwrap_err().to_string();
        assert!(refused.starts_with("line "), "{refused}");
    }
    let names = fs::read_dir(folder.path().join("store")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with("restoring") && !name.starts_with("replaced")));
    let state = open(folder.path());
    assert_eq!((records(&state), state.store.head()), before);
}

#[tokio::test]
async fn a_backup_that_is_made_while_files_are_applied_is_one_of_the_directories_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = opened(folder.path(), &small_directory()).await;
    let is_over = AtomicBool::new(false);
    let write = async {
        let mut round = 0;
        while !is_over.load(Ordering::Relaxed) {
            round += 1;
            // Both or none of the two.
            let name = format!("pair{round}");
            apply(&state, "", &[user(100, &name), user(101, &format!("{name}b")), super::broadcast(1, &name)]).await;
        }
    };
    let back_up_often = async {
        for _ in 0..20 {
            let backing_up = Arc::clone(&state);
            let mut backup = tokio::task::spawn_blocking(move || back_up(&backing_up)).await.unwrap();
            let mut text = String::new();
            backup.read_to_string(&mut text).unwrap();
            backup_lines::verify(text.as_bytes()).unwrap();
            let name = |id: u32| {
                let line = text.lines().find(|line| line.contains(&format!(r#""kind":"user","id":{id},"#)));
                line.and_then(|line| line.split(r#""username":""#).nth(1)?.split('"').next().map(str::to_owned))
            };
            assert_eq!(name(100).map(|name| format!("{name}b")), name(101), "{text}");
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(write, back_up_often);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_a_store_is_in_what_is_restored_from_its_backup(users in prop::collection::btree_map(10_u32..99, "[a-z]{3,8}", 0..20)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut lines = small_directory();
        lines.extend(users.iter().map(|(id, name)| user(*id, &format!("{name}{id}"))));
        lines.extend(users.iter().map(|(id, name)| super::broadcast(*id, name)));
        let state = runtime.block_on(opened(folder.path(), &lines));
        let backup = back_up(&state);
        restore_to(other.path(), &backup);
        let _inside = runtime.enter();
        let again = open(other.path());
        prop_assert_eq!((records(&again), private_entries(&again)), (records(&state), private_entries(&state)));
    }
}
