//! What followers see: commits as they come, heartbeats of the very head, one snapshot, and no cursor that never was.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Trial, WITHIN, key, small, user};
use crate::model::change::{Change, Epoch, Head, RecordIdentity};
use crate::model::digest::{Digest, DirectoryDigest};
use crate::net::body::IncomingBody;
use crate::wire::directory::feed_lines::{FeedLine, SnapshotLine, parse_feed_line, parse_snapshot_line};

/// A stream of lines that is open.
pub struct Lines {
    body: IncomingBody,
    read: BytesMut,
}

impl Lines {
    /// Opens the feed of a host at a cursor.
    pub async fn open(trial: &Trial, host: &str, at: &Head) -> Self {
        let request = trial.sync_request(host, Method::GET, &target(at.epoch, at.seq, at.state.digest), Value::Null);
        let answer = trial.client.send_unpooled(request, WITHIN).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Self { body: answer.into_body(), read: BytesMut::new() }
    }

    /// The next line; `None` if the stream ended or was cut off.
    pub async fn next(&mut self) -> Option<FeedLine> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Some(parse_feed_line(std::str::from_utf8(&line[..end]).unwrap()).unwrap());
            }
            let piece: Bytes = tokio::time::timeout(WITHIN, self.body.next_chunk()).await.unwrap()?.ok()?;
            self.read.extend_from_slice(&piece);
        }
    }

    /// The next commit, past heartbeats.
    pub async fn commit(&mut self) -> crate::model::change::Commit {
        loop {
            match self.next().await.unwrap() {
                FeedLine::Commit(commit) => return commit,
                FeedLine::Heartbeat { .. } => {}
            }
        }
    }
}

fn target(epoch: Epoch, seq: u64, digest: Digest) -> String {
    format!("changes?epoch={epoch}&after={seq}&digest={digest}")
}

#[tokio::test]
async fn a_follower_at_the_head_hears_at_once_that_it_is_and_then_each_commit() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let mut lines = Lines::open(&trial, "ssh-1", &head).await;
    assert_eq!(lines.next().await, Some(FeedLine::Heartbeat { seq: head.seq, state: head.state }));
    trial.apply("", &[user(3, "eve")]).await;
    let commit = lines.commit().await;
    assert_eq!((commit.seq, commit.state, commit.changes.len()), (head.seq + 1, trial.house.store.head().state, 1));
    trial.admin(Method::POST, "revoke-key", json!({"id": 11})).await;
    assert!(matches!(lines.commit().await.changes[..], [Change::Delete(_)]));
}

#[tokio::test]
async fn one_that_was_away_gets_what_it_missed_and_then_the_head() {
    let trial = Trial::with(&small()).await;
    let missed_from = trial.house.store.head();
    for number in 30..40 {
        trial.apply("", &[user(number, &format!("u{number}"))]).await;
    }
    let trial = trial.again();
    let mut lines = Lines::open(&trial, "ssh-1", &missed_from).await;
    for seq in missed_from.seq + 1..=missed_from.seq + 10 {
        assert_eq!(lines.commit().await.seq, seq);
    }
    let head = trial.house.store.head();
    assert_eq!(lines.next().await, Some(FeedLine::Heartbeat { seq: head.seq, state: head.state }));
}

#[tokio::test]
async fn a_cursor_of_another_epoch_is_gone_and_one_that_never_was_is_a_conflict_with_the_head() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let ask = |epoch, seq, digest| {
        let target = target(epoch, seq, digest);
        let trial = &trial;
        async move { trial.sync("ssh-1", Method::GET, &target, Value::Null).await }
    };
    let (status, body) = ask(Epoch(1), head.seq, head.state.digest).await;
    assert_eq!((status, serde_json::from_value(body).ok()), (StatusCode::GONE, Some(head)));
    for (seq, digest) in [(head.seq + 1, head.state.digest), (head.seq, Digest::of(b"another"))] {
        let (status, body) = ask(head.epoch, seq, digest).await;
        assert_eq!((status, &body["seq"], &body["epoch"]), (StatusCode::CONFLICT, &json!(head.seq), &json!(head.epoch)));
        assert!(body["message"].as_str().unwrap().contains("new-epoch"));
    }
    let (status, body) = trial.sync("ssh-1", Method::GET, "changes?epoch=x&after=1", Value::Null).await;
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!("400 Bad request - an epoch is 32 lower-case hex digits")));
}

#[tokio::test]
async fn a_new_epoch_cuts_every_stream_off() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let mut lines = Lines::open(&trial, "ssh-1", &head).await;
    assert!(lines.next().await.is_some());
    let (status, body) = trial.admin(Method::POST, "new-epoch", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(body["head"]["epoch"], json!(head.epoch));
    assert_eq!(lines.next().await, None);
    let (status, _) = trial.sync("ssh-1", Method::GET, &target(head.epoch, head.seq, head.state.digest), Value::Null).await;
    assert_eq!(status, StatusCode::GONE);
}

#[tokio::test]
async fn a_large_apply_makes_every_cursor_before_it_gone() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let mut lines = Lines::open(&trial, "ssh-1", &head).await;
    assert!(lines.next().await.is_some());
    let many: Vec<_> = (100..1300).map(|id| key(id, 1)).collect();
    let (_, body) = trial.apply("", &many).await;
    assert_eq!(body["how"], "replaced");
    assert_eq!(lines.next().await, None);
    let (status, _) = trial.sync("ssh-1", Method::GET, &target(head.epoch, head.seq, head.state.digest), Value::Null).await;
    assert_eq!(status, StatusCode::GONE);
}

async fn snapshot(trial: &Trial) -> Vec<SnapshotLine> {
    let (status, _, body) = trial.send(trial.sync_request("ssh-1", Method::GET, "snapshot", Value::Null)).await;
    assert_eq!(status, StatusCode::OK);
    let text = String::from_utf8(zstd::decode_all(&body[..]).unwrap()).unwrap();
    text.lines().map(|line| parse_snapshot_line(line).unwrap()).collect()
}

#[tokio::test]
async fn a_snapshot_adds_up_to_what_its_end_says_and_is_built_once() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let lines = snapshot(&trial).await;
    let mut state = DirectoryDigest::default();
    for line in &lines {
        if let SnapshotLine::Record(entry) = line {
            state = state.with_record(entry.text().as_bytes());
        }
    }
    assert!(matches!(&lines[0], SnapshotLine::Header(begun) if begun.epoch == head.epoch && begun.from_seq == head.seq));
    assert!(matches!(lines.last(), Some(SnapshotLine::End(end)) if end.seq == head.seq && end.state == state && !end.accept_loss));
    trial.apply("", &[user(3, "eve")]).await;
    let again = snapshot(&trial).await;
    assert_eq!(lines, again, "one that is recent enough is sent again");
    let mut follows = Lines::open(&trial, "ssh-1", &head).await;
    assert_eq!(follows.commit().await.seq, head.seq + 1, "and its end is a cursor that the journal knows");
}

#[tokio::test]
async fn the_word_that_a_loss_is_meant_is_at_the_end_of_the_next_snapshot() {
    let trial = Trial::with(&small()).await;
    snapshot(&trial).await;
    assert_eq!(trial.admin(Method::POST, "accept-loss", Value::Null).await.0, StatusCode::OK);
    let lines = snapshot(&trial).await;
    assert!(matches!(lines.last(), Some(SnapshotLine::End(end)) if end.accept_loss));
}

#[tokio::test]
async fn a_snapshot_of_before_a_large_apply_is_not_sent_after_it() {
    let trial = Trial::with(&small()).await;
    let before = snapshot(&trial).await;
    let many: Vec<_> = (100..1300).map(|id| key(id, 1)).collect();
    trial.apply("", &many).await;
    assert!(snapshot(&trial).await.len() > before.len() + 1000);
}

#[tokio::test]
async fn nobody_follows_without_the_followers_secret() {
    let trial = Trial::empty();
    for target in ["snapshot", "changes", "usage", "ack"] {
        let method = if target == "usage" || target == "ack" { Method::POST } else { Method::GET };
        let (status, _) = trial.shell(method, &format!("internal/sidegate/{target}"), Value::Null).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{target}: gitlab-shell's token does not open this door");
    }
}

#[tokio::test]
async fn what_hosts_saw_used_is_kept_by_the_day() {
    let trial = Trial::with(&small()).await;
    let day = crate::model::clock::wall_time().day();
    let (status, _) = trial.sync("ssh-1", Method::POST, "usage", json!({"keys": {"11": day}, "users": {"1": "2026-01-31"}})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = trial.sync("ssh-1", Method::POST, "usage", json!({"keys": {"11": "tomorrow"}})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let trial = trial.again();
    let (_, body) = trial.admin(Method::GET, "explain?key_id=11", Value::Null).await;
    assert_eq!((&body["actor"]["key"]["last_used_on"], &body["actor"]["user"]["last_activity_on"]), (&json!(day), &json!("2026-01-31")));
}

#[tokio::test]
async fn every_stream_hears_the_commit_and_none_stays_open_that_was_left() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let mut open = Vec::new();
    for number in 0..200 {
        open.push(Lines::open(&trial, &format!("ssh-{number}"), &head).await);
    }
    assert_eq!(trial.house.hosts.open_streams(), 200);
    trial.apply("", &[user(3, "eve")]).await;
    for lines in &mut open {
        assert_eq!(lines.commit().await.seq, head.seq + 1);
    }
    drop(open);
    let mut acks = trial.house.hosts.ack_events();
    let all_closed = async {
        while trial.house.hosts.open_streams() > 0 {
            acks.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_closed).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_is_built_while_commits_go_on_adds_up_all_the_same() {
    let mut lines = small();
    lines.extend((1000..4000).map(|id| key(id, 1)));
    let trial = Trial::with(&lines).await;
    let commits = async {
        for id in 1000..1020 {
            assert_eq!(trial.admin(Method::POST, "revoke-key", json!({"id": id})).await.0, StatusCode::OK);
        }
    };
    let (snapshot, ()) = tokio::join!(snapshot(&trial), commits);
    let mut records = BTreeMap::new();
    for line in &snapshot {
        let changes = match line {
            SnapshotLine::Record(entry) => vec![Change::Put(entry.clone())],
            SnapshotLine::Commit(commit) => commit.changes.clone(),
            SnapshotLine::Header(_) | SnapshotLine::End(_) => Vec::new(),
        };
        for change in changes {
            match change {
                Change::Put(entry) => drop(records.insert(RecordIdentity::from_entry(&entry).to_string(), entry)),
                Change::Delete(identity) => drop(records.remove(&identity.to_string())),
            }
        }
    }
    let state = records.values().fold(DirectoryDigest::default(), |state, entry| state.with_record(entry.text().as_bytes()));
    assert!(matches!(snapshot.last(), Some(SnapshotLine::End(end)) if end.state == state));
}
