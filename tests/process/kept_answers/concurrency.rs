//! Many who ask at once: equal questions once, whoever hangs up; and a flood of strangers' keys that costs nobody else anything.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Barrier};

use crate::kept_answers::gitlab::{Site, look_up, pull};
use crate::support::generated_directory::{key_blob, query_encode};
use crate::support::http::Response;

/// A no counts for longer than a slow machine takes to answer a thousand.
const FRESH: &str =
    "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\nnegative_ttl = \"60s\"\n";

/// Sends a look-up and leaves its answer unread.
fn send_look_up(site: &Site, key: u64) -> UnixStream {
    let mut stream = UnixStream::connect(site.env.sidecar_socket()).unwrap();
    let target = format!("/api/v4/internal/authorized_keys?key={}", query_encode(&key_blob(key)));
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    stream
}

fn read_answer(mut stream: UnixStream) -> Response {
    let mut bytes = Vec::new();
    stream.set_read_timeout(Some(crate::support::TIMEOUT)).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    Response::parse(&bytes).unwrap()
}

#[test]
fn a_thousand_who_ask_for_one_unknown_key_at_once_are_one_question() {
    let site = Site::start(FRESH);
    for (key, status) in [(999, 404), (7, 200)] {
        let gate = Arc::clone(&site.facts().gate);
        let held = gate.lock().unwrap();
        let sent: Vec<UnixStream> = (0..1000).map(|_| send_look_up(&site, key)).collect();
        site.env.wait_for("the question", || site.fake.as_ref().unwrap().count() >= 1);
        drop(held);
        for stream in sent {
            assert_eq!(read_answer(stream).status, status);
        }
        assert_eq!(site.take_questions(), 1);
    }
}

#[test]
fn who_hangs_up_cancels_nothing() {
    let site = Site::start(FRESH);
    let gate = Arc::clone(&site.facts().gate);
    let held = gate.lock().unwrap();
    let first = send_look_up(&site, 7);
    site.env.wait_for("the question", || site.fake.as_ref().unwrap().count() == 1);
    drop(first);
    drop(held);
    site.env.wait_for("the answer to be kept", || site.env.status()["kept"]["answers"] == 1);
    assert_eq!((site.source(&look_up(7)), site.take_questions()), ("cached".to_owned(), 1));
    // Nor for those who wait with it.
    let held = gate.lock().unwrap();
    let first = send_look_up(&site, 8);
    site.env.wait_for("the question", || site.fake.as_ref().unwrap().count() == 1);
    let second = send_look_up(&site, 8);
    drop(first);
    drop(held);
    assert_eq!(read_answer(second).status, 200);
    assert_eq!(site.take_questions(), 1);
}

#[test]
fn a_flood_of_unknown_keys_costs_nothing_that_is_kept() {
    let site = Site::start(FRESH);
    let known: Vec<u64> = (1..=50).collect();
    known.iter().for_each(|key| drop((site.ask(&look_up(*key)), site.ask(&pull(*key, "g/p")))));
    site.take_questions();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (site, start) = (&site, &start);
            scope.spawn(move || {
                start.wait();
                for key in 0..500 {
                    let status = site.ask(&look_up(10_000 + thread * 500 + key)).status;
                    assert!(matches!(status, 404 | 424), "{status}");
                }
            });
        }
    });
    assert!(site.take_questions() <= 2000);
    let status = site.env.status();
    assert_eq!(status["kept"]["answers"], 100, "{status}");
    for key in known {
        assert_eq!((site.source(&look_up(key)), site.source(&pull(key, "g/p"))), ("cached".to_owned(), "cached".to_owned()));
    }
    assert_eq!(site.take_questions(), 0);
}
