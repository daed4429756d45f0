//! `sidegate explain` in every state of a host that follows a primary: each sentence is true, and the verdict is what the endpoints answer.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{contract_directory, contract_key_blob, contract_public_key};
use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, json_response};
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob, key_line, query_encode};
use crate::support::http::{Request, Response};
use crate::support::link::{Delivery, Link, Traffic, start_linked};
use crate::support::random::Random;
use crate::support::small_disk::SmallDisk;

const ALWAYS_STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"1h\" }\nreads = { ttl = \"1ms\", max_stale = \"1h\" }\n\
                            push_precheck = { ttl = \"1ms\", max_stale = \"1h\" }\n";
const LONG_FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                          push_precheck = { ttl = \"1h\", max_stale = \"2h\" }\n";
const KNOWN: [&str; 4] = ["--key-id", "104", "--project", "team/private"];

/// What `explain` said: its exit code, its screen, and its JSON.
pub struct Explained {
    pub code: i32,
    pub screen: String,
    pub json: Value,
}

/// Asks for an explanation. With `SIDEGATE_SCREENS` in the environment its screen is added to that file, under `title`.
pub fn explain(env: &TestEnv, title: &str, words: &[&str]) -> Explained {
    let socket = env.sidecar_socket();
    let all = [&["explain", "--socket", socket.to_str().unwrap()], words].concat();
    let run = |more: &[&str]| {
        let output = env.run_sidegate(&[&all[..], more].concat());
        assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, screen) = run(&[]);
    let (_, json) = run(&["--json"]);
    if let Some(file) = std::env::var_os("SIDEGATE_SCREENS") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "=== {title}\n$ sidegate explain {}\n{screen}exit {code}\n", words.join(" ")).unwrap();
    }
    Explained { code, screen, json: serde_json::from_str(&json).unwrap() }
}

impl Explained {
    fn is(&self, code: i32, sentence: &str) -> &Self {
        assert_eq!((self.code, self.screen.lines().next()), (code, Some(sentence)), "{}", self.screen);
        self
    }

    fn says(&self, part: &str) -> &Self {
        assert!(self.screen.contains(part), "{part} is not in\n{}", self.screen);
        self
    }

    fn step(&self, index: usize) -> (&Value, &Value, bool) {
        let step = &self.json["steps"][index];
        (&step["verdict"], &step["decided_by"], step["degraded"].is_string())
    }
}

fn running(freshness: &str) -> TestEnv {
    let mut env = TestEnv::with_config("", freshness);
    env.start_primary();
    env.apply(&contract_directory(&json!({})));
    env.start_sidecar();
    env.wait_until_caught_up();
    env
}

fn wait_for_breaker(env: &TestEnv, state: &str) {
    env.wait_for(&format!("the breaker to be {state}"), || env.status()["primary"]["breaker"] == state);
}

#[test]
fn a_fresh_host_explains_a_yes_and_each_refusal_by_whatever_names_who_asks() {
    let env = running(LONG_FRESH);
    let known = explain(&env, "fresh: a yes", &KNOWN);
    known.is(0, "developer may pull team/private").says("the primary answers `allowed` with yes (200)").says("role developer");
    known.says("it counts that as a use of the key and within the person's limits");
    assert_eq!(known.step(0), (&json!("yes"), &json!("directory"), false));
    assert_eq!(known.step(1), (&json!("yes"), &json!("directory"), false));
    assert_eq!((&known.json["key"]["id"], &known.json["user"]["username"]), (&json!(104), &json!("developer")));
    let fingerprint = known.json["key"]["fingerprint"].as_str().unwrap().to_owned();
    let line = format!("{} developer@laptop", contract_public_key(104));
    let file = env.write("id.pub", &format!("\u{feff}{line}\r\n"));
    let blob = contract_key_blob(104);
    for who in [
        ["--fingerprint", &fingerprint],
        ["--key", &line],
        ["--key", &blob],
        ["--key-file", file.to_str().unwrap()],
        ["--username", "developer"],
    ] {
        for action in ["pull", "git-upload-pack", "push", "git-receive-pack", "archive", "git-upload-archive"] {
            let words = [&who[..], &["--project", "team/private", "--action", action]].concat();
            assert_eq!(explain(&env, "", &words).code, 0, "{words:?}");
        }
    }
    let blocked = explain(&env, "fresh: a blocked account", &["--username", "blocked", "--project", "team/private"]);
    blocked.is(1, "refused: blocked may not pull team/private, because the account is blocked");
    blocked
        .says("rule: user_blocked")
        .says("an administrator unblocks the account")
        .says("the person reads: Your account has been blocked.");
    let alone = explain(&env, "fresh: the key of a blocked account", &["--key-id", "109"]);
    alone.is(1, "refused: blocked may not use Git, because the account is blocked").says("is let in");
    explain(&env, "fresh: a role that is too low", &["--username", "guest", "--project", "team/private"])
        .is(1, "refused: guest may not pull team/private, because the role in the project does not reach to reading its code")
        .says("role guest");
    let stranger = contract_key_blob(9_999);
    explain(&env, "fresh: a key that nobody has", &["--key", &stranger])
        .says("is not let in, because no account has it")
        .says("[directory here");
    explain(&env, "fresh: nobody", &["--username", "ghost"]).is(1, "refused: user ghost is not known");
    let private = env.write("id", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let socket = env.sidecar_socket();
    for (words, part) in [
        (["--key-file", private.to_str().unwrap()], "it is a private key"),
        (["--fingerprint", "SHA256:abc"], "43 letters"),
        (["--key", "no key"], "`key` is a public key"),
    ] {
        let output = env.run_sidegate(&[&["explain", "--socket", socket.to_str().unwrap()], &words[..]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(part), "{words:?}: {error}");
    }
}

#[test]
fn a_dead_primary_is_named_and_what_is_held_is_explained_by_its_age() {
    let mut env = running(LONG_FRESH);
    env.primary.as_mut().unwrap().kill();
    wait_for_breaker(&env, "open");
    let known = explain(&env, "primary dead, data fresh", &KNOWN);
    known.is(0, "developer may pull team/private").says("the primary has not answered since").says("the feed is lost since");
    let refused = explain(&env, "primary dead: a refusal", &["--username", "blocked", "--project", "team/private"]);
    refused.is(1, "refused: blocked may not pull team/private, because the account is blocked");
    assert_eq!(refused.step(1), (&json!("no"), &json!("directory"), true));
    explain(&env, "primary dead: a hidden project", &["--username", "outsider", "--project", "team/private"]).says("not judged: ");

    restart(&mut env, ALWAYS_STALE);
    let known = explain(&env, "stale", &KNOWN);
    known.is(0, "developer may pull team/private").says("(given because the primary fails)").says(": stale [this host]");
    assert_eq!(known.step(0), (&json!("yes"), &json!("directory"), true));
    let stranger = explain(&env, "stale: a key that is not known here", &["--key", &contract_key_blob(9_999)]);
    assert_eq!((stranger.code, stranger.step(0)), (2, (&json!("unknown"), &json!("nobody"), false)));
    stranger.says("cannot be judged now, because the primary has not answered since").says("for a yes:");

    restart(
        &mut env,
        "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2ms\" }\nreads = { ttl = \"1ms\", max_stale = \"2ms\" }\n\
                       push_precheck = { ttl = \"1ms\", max_stale = \"2ms\" }\n",
    );
    let known = explain(&env, "expired", &["--key", &contract_key_blob(104)]);
    assert_eq!((known.code, known.step(0)), (2, (&json!("unknown"), &json!("nobody"), false)));
    known.says("nothing that this host holds may be given").says(": expired [this host]");
}

fn restart(env: &mut TestEnv, freshness: &str) {
    env.sidecar.as_mut().unwrap().stop();
    let text = std::fs::read_to_string(env.path().join("sidegate.toml")).unwrap();
    let (before, _) = text.split_once("[freshness]").unwrap();
    env.write("sidegate.toml", &format!("{before}{freshness}"));
    env.start_sidecar();
    wait_for_breaker(env, "open");
}

/// A primary, a host that has caught up with it, and the link between them.
fn linked(freshness: &str) -> (TestEnv, Link) {
    start_linked(TestEnv::with_config("", freshness), &contract_directory(&json!({})))
}

#[test]
fn a_primary_that_is_slow_or_hangs_and_a_feed_that_is_lost_are_told_apart() {
    let (env, link) = linked(ALWAYS_STALE);
    link.hold_answers("/internal/discover", 1);
    let slow = std::thread::scope(|scope| {
        let explained = scope.spawn(|| explain(&env, "primary slow", &["--username", "developer"]));
        link.wait_held(1);
        link.release_held();
        explained.join().unwrap()
    });
    slow.is(0, "developer is known").says("the primary answers `discover` with yes (200)");
    link.deliver(Traffic::Questions, Delivery::Held);
    let hung = explain(&env, "primary hangs", &KNOWN);
    hung.is(0, "developer may pull team/private").says("the primary gives no answer to `allowed`");
    assert_eq!(hung.step(1), (&json!("yes"), &json!("directory"), true));
    wait_for_breaker(&env, "open");
    explain(&env, "primary hangs, and was found to", &KNOWN).says("the primary has not answered since");
    link.deliver(Traffic::Questions, Delivery::Prompt);
    wait_for_breaker(&env, "closed");
    link.deliver(Traffic::Feed, Delivery::Cut);
    env.wait_for("the feed to be lost", || env.status()["follower"]["lost_since"].is_string());
    let lost = explain(&env, "feed lost", &KNOWN);
    lost.is(0, "developer may pull team/private").says("the feed is lost since").says("the primary answers `allowed` with yes (200)");
    assert_eq!(lost.step(1), (&json!("yes"), &json!("primary"), false), "it is stale, and the primary was asked");
}

#[test]
fn a_primary_that_refuses_this_host_is_said_to() {
    let mut env = TestEnv::with_config("", ALWAYS_STALE);
    let wrong = env.write("wrong_secret", "another-secret-of-thirty-two-hex");
    let with = format!("feed = \"sidegate\"\nshell_secret_file = \"{}\"", wrong.display());
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", &with);
    env.start_primary();
    env.apply(&contract_directory(&json!({})));
    env.start_sidecar();
    env.wait_until_caught_up();
    let refused = explain(&env, "primary refuses us", &KNOWN);
    refused.is(0, "developer may pull team/private").says("it refused our token: are the shell secrets the same?");
    assert_eq!(refused.step(0), (&json!("yes"), &json!("directory"), true));
}

#[test]
fn drift_is_a_fact_of_the_host() {
    let mut env = TestEnv::running(&directory_of_keys(20));
    let head = env.primary_status()["head"].clone();
    assert!(env.primary.as_mut().unwrap().stop().success());
    env.primary = None;
    let (seq, digest) = (head["seq"].as_u64().unwrap() + 1, head["digest"].as_str().unwrap().to_owned());
    let lie = json!({"put": {"kind": "key", "id": 900, "user_id": 1, "title": "t", "key": format!("ssh-ed25519 {}", key_blob(900)),
        "created_at": "2026-01-31T12:00:00.000Z"}});
    let lines = format!("{{\"seq\":{seq},\"digest\":\"{digest}\",\"count\":21,\"changes\":[{lie}]}}\n");
    let _fake = FakePrimary::listen(&env.primary_socket(), move |arrived| {
        if arrived.request_line.contains("/changes") {
            let mut stream = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n".to_vec();
            stream.extend(lines.as_bytes());
            return FakeReply::RespondAndClose(stream);
        }
        FakeReply::Respond(json_response(500, "{}"))
    });
    env.wait_for("the drift to be seen", || env.status()["follower"]["alarms"].to_string().contains("drift"));
    explain(&env, "drift", &["--key", &key_blob(5)]).says("alarm since");
}

#[test]
fn while_a_snapshot_is_taken_what_is_here_decides() {
    let (env, link) = linked(LONG_FRESH);
    link.hold_answers("/snapshot", 1);
    let socket = env.sidecar_socket();
    assert!(env.run_sidegate(&["resync", "--socket", socket.to_str().unwrap()]).status.success());
    link.wait_held(1);
    let during = explain(&env, "resync", &KNOWN);
    during.is(0, "developer may pull team/private");
    assert_eq!(during.step(1), (&json!("yes"), &json!("directory"), false));
    let refused = explain(&env, "resync: a refusal", &["--username", "blocked", "--project", "team/private"]);
    refused.is(1, "refused: blocked may not pull team/private, because the account is blocked");
    link.release_held();
}

#[test]
fn on_a_full_disk_a_revocation_binds_and_the_alarm_is_a_fact_of_the_host() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("sidecar"), 8 << 10) else { return };
    env.start_primary();
    env.apply(&directory_of_keys(400));
    env.start_sidecar();
    env.wait_until_fresh();
    disk.fill();
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
    env.wait_for("the revocation to bind", || env.status()["follower"]["unstored"]["since"].is_string());
    let kept = explain(&env, "disk full", &["--key", &key_blob(5)]);
    kept.says("alarm since");
    assert_eq!(kept.code, 0, "{}", kept.screen);
    let revoked = explain(&env, "disk full: a key that was revoked since", &["--key", &key_blob(17)]);
    revoked.says("alarm since");
    assert_eq!(revoked.code, 1, "{}", revoked.screen);
}

/// People, projects and memberships drawn from a seed; nobody of them may create a project.
fn random_directory(random: &mut Random) -> String {
    let mut lines = vec![
        json!({"kind": "settings", "two_factor_for_cli": false, "read_only": random.chance(6), "maintenance": random.chance(6)})
            .to_string(),
        json!({"kind": "storage", "name": "default", "address": "unix:/gitaly.sock"}).to_string(),
        json!({"kind": "namespace", "id": 1, "type": "group", "path": "g", "name": "g", "project_creation": "noone",
            "archived": random.chance(8), "allowed_ips": if random.chance(4) { vec!["10.0.0.1"] } else { Vec::new() }})
        .to_string(),
    ];
    for id in 1..=8 {
        let state = random.pick(&["active", "active", "active", "blocked", "deactivated", "banned", "unconfirmed", "pending_approval"]);
        lines.push(
            json!({"kind": "user", "id": id, "username": format!("person-{id}"), "name": "P", "state": state, "external": random.chance(4),
                "admin": random.chance(8), "projects_limit": 0})
            .to_string(),
        );
        let line = key_line(id, id, &format!("ssh-ed25519 {}", key_blob(id)));
        let mut key: Value = serde_json::from_str(line.trim()).unwrap();
        key["usage"] = json!(random.pick(&["auth_and_signing", "auth_and_signing", "auth", "signing"]));
        if random.chance(5) {
            key["expires_at"] = json!("2026-01-01T00:00:00Z");
        }
        lines.push(key.to_string());
    }
    for id in 1..=5 {
        let visibility = random.pick(&["private", "internal", "public"]);
        let access = random.pick(&["enabled", "enabled", "private", "disabled"]);
        lines.push(
            json!({"kind": "project", "id": id, "namespace_id": 1, "path": format!("g/p{id}"), "name": "p", "visibility": visibility,
                "repository_access": access, "archived": random.chance(6), "repository_exists": !random.chance(6),
                "relative_path": format!("p{id}.git")})
            .to_string(),
        );
    }
    for (user, project) in (1..=8).flat_map(|user| (1..=5).map(move |project| (user, project))) {
        if random.chance(2) {
            let level: u64 = random.pick(&["10", "20", "30", "40", "50"]).parse().unwrap();
            lines.push(json!({"kind": "member", "project_id": project, "user_id": user, "access_level": level}).to_string());
        }
    }
    lines.push(json!({"kind": "redirect", "from": "g/old", "project_id": 1}).to_string());
    lines.join("\n") + "\n"
}

/// A question, and how it is asked of the endpoints.
fn random_question(random: &mut Random) -> (String, Option<ApiCall>, u64) {
    let key = random.below(10) + 1;
    let project = random.pick(&["g/p1", "g/p2", "g/p3", "g/p4", "g/p5", "g/old", "h/none"]);
    let action = random.pick(&["git-upload-pack", "git-upload-pack", "git-receive-pack", "git-upload-archive"]);
    if random.chance(4) {
        return (format!("key={}", query_encode(&key_blob(key))), None, key);
    }
    let call = ApiCall::post("/api/v4/internal/allowed")
        .with("key_id", key)
        .with("project", project)
        .with("action", action)
        .with("protocol", "ssh")
        .with("changes", "_any");
    let (call, address) = if random.chance(3) { (call.with("check_ip", "10.0.0.1"), "&check_ip=10.0.0.1") } else { (call, "") };
    (format!("key_id={key}&project={project}&action={action}{address}"), Some(call), key)
}

/// What a response of an endpoint says, in the words of an explanation: the verdict, who decided, and whether it is degraded.
fn said(response: &Response) -> (&'static str, &'static str, bool) {
    let verdict = match response.status {
        200 => "yes",
        401 | 404 | 422 => "no",
        424 => "unknown",
        other => panic!("{other}: {}", response.text()),
    };
    let decided_by = match response.header("x-sidegate-answer") {
        Some("local") => "directory",
        Some("forwarded") => "primary",
        Some("cached") => "kept_answer",
        _ => "nobody",
    };
    (verdict, decided_by, verdict != "unknown" && response.header("x-sidegate-degraded").is_some())
}

/// Asks some questions both ways.
fn assert_same(env: &TestEnv, random: &mut Random, count: usize, what: &str) {
    for _ in 0..count {
        let (query, call, key) = random_question(random);
        let explained = Request::get(&format!("/-/admin/explain?{query}")).send(&env.sidecar_socket());
        assert_eq!(explained.status, 200, "{query}: {}", explained.text());
        let explained = explained.json();
        let steps = explained["steps"].as_array().unwrap().clone();
        let is_push = query.contains("git-receive-pack");
        let (step, response) = match call {
            None => (&steps[0], env.request_sidecar(Request::get(&format!("/api/v4/internal/authorized_keys?{query}")))),
            Some(call) => {
                let response = env.request_sidecar(call.to_json_request());
                // What sshd does not let in is not asked on: gitlab-shell is never started.
                if steps.len() == 1 || steps[1]["question"] != "access" {
                    let looked_up = env
                        .request_sidecar(Request::get(&format!("/api/v4/internal/authorized_keys?key={}", query_encode(&key_blob(key)))));
                    assert_eq!(steps[0]["verdict"], "no", "{what} {query}: {explained}");
                    assert_ne!(looked_up.status, 200, "{what} {query}: {explained}");
                    continue;
                }
                (&steps[1], response)
            }
        };
        let (verdict, decided_by, degraded) = said(&response);
        let context = format!("{what} {query}: {explained}\nbut {} {}", response.status, response.text());
        assert_eq!(step["verdict"], verdict, "{context}");
        if !is_push {
            assert_eq!((&step["decided_by"], step["degraded"].is_string()), (&json!(decided_by), degraded), "{context}");
        }
        let said_message = serde_json::from_slice::<Value>(&response.body).ok().map(|body| body["message"].clone());
        if verdict == "no" && step["question"] == "access" && !is_push {
            assert_eq!(Some(step["rule"]["message"].clone()), said_message, "{context}");
        }
    }
}

#[test]
fn an_explanation_says_what_the_endpoints_answer_for_random_directories_and_questions() {
    for seed in 0..crate::support::scaled(3, 40) {
        let random = &mut Random::new(seed);
        let mut env = TestEnv::with_config("", LONG_FRESH);
        env.start_primary();
        env.apply(&random_directory(random));
        env.start_sidecar();
        env.wait_until_caught_up();
        env.wait_until_fresh();
        assert_same(&env, random, 60, &format!("seed {seed}, fresh"));
        env.primary.as_mut().unwrap().kill();
        wait_for_breaker(&env, "open");
        assert_same(&env, random, 60, &format!("seed {seed}, primary dead"));
        restart(&mut env, ALWAYS_STALE);
        assert_same(&env, random, 60, &format!("seed {seed}, stale"));
    }
}
