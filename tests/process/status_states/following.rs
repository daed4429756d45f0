//! States of a host whose primary answers: all well, stale, the feed lost, a resync, records that drifted, a full disk.

use serde_json::json;

use crate::status_states::json::{assert_documented, assert_metrics_agree};
use crate::status_states::{LONG_FRESH, SOON_STALE, linked, look_up, status, verdict_of_keys, wait_for_status};
use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, json_response};
use crate::support::generated_directory::{directory_of_keys, generated_key_line};
use crate::support::link::{Delivery, Traffic};
use crate::support::small_disk::SmallDisk;

#[test]
fn fresh() {
    let (env, _link) = linked(LONG_FRESH);
    status(&env, "fresh").assert(
        "serving: fresh, following, 0 alarms",
        "following, 0 alarms",
        &[
            "keys: fresh, ",
            "given without asking up to 1 h",
            "up to 2 h\n",
            ", digest equal",
            "primary: has not been asked since the start; ",
        ],
        0,
    );
    let counted = env.status()["follower"]["counted"].clone();
    assert_eq!((&counted["connects"], &counted["disconnects"]), (&json!(1), &json!(0)), "it is connected: {counted}");
    look_up(&env, 9999);
    assert_documented(&env.status(), "sidecar", &[]);
}

#[test]
fn stale() {
    let (env, link) = linked(SOON_STALE);
    link.deliver(Traffic::Feed, Delivery::Held);
    wait_for_status(&env, "the keys to be stale", |status| {
        verdict_of_keys(status) == "stale"
            && status["freshness"]["reads"]["verdict"] == "stale"
            && status["freshness"]["push_precheck"]["verdict"] == "stale"
    });
    let screen = status(&env, "stale");
    screen.assert(
        "serving: stale since 20",
        " UTC, following, 0 alarms",
        &[
            " ago): keys, reads, push_precheck: the primary is asked first, and while it fails what is held is given until it is 1 h old, 59 min ",
            "keys: stale, ",
        ],
        1,
    );
}

#[test]
fn feed_lost() {
    let (env, link) = linked(LONG_FRESH);
    link.deliver(Traffic::Feed, Delivery::Cut);
    wait_for_status(&env, "the feed to be lost and the primary asked", |status| {
        status["follower"]["lost_since"].is_string() && status["primary"]["state"] == "answers"
    });
    status(&env, "feed lost").assert(
        "serving: fresh, not following since 20",
        " UTC, 0 alarms",
        &[
            "the feed of the primary is not connected since 20",
            "to do: it answers questions, but not the feed: look at its log",
            ": not connected; at commit ",
            "primary: answers, its last answer came ",
        ],
        1,
    );
    let counted = env.status()["follower"]["counted"].clone();
    assert_eq!((&counted["connects"], &counted["disconnects"]), (&json!(1), &json!(1)), "it is not: {counted}");
    assert_documented(&env.status(), "sidecar", &["follower.last_error.message"]);
    link.deliver(Traffic::Feed, Delivery::Prompt);
    wait_for_status(&env, "the feed to be back", |status| status["follower"]["connected_since"].is_string());
    assert_eq!(status(&env, "the feed is back").first_line(), "serving: fresh, following, 0 alarms");
}

#[test]
fn resync() {
    let (env, link) = linked(LONG_FRESH);
    link.hold_answers("/snapshot", 1);
    let socket = env.sidecar_socket();
    let asked = env.run_sidegate(&["resync", "--socket", socket.to_str().unwrap()]);
    assert!(asked.status.success());
    link.wait_held(1);
    status(&env, "resync").assert(
        "serving: fresh, following, 0 alarms",
        "0 alarms",
        &["a whole snapshot is being fetched since 20", "; answers go on from what is here", "store: "],
        0,
    );
    assert_documented(&env.status(), "sidecar", &[]);
    link.release_held();
    wait_for_status(&env, "the snapshot to be taken", |status| {
        status["follower"]["resyncing"].is_null() && status["follower"]["counted"]["resyncs"] == 2
    });
    let after = status(&env, "after a resync");
    assert!(after.first_line() == "serving: fresh, following, 0 alarms" && !after.text.contains("is being fetched"), "{}", after.text);
    let counted = env.status()["follower"]["counted"].clone();
    assert_eq!(counted["connects"].as_u64().unwrap() - counted["disconnects"].as_u64().unwrap(), 1, "it is connected: {counted}");
}

#[test]
fn drift() {
    let mut env = TestEnv::with_config("", LONG_FRESH);
    env.start_primary();
    env.apply(&directory_of_keys(60));
    env.start_sidecar();
    env.wait_until_fresh();
    let head = env.primary_status()["head"].clone();
    env.primary.take().unwrap().kill();
    let (seq, digest) = (head["seq"].as_u64().unwrap() + 1, head["digest"].as_str().unwrap());
    let lie = generated_key_line(900, 1);
    let line = format!("{{\"seq\":{seq},\"digest\":\"{digest}\",\"count\":61,\"changes\":[{{\"put\":{}}}]}}\n", lie.trim_end());
    let fake = FakePrimary::listen(&env.primary_socket(), move |arrived| match arrived.request_line.contains("/changes") {
        true => {
            let mut stream = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n".to_vec();
            stream.extend(line.as_bytes());
            FakeReply::RespondAndClose(stream)
        }
        false => FakeReply::Respond(json_response(500, "{}")),
    });
    wait_for_status(&env, "the drift to be seen", |status| status["alarms"].to_string().contains("\"drift\""));
    status(&env, "drift").assert(
        "serving: fresh, ",
        ", 1 alarms",
        &[
            "ALARM drift since 20",
            "this host's records do not add up to what the primary says; a snapshot is fetched, answers go on and their age grows\n  to do: wait for the snapshot; ",
            "digest NOT equal",
        ],
        1,
    );
    assert_documented(&env.status(), "sidecar", &["alarms[].remedy", "follower.alarms[].message"]);
    assert_metrics_agree(&env.status(), &env.sidecar_socket());
    drop(fake);
}

#[test]
fn disk_full() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("sidecar"), 8 << 10) else { return };
    env.start_primary();
    env.apply(&directory_of_keys(400));
    env.start_sidecar();
    env.wait_until_fresh();
    disk.fill();
    // More than what sled still has room for in the files that it has, and then something that takes access away.
    let is_full = || !env.status()["alarms"].as_array().unwrap().is_empty();
    for batch in 0..100 {
        env.apply(&(0..200).map(|id| generated_key_line(1_000 + 200 * batch + id, 1)).collect::<String>());
        let head = env.primary_status()["head"]["seq"].clone();
        env.wait_for("the batch to be stored or not", || is_full() || env.status()["follower"]["flushed"]["seq"] == head);
        if is_full() {
            break;
        }
    }
    assert!(env.run_admin(&["revoke-key", "17"]).status.success());
    wait_for_status(&env, "the revocation to bind", |status| status["follower"]["unstored"]["since"].is_string());
    let screen = status(&env, "disk full");
    screen.assert(
        "serving: stale since 20",
        " alarms",
        &[
            "ALARM unstored since 20",
            "changes that take access away bind here all the same",
            "to do: make room on the disk of `store.path`",
        ],
        1,
    );
    assert_documented(&env.status(), "sidecar", &["follower.unstored.survives_restart"]);
    disk.free_space();
    env.wait_until_fresh();
    wait_for_status(&env, "the alarms to be over", |status| status["alarms"].as_array().unwrap().is_empty());
    assert_eq!(status(&env, "room again").first_line(), "serving: fresh, following, 0 alarms");
}
