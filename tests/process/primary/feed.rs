//! What followers get: commits as they are made, heartbeats of the head, one shared snapshot, and an error for an unknown cursor.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sidegate::model::change::{Change, Commit, Epoch, Head};
use sidegate::model::clock;
use sidegate::model::digest::{Digest, DirectoryDigest};
use sidegate::model::record_identity::RecordIdentity;
use sidegate::wire::directory::feed_lines::{FeedLine, SnapshotLine, parse_feed_line, parse_snapshot_line};

use super::{TestPrimary, key, small_directory, user};
use crate::support::TIMEOUT;

/// A feed that is open.
pub struct FeedStream {
    reader: BufReader<UnixStream>,
    received: Vec<u8>,
}

impl FeedStream {
    /// Opens the feed of a host at a cursor.
    pub fn open(primary: &TestPrimary, host: &str, at: &Head) -> Self {
        let mut stream = UnixStream::connect(primary.0.primary_socket()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let (target, token) = (target(at.epoch, at.seq, at.state.digest), primary.0.sync_token(host));
        let request = format!("GET /api/v4/internal/sidegate/{target} HTTP/1.1\r\nHost: unix\r\nsidegate-sync-request: {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 ") && head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
        Self { reader, received: Vec::new() }
    }

    /// The next line; `None` if the stream ended or was cut off.
    pub fn next(&mut self) -> Option<FeedLine> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(parse_feed_line(std::str::from_utf8(&line[..end]).unwrap()).unwrap());
            }
            self.read_chunk()?;
        }
    }

    fn read_chunk(&mut self) -> Option<()> {
        let mut length = String::new();
        self.reader.read_line(&mut length).unwrap();
        let length = usize::from_str_radix(length.trim(), 16).ok().filter(|length| *length > 0)?;
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk).unwrap();
        self.received.extend_from_slice(&chunk[..length]);
        Some(())
    }

    /// The next commit, past heartbeats.
    pub fn commit(&mut self) -> Commit {
        loop {
            match self.next().unwrap() {
                FeedLine::Commit(commit) => return commit,
                FeedLine::Heartbeat { .. } => {}
            }
        }
    }
}

fn target(epoch: Epoch, seq: u64, digest: Digest) -> String {
    format!("changes?epoch={epoch}&after={seq}&digest={digest}")
}

#[test]
fn a_follower_at_the_head_gets_a_heartbeat_at_once_and_then_each_commit() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let mut lines = FeedStream::open(&primary, "ssh-1", &head);
    assert_eq!(lines.next(), Some(FeedLine::Heartbeat { seq: head.seq, state: head.state }));
    primary.apply("", &[user(3, "eve")]);
    let commit = lines.commit();
    assert_eq!((commit.seq, commit.state, commit.changes.len()), (head.seq + 1, primary.head().state, 1));
    primary.admin(Method::POST, "revoke-key", json!({"id": 11}));
    assert!(matches!(lines.commit().changes[..], [Change::Delete(_)]));
}

#[test]
fn a_follower_that_was_away_gets_what_it_missed_and_then_a_heartbeat() {
    let primary = TestPrimary::with(&small_directory());
    let missed_from = primary.head();
    for number in 30..40 {
        primary.apply("", &[user(number, &format!("u{number}"))]);
    }
    let primary = primary.restart();
    let mut lines = FeedStream::open(&primary, "ssh-1", &missed_from);
    for seq in missed_from.seq + 1..=missed_from.seq + 10 {
        assert_eq!(lines.commit().seq, seq);
    }
    let head = primary.head();
    assert_eq!(lines.next(), Some(FeedLine::Heartbeat { seq: head.seq, state: head.state }));
}

#[test]
fn a_cursor_of_another_epoch_is_gone_and_one_that_never_was_is_a_conflict() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let send = |epoch, seq, digest| primary.sync("ssh-1", Method::GET, &target(epoch, seq, digest), Value::Null);
    let (status, body) = send(Epoch(1), head.seq, head.state.digest);
    assert_eq!((status, serde_json::from_value(body).ok()), (StatusCode::GONE, Some(head)));
    for (seq, digest) in [(head.seq + 1, head.state.digest), (head.seq, Digest::of(b"another"))] {
        let (status, body) = send(head.epoch, seq, digest);
        assert_eq!((status, &body["seq"], &body["epoch"]), (StatusCode::CONFLICT, &json!(head.seq), &json!(head.epoch)));
        assert!(body["message"].as_str().unwrap().contains("new-epoch"));
    }
    let (status, body) = primary.sync("ssh-1", Method::GET, "changes?epoch=x&after=1", Value::Null);
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!("400 Bad request - an epoch is 32 lower-case hex digits")));
}

#[test]
fn a_new_epoch_cuts_every_stream_off() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let mut lines = FeedStream::open(&primary, "ssh-1", &head);
    assert!(lines.next().is_some());
    let (status, body) = primary.admin(Method::POST, "new-epoch", Value::Null);
    assert_eq!(status, StatusCode::OK);
    assert_ne!(body["head"]["epoch"], json!(head.epoch));
    assert_eq!(lines.next(), None);
    let (status, _) = primary.sync("ssh-1", Method::GET, &target(head.epoch, head.seq, head.state.digest), Value::Null);
    assert_eq!(status, StatusCode::GONE);
}

#[test]
fn a_large_apply_makes_every_cursor_before_it_gone() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let mut lines = FeedStream::open(&primary, "ssh-1", &head);
    assert!(lines.next().is_some());
    let many: Vec<_> = (100..1300).map(|id| key(id, 1)).collect();
    let (_, body) = primary.apply("", &many);
    assert_eq!(body["how"], "replaced");
    assert_eq!(lines.next(), None);
    let (status, _) = primary.sync("ssh-1", Method::GET, &target(head.epoch, head.seq, head.state.digest), Value::Null);
    assert_eq!(status, StatusCode::GONE);
}

fn snapshot(primary: &TestPrimary) -> Vec<SnapshotLine> {
    let (status, _, body) = primary.send(primary.sync_request("ssh-1", Method::GET, "snapshot", Value::Null));
    assert_eq!(status, StatusCode::OK);
    let text = String::from_utf8(zstd::decode_all(&body[..]).unwrap()).unwrap();
    text.lines().map(|line| parse_snapshot_line(line).unwrap()).collect()
}

#[test]
fn a_snapshot_adds_up_to_what_its_end_says_and_is_built_once() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let lines = snapshot(&primary);
    let mut state = DirectoryDigest::default();
    for line in &lines {
        if let SnapshotLine::Record(entry) = line {
            state = state.with_record(entry.text().as_bytes());
        }
    }
    assert!(matches!(&lines[0], SnapshotLine::Header(begun) if begun.epoch == head.epoch && begun.from_seq == head.seq));
    assert!(matches!(lines.last(), Some(SnapshotLine::End(end)) if end.seq == head.seq && end.state == state && !end.accept_loss));
    primary.apply("", &[user(3, "eve")]);
    let again = snapshot(&primary);
    assert_eq!(lines, again, "one that is recent enough is sent again");
    let mut follows = FeedStream::open(&primary, "ssh-1", &head);
    assert_eq!(follows.commit().seq, head.seq + 1, "and its end is a cursor that the journal knows");
}

#[test]
fn an_accepted_loss_is_marked_at_the_end_of_the_next_snapshot() {
    let primary = TestPrimary::with(&small_directory());
    snapshot(&primary);
    assert_eq!(primary.admin(Method::POST, "accept-loss", Value::Null).0, StatusCode::OK);
    let lines = snapshot(&primary);
    assert!(matches!(lines.last(), Some(SnapshotLine::End(end)) if end.accept_loss));
}

#[test]
fn a_snapshot_from_before_a_large_apply_is_not_sent_after_it() {
    let primary = TestPrimary::with(&small_directory());
    let before = snapshot(&primary);
    let many: Vec<_> = (100..1300).map(|id| key(id, 1)).collect();
    primary.apply("", &many);
    assert!(snapshot(&primary).len() > before.len() + 1000);
}

#[test]
fn following_needs_the_sync_secret() {
    let primary = TestPrimary::empty();
    for target in ["snapshot", "changes", "usage", "ack"] {
        let method = if target == "usage" || target == "ack" { Method::POST } else { Method::GET };
        let (status, _) = primary.shell(method, &format!("internal/sidegate/{target}"), Value::Null);
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{target}: gitlab-shell's token does not open this door");
    }
}

#[test]
fn uses_that_hosts_report_are_stored_by_the_day() {
    let primary = TestPrimary::with(&small_directory());
    let day = clock::wall_time().day();
    let (status, _) = primary.sync("ssh-1", Method::POST, "usage", json!({"keys": {"11": day}, "users": {"1": "2026-01-31"}}));
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = primary.sync("ssh-1", Method::POST, "usage", json!({"keys": {"11": "tomorrow"}}));
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let primary = primary.restart();
    let (_, body) = primary.admin(Method::GET, "explain?key_id=11", Value::Null);
    assert_eq!((&body["actor"]["key"]["last_used_on"], &body["actor"]["user"]["last_activity_on"]), (&json!(day), &json!("2026-01-31")));
}

#[test]
fn every_stream_gets_the_commit_and_a_stream_that_is_left_is_closed() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let mut open = Vec::new();
    for number in 0..200 {
        open.push(FeedStream::open(&primary, &format!("ssh-{number}"), &head));
    }
    assert_eq!(primary.0.primary_status()["followers"], 200);
    primary.apply("", &[user(3, "eve")]);
    for lines in &mut open {
        assert_eq!(lines.commit().seq, head.seq + 1);
    }
    drop(open);
    primary.0.wait_for("every stream to be closed", || primary.0.primary_status()["followers"] == 0);
}

#[test]
fn a_snapshot_that_is_built_while_commits_go_on_adds_up_all_the_same() {
    let mut lines = small_directory();
    lines.extend((1000..4000).map(|id| key(id, 1)));
    let primary = TestPrimary::with(&lines);
    let snapshot = std::thread::scope(|scope| {
        let snapshot = scope.spawn(|| snapshot(&primary));
        for id in 1000..1020 {
            assert_eq!(primary.admin(Method::POST, "revoke-key", json!({"id": id})).0, StatusCode::OK);
        }
        snapshot.join().unwrap()
    });
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
