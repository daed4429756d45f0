//! A host and a primary of which one is of an older version: both follow, revocations bind, and what cannot be proven is said.
//!
//! `SIDEGATE_OLD` names the older program; `tests/old_and_new` builds it from the history and starts this.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::model::clock;

use crate::support::env::{Daemon, NO_REPOSITORIES, TestEnv};
use crate::support::generated_directory::{generated_key_line, key_blob, user_line};
use crate::support::http::{Request, Response};
use crate::support::link::{Delivery, Link};
use crate::support::lookup::{look_up_key, lookup_request};

/// The keys' `max_stale` of the host; its `ttl` is 2 s.
const MAX_STALE: Duration = Duration::from_secs(6);
const FRESHNESS: &str = "[freshness]\nkeys = { ttl = \"2s\", max_stale = \"6s\" }\nreads = { ttl = \"2s\", max_stale = \"6s\" }\n\
                         push_precheck = { ttl = \"2s\", max_stale = \"6s\" }\n";
const KEYS: u64 = 12;

/// What a new primary allows a host at most; an old one knows no such setting.
const LONGEST_MAX_STALE: Duration = Duration::from_secs(8);

/// Which program a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

impl Version {
    fn program(self) -> String {
        match self {
            Self::Old => std::env::var("SIDEGATE_OLD").expect("SIDEGATE_OLD names the older program: tests/old_and_new sets it"),
            Self::New => env!("CARGO_BIN_EXE_sidegate").to_owned(),
        }
    }
}

/// Statements that were checked, each said as it was found.
#[derive(Default)]
struct Checks {
    passed: u32,
    failed: u32,
}

impl Checks {
    fn check(&mut self, statement: &str, holds: bool, seen: &dyn std::fmt::Display) {
        if holds {
            self.passed += 1;
            eprintln!("  ok     {statement}");
        } else {
            self.failed += 1;
            eprintln!("  WRONG  {statement}: {seen}");
        }
    }
}

/// A primary and a host, each of a version, and the link between them, which ends before the folder that it listens in.
struct Pair {
    link: Link,
    env: TestEnv,
    primary_version: Version,
}

impl Pair {
    fn start(primary: Version, host: Version) -> Self {
        let mut env = TestEnv::with_config("", FRESHNESS);
        let path = env.path().join("link.sock");
        env.replace_in_file("sidegate.toml", &env.primary_socket().display().to_string(), &path.display().to_string());
        if primary == Version::New {
            limit_bounds(&env);
        }
        if primary == Version::Old {
            // It does not know this section.
            env.replace_in_file("primary.toml", NO_REPOSITORIES, "");
        }
        env.primary = Some(daemon(&env, primary, "primary", "primary.toml"));
        let link = Link::start(&path, &env.primary_socket());
        let pair = Self { link, env, primary_version: primary };
        let file = pair.env.write("directory.jsonl", &directory());
        let output = pair.admin(&["apply", file.to_str().unwrap()]);
        assert!(output.status.success(), "apply: {}", text(&output));
        pair.with_host(host)
    }

    fn with_host(mut self, host: Version) -> Self {
        self.env.sidecar = Some(daemon(&self.env, host, "serve", "sidegate.toml"));
        self
    }

    /// `sidegate admin` of the primary's own version.
    fn admin(&self, words: &[&str]) -> Output {
        Command::new(self.primary_version.program())
            .args(["admin", "--socket"])
            .arg(self.env.primary_socket())
            .args(words)
            .output()
            .unwrap()
    }

    /// Returns whether the host comes to where the primary is.
    fn follows(&self) -> bool {
        eventually(Duration::from_secs(30), || {
            let (here, there) = (self.env.status(), self.env.primary_status());
            let cursor = &here["follower"]["cursor"];
            cursor["digest"].is_string()
                && cursor["digest"] == there["head"]["digest"]
                && cursor["seq"] == there["head"]["seq"]
                && here["follower"]["whole"] == true
        })
    }

    fn keys_state(&self) -> Value {
        self.env.status()["freshness"]["keys"]["state"].clone()
    }

    fn pull(&self, key: u64) -> Response {
        let body = json!({"action": "git-upload-pack", "project": "root/p", "protocol": "ssh", "changes": "_any", "key_id": key});
        self.env.request_sidecar(Request::post("/api/v4/internal/allowed", &body))
    }
}

fn limit_bounds(env: &TestEnv) {
    let sync = format!("[sync]\nlongest_max_stale = \"{}s\"\n[log]", LONGEST_MAX_STALE.as_secs());
    env.replace_in_file("primary.toml", "[log]", &sync);
}

fn daemon(env: &TestEnv, version: Version, command: &str, config: &str) -> Daemon {
    let mut program = Command::new(version.program());
    program.args([command, "--config"]).arg(env.path().join(config)).stdin(std::process::Stdio::null());
    env.spawn_daemon(program, config)
}

/// Person n has key n, and is a member of the one project.
fn directory() -> String {
    let records = [
        json!({"kind": "settings", "operations_per_minute": 0}),
        json!({"kind": "storage", "name": "default", "address": "unix:/g"}),
        json!({"kind": "namespace", "id": 1, "type": "group", "path": "root", "name": "root"}),
        json!({"kind": "project", "id": 1, "namespace_id": 1, "path": "root/p", "name": "p", "relative_path": "p.git"}),
    ];
    let head: String = records.iter().map(|record| format!("{record}\n")).collect();
    let member = |id| json!({"kind": "member", "project_id": 1, "user_id": id, "access_level": 30}).to_string() + "\n";
    let people: String = (1..=KEYS).map(|id| user_line(id) + &member(id) + &generated_key_line(id, id)).collect();
    head + &people
}

fn eventually(limit: Duration, so: impl Fn() -> bool) -> bool {
    let begun = clock::boot_time().0;
    while !so() {
        if clock::boot_time().0 - begun > limit {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    true
}

fn text(output: &Output) -> String {
    format!("exit {:?}: {}{}", output.status.code(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn shown(response: &Response) -> String {
    let answer = ["x-sidegate-answer", "x-sidegate-degraded"].map(|name| response.header(name).unwrap_or("-").to_owned());
    format!("{} {answer:?} {}", response.status, response.text())
}

#[test]
#[ignore = "needs a program of an older version: tests/old_and_new"]
fn an_older_host_or_primary_works_with_a_newer_one() {
    let mut checks = Checks::default();
    eprintln!("an old host with a new primary");
    check_pair(&Pair::start(Version::New, Version::Old), &mut checks, false);
    eprintln!("a new host with an old primary");
    check_pair(&Pair::start(Version::Old, Version::New), &mut checks, true);
    eprintln!("the primary becomes a new one, then the host");
    check_upgrade(Pair::start(Version::Old, Version::Old), &mut checks);
    eprintln!("{} passed, {} failed", checks.passed, checks.failed);
    assert_eq!(checks.failed, 0);
}

/// Applies, looks up, revokes, cuts off, and heals. `unproven`: the primary's lines carry no clock, so the host can prove no age.
fn check_pair(pair: &Pair, checks: &mut Checks, unproven: bool) {
    let env = &pair.env;
    checks.check("the host follows", pair.follows(), &env.status());
    check_answers(pair, checks, unproven);
    check_revocations(pair, checks);
    check_cut_off(pair, checks, unproven);
    pair.link.deliver_all(Delivery::Prompt);
    checks.check("once the link is back the host follows again", pair.follows(), &env.status());
    let response = look_up_key(env, 3);
    checks.check("what was revoked meanwhile is refused", response.status == 404, &shown(&response));
}

fn check_answers(pair: &Pair, checks: &mut Checks, unproven: bool) {
    let env = &pair.env;
    if unproven {
        let proof = env.status()["follower"]["proof"].clone();
        checks.check("the host's status says that lines are dated by their arrival", proof == "arrival", &proof);
        let fresh = eventually(Duration::from_secs(6), || pair.keys_state() == "fresh");
        checks.check("the host never calls its data fresh", !fresh && pair.keys_state() == "stale", &pair.keys_state());
    } else {
        let fresh = eventually(Duration::from_secs(10), || pair.keys_state() == "fresh");
        checks.check("the host calls its data fresh", fresh, &pair.keys_state());
        let hosts = Request::get("/-/admin/hosts").send(&env.primary_socket()).json();
        let longest = hosts["hosts"][0]["max_stale"] == LONGEST_MAX_STALE.as_secs();
        checks.check("the primary counts it with the longest bound that it allows: it does not name its own", longest, &hosts);
        let noted = hosts["hosts"][0]["note"].as_str().is_some_and(|note| note.contains("older version"));
        checks.check("and says that it cannot prove how old its data is", noted, &hosts);
    }
    let response = look_up_key(env, 1);
    checks.check("a key that is there is found", response.status == 200, &shown(&response));
    if unproven {
        checks.check("it is asked for at the primary", response.header("x-sidegate-answer") == Some("forwarded"), &shown(&response));
    }
    let response = lookup_request(&key_blob(999_999)).send(&env.sidecar_socket());
    checks.check("a key that is not there is not found", response.status == 404, &shown(&response));
    let response = pair.pull(1);
    checks.check("a member may pull", response.status == 200 && response.json()["status"] == true, &shown(&response));
}

fn check_revocations(pair: &Pair, checks: &mut Checks) {
    let env = &pair.env;
    let output = pair.admin(&["revoke-key", "1", "--wait"]);
    checks.check("revoke-key --wait ends with 0", output.status.code() == Some(0), &text(&output));
    let response = look_up_key(env, 1);
    checks.check("the revoked key is refused", response.status == 404, &shown(&response));
    let output = pair.admin(&["block-user", "person-2", "--wait"]);
    checks.check("block-user --wait ends with 0", output.status.code() == Some(0), &text(&output));
    let response = pair.pull(2);
    checks.check("the blocked user may not pull", response.status != 200, &shown(&response));
}

/// Cuts the host off, revokes, and lets the bound pass.
fn check_cut_off(pair: &Pair, checks: &mut Checks, unproven: bool) {
    let env = &pair.env;
    pair.link.cut();
    let response = look_up_key(env, 3);
    checks.check("a host that is cut off answers from what it has", response.status == 200, &shown(&response));
    checks.check(
        "and marks it as stale",
        response.header("x-sidegate-degraded").is_some() || pair.keys_state() == "fresh",
        &shown(&response),
    );
    let cut_at = clock::wall_time();
    let output = pair.admin(&["revoke-key", "3", "--wait=1"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    checks.check("revoke-key --wait ends with 3", output.status.code() == Some(3), &text(&output));
    let until = until_of(&said, "ssh-1");
    let bound = until.map(|until| until - cut_at.milliseconds());
    // The primary adds what it took to notice that the host is gone, and rounds up.
    let stated = bound.is_some_and(|bound| (1..=i64::try_from(LONGEST_MAX_STALE.as_millis()).unwrap() + 3_000).contains(&bound));
    checks.check("it names the host with the time until which it may accept the key", stated, &said);
    if !unproven {
        checks.check("and what the host cannot prove", said.contains("older version"), &said);
    }
    let expired = eventually(MAX_STALE + Duration::from_secs(10), || look_up_key(env, 3).status == 424);
    checks.check("then the host says that it cannot know", expired, &shown(&look_up_key(env, 3)));
    let lapsed = eventually(Duration::from_secs(30), || until.is_some_and(|until| clock::wall_time().milliseconds() > until + 1_000));
    let output = pair.admin(&["revoke-key", "4", "--wait=1"]);
    checks.check("once that time is over --wait does not wait for the host", lapsed && output.status.code() == Some(0), &text(&output));
    let response = look_up_key(env, 4);
    checks.check("and the host says no yes to that key", response.status != 200, &shown(&response));
}

/// The time in the line of `--wait` about a host, in milliseconds since 1970.
fn until_of(said: &str, host: &str) -> Option<i64> {
    let line = said.lines().find(|line| line.contains(host) && line.contains(" until "))?;
    let word = line.split(" until ").nth(1)?.split([';', ' ', ')']).next()?;
    word.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
}

/// Each daemon is replaced by a new one on the same folder, while the other goes on.
fn check_upgrade(mut pair: Pair, checks: &mut Checks) {
    checks.check("an old host follows an old primary", pair.follows(), &pair.env.status());
    pair.env.primary.as_mut().unwrap().stop();
    limit_bounds(&pair.env);
    pair.env.primary = Some(daemon(&pair.env, Version::New, "primary", "primary.toml"));
    pair.primary_version = Version::New;
    checks.check("the old host follows the new primary on the old one's folder", pair.follows(), &pair.env.status());
    let output = pair.admin(&["revoke-key", "1", "--wait"]);
    checks.check("revoke-key --wait ends with 0", output.status.code() == Some(0), &text(&output));
    pair.env.sidecar.as_mut().unwrap().stop();
    let pair = pair.with_host(Version::New);
    checks.check("the new host follows on the old one's folder", pair.follows(), &pair.env.status());
    let proven = eventually(Duration::from_secs(10), || pair.env.status()["follower"]["proof"] == "exchange");
    checks.check("and proves its age", proven, &pair.env.status()["follower"]["proof"]);
    let proves = || Request::get("/-/admin/hosts").send(&pair.env.primary_socket()).json()["hosts"].clone();
    checks.check(
        "the primary knows that it does",
        proves().as_array().is_some_and(|hosts| hosts.iter().any(|host| host["proves_age"] == true)),
        &proves(),
    );
    let output = pair.admin(&["revoke-key", "2", "--wait"]);
    checks.check("revoke-key --wait ends with 0 again", output.status.code() == Some(0), &text(&output));
    for key in [1, 2] {
        let response = look_up_key(&pair.env, key);
        checks.check("a revoked key is refused", response.status == 404, &shown(&response));
    }
    let response = look_up_key(&pair.env, 5);
    checks.check("another one is found", response.status == 200, &shown(&response));
}
