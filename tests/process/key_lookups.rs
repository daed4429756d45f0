//! Lookups of all kinds, very many of them, against answers that are computed from the directory file alone.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob, query_encode, security_key_blob};
use crate::support::http::{Connection, Request};
use crate::support::random::pseudo_random;
use crate::support::scaled;

/// What a directory file says, read with nothing of the program's.
struct ExpectedAnswers {
    keys: HashMap<String, Value>,
    key_ids: HashMap<u64, Value>,
    user_ids: HashMap<u64, Value>,
    usernames: HashMap<String, Value>,
}

impl ExpectedAnswers {
    fn from_directory(directory: &str) -> Self {
        let mut expected = Self { keys: HashMap::new(), key_ids: HashMap::new(), user_ids: HashMap::new(), usernames: HashMap::new() };
        let records: Vec<Value> = directory.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for record in records.iter().filter(|record| record["kind"] == "user") {
            let user = json!({"id": record["id"], "username": record["username"], "name": record["name"]});
            expected.user_ids.insert(record["id"].as_u64().unwrap(), user.clone());
            expected.usernames.insert(record["username"].as_str().unwrap().to_ascii_lowercase(), user);
        }
        for record in records.iter().filter(|record| record["kind"] == "key") {
            let usage = record["usage"].as_str().unwrap_or("auth_and_signing");
            if usage == "signing" {
                continue;
            }
            let owner = record["user_id"].as_u64().and_then(|id| expected.user_ids.get(&id)).cloned();
            let line = record["key"].as_str().unwrap().split(' ').take(2).collect::<Vec<_>>().join(" ");
            let comment = owner.as_ref().map(|owner| format!(" {}", owner["name"].as_str().unwrap())).unwrap_or_default();
            let answer = json!({
                "id": record["id"],
                "title": record["title"],
                "created_at": "2026-01-31T12:00:00.000Z",
                "expires_at": record["expires_at"].as_str().map(|_| "2027-01-01T00:00:00.000Z"),
                "key": format!("{line}{comment} (git.example.com)"),
                "usage_type": usage,
            });
            expected.keys.insert(line.split(' ').nth(1).unwrap().to_owned(), answer);
            expected.key_ids.insert(record["id"].as_u64().unwrap(), owner.unwrap_or(Value::Null));
        }
        expected
    }
}

/// Users with names of several scripts and cases, keys with every usage, of users, of nobody, on tokens, that have expired or will.
fn directory(keys: u64) -> String {
    let mut text = "{\"kind\":\"settings\",\"host\":\"git.example.com\"}\n".to_owned();
    for id in 1..=keys / 3 + 1 {
        let name = ["Zoë Ångström", "Łukasz \\\"the \\\\ Gate\\\"", "名前", "Plain Name"][usize::try_from(id % 4).unwrap()];
        let state = ["active", "blocked", "deactivated", "active", "banned"][usize::try_from(id % 5).unwrap()];
        text.push_str(&format!(
            "{{\"kind\":\"user\",\"id\":{},\"username\":\"Person.{id}\",\"name\":\"{name} {id}\",\"state\":\"{state}\"}}\n",
            id * 7
        ));
    }
    for number in 1..=keys {
        let line = if number.is_multiple_of(9) {
            format!("sk-ssh-ed25519@openssh.com {}", security_key_blob(number))
        } else {
            format!("ssh-ed25519 {}", key_blob(number))
        };
        let owner =
            if number.is_multiple_of(11) { r#""deploy":true"#.to_owned() } else { format!(r#""user_id":{}"#, (number / 3 + 1) * 7) };
        let usage = ["auth_and_signing", "auth", "signing", "auth"][usize::try_from(number % 4).unwrap()];
        let expires = if number.is_multiple_of(13) { ",\"expires_at\":\"2027-01-01T00:00:00Z\"" } else { "" };
        text.push_str(&format!(
            "{{\"kind\":\"key\",\"id\":{},{owner},\"title\":\"key of \\\"{number}\\\"\",\"key\":\"{line} a comment\",\
             \"usage\":\"{usage}\",\"created_at\":\"2026-01-31T12:00:00Z\"{expires}}}\n",
            number * 3
        ));
    }
    text
}

/// One question out of a number, and its right answer.
fn lookup_and_answer(number: u64, keys: u64, expected: &ExpectedAnswers) -> (String, u16, Value) {
    let random = pseudo_random(number);
    let which = random / 16 % (keys + keys / 4) + 1;
    let padded = if which.is_multiple_of(9) { security_key_blob(which) } else { key_blob(which) };
    let of_key = |blob: &str| {
        let (status, body) = match expected.keys.get(&padded) {
            Some(answer) => (200, answer.clone()),
            None => (404, json!({"message": "404 Key Not Found"})),
        };
        (format!("/api/v4/internal/authorized_keys?key={}", query_encode(blob)), status, body)
    };
    let discover =
        |query: String, answer: Option<&Value>| (format!("/api/v4/internal/discover?{query}"), 200, answer.cloned().unwrap_or(Value::Null));
    match random % 16 {
        0..4 => of_key(&padded),
        4..8 => of_key(padded.trim_end_matches('=')),
        8..10 => discover(format!("key_id={}", which * 3), expected.key_ids.get(&(which * 3))),
        10 => discover(format!("key_id={}", which * 3 + 1), None),
        11..13 => discover(format!("user_id={}", which * 7), expected.user_ids.get(&(which * 7))),
        13 => discover(format!("username=Person.{which}"), expected.usernames.get(&format!("person.{which}"))),
        14 => discover(format!("username=pERSON.{which}"), expected.usernames.get(&format!("person.{which}"))),
        _ => discover(format!("identifier=user-{}", which * 7), expected.user_ids.get(&(which * 7))),
    }
}

/// Asks questions `from..to` on kept connections of several threads; gives how many answers differed, and of how many.
fn run_lookups(env: &TestEnv, expected: &ExpectedAnswers, keys: u64, from: u64, to: u64) -> (u64, u64) {
    let (next, differing) = (AtomicU64::new(from), AtomicU64::new(0));
    let first = Mutex::new(None);
    let token = Mutex::new(env.shell_token());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::new(&env.sidecar_socket());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= to {
                        return;
                    }
                    if number % 50_000 == 0 {
                        *token.lock().unwrap() = env.shell_token();
                    }
                    let (target, status, body) = lookup_and_answer(number, keys, expected);
                    let request = Request::get(&target).header("Gitlab-Shell-Api-Request", &token.lock().unwrap());
                    let answer = request.send_on(&mut connection);
                    if (answer.status, answer.json()) != (status, body.clone()) {
                        differing.fetch_add(1, Ordering::Relaxed);
                        first
                            .lock()
                            .unwrap()
                            .get_or_insert_with(|| format!("{target}: {status} {body}, but {} {}", answer.status, answer.text()));
                    }
                }
            });
        }
    });
    if let Some(first) = first.into_inner().unwrap() {
        eprintln!("the first that differs: {first}");
    }
    (differing.into_inner(), to - from)
}

/// Ends what goes on beside, also when the test fails.
struct ClearOnDrop<'a>(&'a AtomicBool);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn every_answer_is_the_one_that_the_directory_file_gives_also_while_commits_stream_and_a_snapshot_is_taken() {
    let (keys, lookups) = (scaled(1_500, 30_000), scaled(8_000, 2_000_000));
    let text = directory(keys);
    let expected = ExpectedAnswers::from_directory(&text);
    let env = TestEnv::running(&text);
    assert_eq!(run_lookups(&env, &expected, keys, 0, lookups / 2), (0, lookups / 2), "{}", env.logs());
    let request = AtomicBool::new(true);
    let (commits, changes, resyncs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        let _ends = ClearOnDrop(&request);
        // Changes of records that no question is about: the answers stay.
        scope.spawn(|| {
            let mut connection = Connection::new(&env.primary_socket());
            let mut number = 0;
            while request.load(Ordering::Relaxed) {
                let file: String = (0..100).map(|place| generated_key_line(10_000_000 + number * 100 + place, 7)).collect();
                let answer = Request::new("POST", "/-/admin/apply").body(file).send_on(&mut connection);
                assert_eq!(answer.status, 200, "{}", answer.text());
                commits.fetch_add(1, Ordering::Relaxed);
                changes.fetch_add(100, Ordering::Relaxed);
                number = (number + 1) % 400;
                if number == 0 {
                    // Now they go again, as a whole.
                    let answer =
                        Request::new("POST", "/-/admin/apply?prune=true&accept_loss=true").body(text.clone()).send_on(&mut connection);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            }
        });
        scope.spawn(|| {
            while request.load(Ordering::Relaxed) {
                let before = env.status()["follower"]["counted"]["resyncs"].as_u64().unwrap();
                Request::post("/-/admin/resync", &json!({})).send(&env.sidecar_socket());
                env.wait_for("a resync", || {
                    !request.load(Ordering::Relaxed) || env.status()["follower"]["counted"]["resyncs"].as_u64().unwrap() > before
                });
                resyncs.fetch_add(1, Ordering::Relaxed);
            }
        });
        let differing = run_lookups(&env, &expected, keys, lookups / 2, lookups);
        let seconds = begun.elapsed().as_secs_f64();
        env.wait_for("a resync during it", || resyncs.load(Ordering::Relaxed) > 0);
        request.store(false, Ordering::Relaxed);
        assert_eq!(env.status()["follower"]["alarms"], json!([]), "{}", env.logs());
        assert_eq!(differing, (0, lookups / 2), "{}", env.logs());
        let changes = changes.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "said to a person")]
        let rate = changes as f64 / seconds;
        eprintln!(
            "{lookups} lookups, 0 differences; the second half during {changes} changes ({rate:.0} a second) in {} commits and {} resyncs",
            commits.load(Ordering::Relaxed),
            resyncs.load(Ordering::Relaxed),
        );
    });
    env.wait_until_fresh();
    assert_eq!(run_lookups(&env, &expected, keys, 0, lookups / 8), (0, lookups / 8));
}

/// The base document's own example sends the Base64 as it is, and a query says that a `+` is a space.
#[test]
fn a_plus_that_is_sent_as_it_is_is_a_plus_of_the_key() {
    let env = TestEnv::running(&directory_of_keys(100));
    let id = (1..=100).find(|id| key_blob(*id).contains('+')).unwrap();
    for sent in [key_blob(id), key_blob(id).replace('+', "%20"), query_encode(&key_blob(id))] {
        let request = || Request::get(&format!("/api/v4/internal/authorized_keys?key={sent}"));
        for (place, answer) in [
            ("the primary", env.request_primary(request())),
            ("the sidecar", env.request_sidecar(request())),
            ("the sidecar, without a token", request().send(&env.sidecar_socket())),
        ] {
            assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(id)), "{place}, {sent}: {}", answer.text());
        }
    }
}
