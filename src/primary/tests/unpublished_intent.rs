//! What a crash between the directory and the private store leaves, and how the next start resolves it.

use super::{apply, broadcast, open, small_directory, user};
use crate::model::unpublished::UnpublishedRecord;
use crate::primary::directory::unpublished::{UnpublishedChanges, load_all, write_intent};

#[tokio::test]
async fn a_crash_between_the_two_databases_is_resolved_by_the_next_start() {
    let record = UnpublishedRecord::parse(&broadcast(1, "m")).unwrap();
    let changes = || UnpublishedChanges(vec![(record.sort_key(), Some(record.canonical().unwrap()))]);
    let folder = tempfile::tempdir().unwrap();

    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    write_intent(state.store.private_store(), &state.store.head(), changes()).unwrap();
    drop(state);
    let state = open(folder.path());
    assert_eq!(load_all(state.store.private_store()).unwrap(), [], "its commit was never made");

    write_intent(state.store.private_store(), &state.store.head(), changes()).unwrap();
    apply(&state, "", &[user(3, "eve")]).await;
    drop(state);
    let state = open(folder.path());
    assert_eq!(load_all(state.store.private_store()).unwrap(), vec![record.clone()], "its commit was made");
    let head = state.store.head();
    apply(&state, "?prune", &small_directory()).await;
    drop(state);
    let state = open(folder.path());
    assert_eq!(load_all(state.store.private_store()).unwrap(), [], "what was resolved is not done again");
    assert!(state.store.head().seq > head.seq);
}
