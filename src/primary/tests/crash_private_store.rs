//! What a `kill -9` leaves in the private store, and of an apply that changes both databases: all that was done, nothing twice, nothing half.

use std::path::Path;

use serde_json::Map;

use super::child::{child_folder, kill_after, report_done};
use super::{apply, broadcast, open, user};
use crate::model::change::Change;
use crate::model::clock;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::finding::{ClusterLocation, VulnerabilityFinding};
use crate::model::record::{Agent, Record};
use crate::primary::directory::unpublished::broadcasts;
use crate::primary::extras::kubernetes::findings;
use crate::primary::pushes::messages::{self, MessageKind};
use crate::primary::pushes::reference_counter::{active_pushes, increment};
use crate::store::error::StoreError;

/// How many users make a file too large for one commit, so that it replaces the directory.
const MANY_USERS: u32 = 1_100;

/// Runs a child until it has reported so many steps, and returns the last number that it reported.
fn last_step_before_kill(steps: usize, test: &str, folder: &Path) -> u32 {
    kill_after(steps, &format!("crash_private_store::{test}"), folder).last().unwrap().parse().unwrap()
}

fn agent() -> Agent {
    let line = format!(r#"{{"kind":"agent","id":5,"name":"a","project_id":1,"token_sha256":"{}"}}"#, "0".repeat(64));
    match Record::parse(&line).unwrap() {
        Record::Agent(agent) => agent,
        other => panic!("{other:?}"),
    }
}

fn finding(number: u32) -> VulnerabilityFinding {
    let text = str::to_owned;
    let location = ClusterLocation { namespace: text("n"), kind: text("k"), name: text("x"), container: None, package: None };
    VulnerabilityFinding { identifier: (text("cve"), number.to_string()), location, vulnerability: Map::new(), scanner: Map::new() }
}

#[test]
fn child_stores_findings_counts_and_messages_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let state = open(Path::new(&folder));
    let (private_store, now) = (state.store.private_store(), clock::wall_time());
    let stored = findings::load_states(private_store).unwrap().get(&1).map_or(0, std::collections::BTreeMap::len);
    for number in u32::try_from(stored).unwrap() + 1.. {
        let (user, repository) = ("1".parse().unwrap(), format!("project-{number}"));
        findings::store_finding(private_store, &agent(), finding(number), now).unwrap();
        increment(private_store, &repository, now).unwrap();
        messages::queue(&state.store, user, &repository, MessageKind::Moved, "moved".to_owned(), now).unwrap();
        report_done(&number.to_string());
    }
}

#[test]
fn a_kill_loses_no_count_no_finding_and_no_message_that_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let put = Change::Put(Entry::parse(&user(1, "zoe")).unwrap());
    open(folder.path()).store.commit(|_| Ok::<_, StoreError>((vec![put], ()))).unwrap();
    let mut taken = 0;
    for round in 1..=4 {
        let last = last_step_before_kill(round * 3, "child_stores_findings_counts_and_messages_until_it_is_killed", folder.path());
        let state = open(folder.path());
        let (private_store, now) = (state.store.private_store(), clock::wall_time());
        let found = u32::try_from(findings::load_states(private_store).unwrap()[&1].len()).unwrap();
        let counted = active_pushes(private_store, now).unwrap();
        assert!(found == last || found == last + 1, "{last} were stored, {found} are there");
        assert!((taken + 1..=last).all(|number| counted.contains(&(format!("project-{number}"), 1))), "{counted:?}");
        let take = |number: u32| {
            let (user, repository) = ("1".parse().unwrap(), format!("project-{number}"));
            private_store.update::<_, StoreError>(|store| messages::prepare_take(store, user, &repository, now)).unwrap()
        };
        let waiting = (1..=last).filter(|number| take(*number) == ["moved"]).count();
        assert_eq!(
            waiting,
            usize::try_from(last - taken).unwrap(),
            "each that was stored waits once, and what was taken does not come back"
        );
        // What was being stored when the kill came may be there in part; the next round goes on behind it.
        taken = found;
        take(found);
    }
}

#[tokio::test]
async fn child_applies_files_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let state = open(Path::new(&folder));
    let applied = broadcasts(state.store.private_store()).unwrap().first().map_or(0, |broadcast| broadcast.message.parse().unwrap());
    for number in applied + 1.. {
        let mut lines = vec![user(1, &format!("u{number}")), broadcast(1, &u32::to_string(&number))];
        if number.is_multiple_of(4) {
            lines.extend((2..MANY_USERS).map(|id| user(id, &format!("u{number}-{id}"))));
        }
        apply(&state, "", &lines).await;
        report_done(&number.to_string());
    }
}

#[test]
fn a_kill_while_applying_leaves_the_whole_of_a_file_in_both_databases_or_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=8 {
        let last = last_step_before_kill(round, "child_applies_files_until_it_is_killed", folder.path());
        let state = open(folder.path());
        let broadcasts = broadcasts(state.store.private_store()).unwrap();
        let applied: u32 = broadcasts[0].message.parse().unwrap();
        let user = state.store.directory().user("1".parse().unwrap()).unwrap().unwrap();
        assert_eq!(*user.username, *format!("u{applied}"), "both databases have the same file");
        assert!(applied == last || applied == last + 1, "{last} was reported, {applied} is there");
    }
}
