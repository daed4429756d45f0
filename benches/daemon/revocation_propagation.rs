//! From a revocation at the primary to its line on a thousand followers: one real sidecar, the others read the feed and nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Instant;

use crate::generated_directory;
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

const ROUNDS: u64 = 30;

pub fn run() {
    let followers: usize = std::env::var("SIDEGATE_FOLLOWERS").ok().and_then(|text| text.parse().ok()).unwrap_or(999);
    let env = TestEnv::running(&generated_directory::directory_text(100));
    let head = env.primary_status()["head"].clone();
    let (seen, arrivals) = mpsc::channel();
    for number in 0..followers {
        let stream = open_feed(&env, number, &head);
        let seen = seen.clone();
        std::thread::Builder::new().stack_size(128 << 10).spawn(move || report_deletions(stream, &seen)).unwrap();
    }
    let mut took = Vec::new();
    let mut real = Vec::new();
    for id in 1..=ROUNDS {
        let begun = Instant::now();
        let answer = Request::post("/-/admin/revoke-key", &serde_json::json!({"id": id})).send(&env.primary_socket());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let token = env.shell_token();
        let lookup = lookup_request(&key_blob(id));
        let lookup = lookup.header("Gitlab-Shell-Api-Request", &token);
        while lookup.send(&env.sidecar_socket()).status != 404 {}
        real.push(begun.elapsed().as_millis());
        for _ in 0..followers {
            let at: Instant = arrivals.recv().unwrap();
            took.push(at.duration_since(begun).as_millis());
        }
    }
    took.sort_unstable();
    real.sort_unstable();
    println!(
        "{followers} light followers: p50 {} ms, p99 {} ms, worst {} ms",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
    println!("the real one refuses: p50 {} ms, worst {} ms", real[real.len() / 2], real[real.len() - 1]);
}

fn open_feed(env: &TestEnv, number: usize, head: &serde_json::Value) -> UnixStream {
    let text = |name: &str| head[name].as_str().map_or_else(|| head[name].to_string(), str::to_owned);
    let target = format!("/api/v4/internal/sidegate/changes?epoch={}&after={}&digest={}", text("epoch"), text("seq"), text("digest"));
    let mut stream = UnixStream::connect(env.primary_socket()).unwrap();
    let token = env.sync_token(&format!("light-{number}"));
    write!(stream, "GET {target} HTTP/1.1\r\nHost: unix\r\nSidegate-Sync-Request: {token}\r\n\r\n").unwrap();
    stream
}

/// Tells of each line that deletes.
fn report_deletions(stream: UnixStream, seen: &mpsc::Sender<Instant>) {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        if line.contains("\"delete\"") && seen.send(Instant::now()).is_err() {
            return;
        }
        line.clear();
    }
}
