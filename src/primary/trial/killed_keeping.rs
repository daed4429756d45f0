//! What a `kill -9` of the primary leaves of what it keeps for itself: all that was answered, nothing twice, nothing by half.
//!
//! The process that is killed is this test program again, told by an environment variable what to do until it is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Map;

use super::withheld::broadcast;
use super::{open, own_uid, request, user};
use crate::model::clock;
use crate::model::directory::Directory as _;
use crate::model::finding::{ClusterLocation, VulnerabilityFinding};
use crate::model::record::{Agent, Record};
use crate::net::body::IncomingBody;
use crate::net::message::Request;
use crate::net::peer::Peer;
use crate::net::server::handler::Handler as _;
use crate::primary::directory::unpublished::broadcasts;
use crate::primary::extras::kubernetes::findings;
use crate::primary::pushes::messages::{self, MessageKind};
use crate::primary::pushes::reference_counter::{active_pushes, increment};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

const FOLDER: &str = "SIDEGATE_TEST_KEEPING_FOLDER";
/// What a file of both kinds of records says besides its number: too much for one commit, so that a directory is built.
const MANY: u32 = 1_100;

/// Starts a test of this file as a process, waits until it has said `done` so many times, kills it where it is, and gives the
/// last number that it said.
fn killed_after(times: usize, test: &str, folder: &Path) -> u32 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("primary::trial::killed_keeping::{test}"), "--nocapture"]).env(FOLDER, folder);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let done = |line: String| line.split_once("done ").and_then(|(_, number)| number.parse().ok());
    let last = said.by_ref().map_while(Result::ok).filter_map(done).take(times).last();
    process.kill().unwrap();
    process.wait().unwrap();
    let last = last.expect("the worker ended by itself");
    said.map_while(Result::ok).filter_map(done).last().unwrap_or(last)
}

fn say_done(number: u32) {
    writeln!(std::io::stdout(), "\ndone {number}").unwrap();
}

fn agent() -> Agent {
    let line = format!(r#"{{"kind":"agent","id":5,"name":"a","project_id":1,"token_sha256":"{}"}}"#, "0".repeat(64));
    match Record::parse(&line).unwrap() {
        Record::Agent(agent) => agent,
        other => panic!("{other:?}"),
    }
}

fn finding(number: u32) -> VulnerabilityFinding {
    let word = |text: &str| text.to_owned();
    let location = ClusterLocation { namespace: word("n"), kind: word("k"), name: word("x"), container: None, package: None };
    VulnerabilityFinding { identifier: (word("cve"), number.to_string()), location, vulnerability: Map::new(), scanner: Map::new() }
}

#[test]
fn keeps_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let house = open(Path::new(&folder));
    let (ledger, now) = (house.store.private_store(), clock::wall_time());
    let before = findings::load_states(ledger).unwrap().get(&1).map_or(0, std::collections::BTreeMap::len);
    for number in u32::try_from(before).unwrap() + 1.. {
        findings::store_finding(ledger, &agent(), finding(number), now).unwrap();
        increment(ledger, &format!("project-{number}"), now).unwrap();
        messages::queue(ledger, "1".parse().unwrap(), &format!("project-{number}"), MessageKind::Moved, "moved".to_owned(), now).unwrap();
        say_done(number);
    }
}

#[test]
fn a_kill_loses_no_count_no_finding_and_no_sentence_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut taken = 0;
    for round in 1..=4 {
        let last = killed_after(round * 3, "keeps_until_killed", folder.path());
        let house = open(folder.path());
        let (ledger, now) = (house.store.private_store(), clock::wall_time());
        let found = u32::try_from(findings::load_states(ledger).unwrap()[&1].len()).unwrap();
        let counted = active_pushes(ledger, now).unwrap();
        assert!(found == last || found == last + 1, "{last} were kept, {found} are there");
        assert!((taken + 1..=last).all(|number| counted.contains(&(format!("project-{number}"), 1))), "{counted:?}");
        let take = |number: u32| {
            let (user, word) = ("1".parse().unwrap(), format!("project-{number}"));
            ledger.update::<_, StoreError>(|ledger| messages::prepare_take(ledger, user, &word, now)).unwrap()
        };
        let waiting = (1..=last).filter(|number| take(*number) == ["moved"]).count();
        assert_eq!(waiting, usize::try_from(last - taken).unwrap(), "each that was kept waits once, and what was taken does not come back");
        // What was being kept when the kill came may be there in part; the next round goes on behind it.
        taken = found;
        take(found);
    }
}

#[tokio::test]
async fn applies_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let house = open(Path::new(&folder));
    let before = broadcasts(house.store.private_store()).unwrap().first().map_or(0, |broadcast| broadcast.message.parse().unwrap());
    for number in before + 1.. {
        apply(&house, number).await;
        say_done(number);
    }
}

async fn apply(house: &Arc<PrimaryState>, number: u32) {
    let mut lines = vec![user(1, &format!("u{number}")), broadcast(1, &number.to_string(), "")];
    if number.is_multiple_of(4) {
        lines.extend((2..MANY).map(|id| user(id, &format!("u{number}-{id}"))));
    }
    let (parts, ()) = request(Method::POST, "/-/admin/apply").body(()).unwrap().into_parts();
    let peer = Peer::Unix { uid: own_uid(), gid: 0 };
    let asked = Request { peer, parts, body: IncomingBody::from_bytes(Bytes::from(lines.join("\n"))) };
    assert_eq!(house.handle(asked).await.status, StatusCode::OK);
}

#[test]
fn a_kill_while_applying_leaves_the_whole_of_a_file_in_both_databases_or_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=8 {
        let last = killed_after(round, "applies_until_killed", folder.path());
        let house = open(folder.path());
        let broadcasts = broadcasts(house.store.private_store()).unwrap();
        let there: u32 = broadcasts[0].message.parse().unwrap();
        let user = house.store.directory().user("1".parse().unwrap()).unwrap().unwrap();
        assert_eq!(*user.username, *format!("u{there}"), "both say the same");
        assert!(there == last || there == last + 1, "{last} was applied, {there} is there");
    }
}
