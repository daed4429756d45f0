//! What a `kill -9` leaves of what was given: all that was answered, once.
//!
//! The process that is killed is this test program again, told by an environment variable where to work until it is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{ADMIN_TOKEN, SHELL, Trial, open, secret, small};
use crate::model::clock;
use crate::net::body::IncomingBody;
use crate::net::message::Request;
use crate::net::peer::Peer;
use crate::net::server::handler::Handler as _;
use crate::primary::state::PrimaryState;
use crate::wire::auth::jwt::{Issuer, issue_token};

const FOLDER: &str = "SIDEGATE_TEST_GIVING_FOLDER";

#[tokio::test]
async fn gives_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let house = open(Path::new(&folder));
    let begun = clock::wall_time().milliseconds();
    for number in 0.. {
        let xid = format!("{begun}-{number}");
        let token = asked(&house, "internal/personal_access_token", json!({"key_id": "11", "name": xid, "scopes": ["api"]})).await;
        asked(
            &house,
            "namespaces/1/minutes",
            json!({"packs": [{"number_of_minutes": 1, "expires_at": "2030-01-01", "purchase_xid": xid}]}),
        )
        .await;
        asked(&house, "internal/shellhorse/git_audit_event", json!({"action": "git-upload-pack", "gl_repository": "project-1"})).await;
        let token = token["token"].as_str().unwrap();
        // Fails when nobody listens any longer, so that no worker outlives its test.
        writeln!(std::io::stdout(), "\ndone {token} {xid}").unwrap();
    }
}

async fn asked(house: &std::sync::Arc<PrimaryState>, target: &str, body: Value) -> Value {
    let request =
        http::Request::post(format!("/api/v4/{target}")).header("content-type", "application/json").header("private-token", ADMIN_TOKEN);
    let request = request.header("gitlab-shell-api-request", issue_token(Issuer::GitlabShell, None, &secret(SHELL), clock::wall_time()));
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = IncomingBody::from_bytes(Bytes::from(body.to_string()));
    let reply = house.handle(Request { peer: Peer::Unix { uid: 1, gid: 1 }, parts, body }).await;
    assert!(reply.status.is_success(), "{target}: {}", reply.status);
    let whole = http_body_util::BodyExt::collect(reply.body).await.unwrap().to_bytes();
    serde_json::from_slice(&whole).unwrap()
}

#[tokio::test]
async fn a_kill_takes_back_nothing_that_was_answered_and_gives_nothing_twice() {
    let mut trial = Trial::with(&small()).await;
    let mut given: Vec<(String, String)> = Vec::new();
    for round in 1..=4 {
        let folder = trial.closed();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "primary::trial::killed::gives_until_killed", "--nocapture"]).env(FOLDER, folder.path());
        let mut worker = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines().map_while(Result::ok);
        let done =
            |line: String| line.strip_prefix("done ").and_then(|rest| rest.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned()));
        given.extend(lines.by_ref().filter_map(done).take(round * 3));
        worker.kill().unwrap();
        worker.wait().unwrap();
        given.extend(lines.filter_map(done));
        trial = Trial::over(folder);
        for (token, name) in &given {
            let (status, own) = trial.holding(Some(token), http::Method::GET, "personal_access_tokens/self", Value::Null).await;
            assert_eq!((status, own["name"].as_str()), (StatusCode::OK, Some(name.as_str())));
        }
        let ledger = trial.house.store.private_store();
        let packs = ledger.scan_prefix(b"minutes/").unwrap();
        let named = |xid: &str| packs.iter().filter(|(place, _)| place.ends_with(xid.as_bytes())).count();
        assert!(given.iter().all(|(_, xid)| named(xid) == 1));
        // Of each round at most one was under way and not answered.
        let most = given.len() + round;
        let tokens = ledger.scan_prefix(b"token/sha256/").unwrap().len();
        let events = ledger.scan_prefix(b"audit/event/").unwrap().len();
        for there in [tokens, packs.len(), events, ledger.scan_prefix(b"token/of/").unwrap().len()] {
            assert!((given.len()..=most).contains(&there), "{there} are there, {} were answered in round {round}", given.len());
        }
    }
    assert!(given.len() >= 30);
}
