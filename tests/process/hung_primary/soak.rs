//! A primary that stands still for minutes while people log in and writes hang: how long anybody waits because of it, and for how long
//! anybody is refused after it is back.
//!
//! `tests/hung_primary` runs it as long as it is asked to and judges the times, each against those of the same run while all was well. Here
//! it is short, and only what is answered counts.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::StopOnDrop;
use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, key_blob, key_line};
use crate::support::http::Request;
use crate::support::sshd::{KeyPair, Sshd};

/// How many keys the directory has.
const KEYS: u64 = 1000;
/// The id of the key that logs in.
const LOGIN_KEY: u64 = 777_777;
/// The most that a login may take longer.
const MAX_LOGIN_DELAY: Duration = Duration::from_millis(500);
/// The p99 of look-ups up to which nothing else is asked.
const GOOD_P99: Duration = Duration::from_millis(5);
/// How long after the primary is back somebody may still be refused.
const MAX_REFUSED: Duration = Duration::from_secs(2);

/// How much is done.
struct Scale {
    idle: Duration,
    hung: Duration,
    lookups_per_second: u32,
    writes: usize,
    login_every: Duration,
    config: &'static str,
}

/// How long each thing took, in one part of a run.
#[derive(Default)]
struct Times {
    lookups: Vec<Duration>,
    logins: Vec<Duration>,
    refused_lookups: usize,
    refused_logins: usize,
}

/// What a run has found.
struct Outcome {
    idle: Times,
    hung: Times,
    /// How long after the primary went on something was still refused.
    refused_for: Duration,
    hanging_writes: u64,
    refused_writes: u64,
}

#[test]
fn a_primary_that_stands_still_refuses_nobody_who_is_known() {
    let scale = Scale {
        idle: Duration::from_secs(2),
        hung: Duration::from_secs(12),
        lookups_per_second: 10,
        writes: 20,
        login_every: Duration::from_secs(3),
        config: "[freshness]\nkeys = { ttl = \"5s\", max_stale = \"1h\" }\n[limits]\nforwards = 8\n",
    };
    let outcome = run(&scale);
    assert!(!outcome.hung.lookups.is_empty() && outcome.hanging_writes > 0 && outcome.refused_writes > 0);
    assert_eq!((outcome.hung.refused_lookups, outcome.hung.refused_logins), (0, 0));
}

/// Started by `tests/hung_primary`.
#[test]
#[ignore = "takes minutes, and judges times: tests/hung_primary"]
fn a_primary_that_hangs_for_minutes_costs_nobody_who_is_known_any_time() {
    let seconds = std::env::var("SIDEGATE_HUNG_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let scale = Scale {
        idle: Duration::from_secs(30),
        hung: Duration::from_secs(seconds),
        lookups_per_second: 50,
        writes: 300,
        login_every: Duration::from_secs(5),
        config: "",
    };
    let failed = report(&run(&scale));
    assert_eq!(failed, 0, "{failed} checks failed");
}

fn run(scale: &Scale) -> Outcome {
    let mut env = TestEnv::with_config("", scale.config);
    env.start_primary();
    env.apply(&directory_of_keys(KEYS));
    env.start_sidecar();
    let sshd = Sshd::start(&env).map(|sshd| (sshd, KeyPair::generate(&env, "hung", "ed25519")));
    if let Some((_, pair)) = &sshd {
        env.apply(&key_line(LOGIN_KEY, 1, &pair.public_line));
    }
    env.wait_until_fresh();
    env.helper_path();
    let primary = env.primary.as_ref().unwrap();
    let idle = measure(&env, scale, scale.idle, sshd.as_ref());
    primary.signal(Signal::SIGSTOP);
    let (ended, sent, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (hung, refused_for) = thread::scope(|scope| {
        let _stops = StopOnDrop(&ended);
        for _ in 0..scale.writes {
            scope.spawn(|| write_until(&env, &ended, [&sent, &refused]));
        }
        let hung = measure(&env, scale, scale.hung, sshd.as_ref());
        primary.signal(Signal::SIGCONT);
        let refused_for = refused_after(&env, Instant::now());
        (hung, refused_for)
    });
    Outcome { idle, hung, refused_for, hanging_writes: sent.into_inner(), refused_writes: refused.into_inner() }
}

/// Looks known keys up with the helper that sshd starts, at this rate, and logs in now and then.
fn measure(env: &TestEnv, scale: &Scale, lasts: Duration, sshd: Option<&(Sshd, KeyPair)>) -> Times {
    let (begun, ended) = (Instant::now(), AtomicBool::new(false));
    let mut times = Times::default();
    thread::scope(|scope| {
        let stops = StopOnDrop(&ended);
        let logins = scope.spawn(|| log_in_until(&ended, scale.login_every, sshd));
        for number in 0.. {
            let due = begun + Duration::from_secs(1) * number / scale.lookups_per_second;
            if due.duration_since(begun) >= lasts {
                break;
            }
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
            let (took, found) = look_up(env, u64::from(number) % KEYS + 1);
            times.lookups.push(took);
            times.refused_lookups += usize::from(!found);
        }
        drop(stops);
        (times.logins, times.refused_logins) = logins.join().unwrap();
    });
    times
}

/// How long the helper took, from its start to its end, and whether it said a key.
fn look_up(env: &TestEnv, key: u64) -> (Duration, bool) {
    let mut helper = Command::new(env.helper_path());
    helper.arg("--socket").arg(env.sidecar_socket()).args(["git", "git", &key_blob(key)]).stdin(Stdio::null());
    let begun = Instant::now();
    let output = helper.output().unwrap();
    (begun.elapsed(), output.stdout.starts_with(b"command="))
}

fn log_in_until(ended: &AtomicBool, every: Duration, sshd: Option<&(Sshd, KeyPair)>) -> (Vec<Duration>, usize) {
    let (mut took, mut refused) = (Vec::new(), 0);
    let Some((sshd, pair)) = sshd else { return (took, refused) };
    while !ended.load(Ordering::SeqCst) {
        let begun = Instant::now();
        refused += usize::from(sshd.login(&[pair]).is_none());
        took.push(begun.elapsed());
        wait_until(ended, begun + every);
    }
    (took, refused)
}

/// A client whose writes hang, and who tries again a little later where they are refused.
fn write_until(env: &TestEnv, ended: &AtomicBool, [sent, refused]: [&AtomicU64; 2]) {
    while !ended.load(Ordering::SeqCst) {
        let write = Request::post("/api/v4/internal/post_receive", &json!({"gl_repository": "project-1"}));
        let begun = Instant::now();
        match write.header("Gitlab-Shell-Api-Request", &env.shell_token()).try_send(&env.sidecar_socket()) {
            Ok(answer) if answer.status == 424 => refused.fetch_add(1, Ordering::SeqCst),
            _ => sent.fetch_add(1, Ordering::SeqCst),
        };
        wait_until(ended, begun + Duration::from_secs(2));
    }
}

/// Asks what only the primary may answer until it is answered as before for a while; returns how long after `back` it was last not.
fn refused_after(env: &TestEnv, back: Instant) -> Duration {
    let mut last_refused = Duration::ZERO;
    while back.elapsed() < last_refused + Duration::from_secs(5) {
        let asked = back.elapsed();
        let answer = env.request_sidecar(Request::get("/api/v4/internal/check"));
        if answer.header("x-sidegate-answer") != Some("forwarded") {
            last_refused = asked;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    last_refused
}

fn wait_until(ended: &AtomicBool, moment: Instant) {
    while !ended.load(Ordering::SeqCst) && Instant::now() < moment {
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Prints what was found; returns how many checks failed.
fn report(outcome: &Outcome) -> usize {
    let Outcome { idle, hung, refused_for, hanging_writes, refused_writes } = outcome;
    let (idle_p99, hung_p99) = (percentile(&idle.lookups, 99), percentile(&hung.lookups, 99));
    eprintln!(
        "look-ups: idle {} of p50 {:?}, p99 {idle_p99:?}; hung {} of p50 {:?}, p99 {hung_p99:?}",
        idle.lookups.len(),
        percentile(&idle.lookups, 50),
        hung.lookups.len(),
        percentile(&hung.lookups, 50)
    );
    let (idle_login, hung_login) = (percentile(&idle.logins, 50), percentile(&hung.logins, 100));
    eprintln!("logins: idle {} of p50 {idle_login:?}; hung {} of at most {hung_login:?}", idle.logins.len(), hung.logins.len());
    eprintln!("writes: {hanging_writes} sent and hanging, {refused_writes} refused at once; after it was back refused for {refused_for:?}");
    let checks = [
        ("look-ups take no longer: p99 within twice of idle, or 5 ms", hung_p99 <= (2 * idle_p99).max(GOOD_P99)),
        ("no look-up of a known key is refused", hung.refused_lookups == 0),
        ("no login takes half a second longer", hung_login <= idle_login + MAX_LOGIN_DELAY),
        ("no login is refused", hung.refused_logins == 0),
        ("nothing is refused two seconds after the primary is back", *refused_for <= MAX_REFUSED),
    ];
    let failed = checks.iter().filter(|(_, holds)| !holds).count();
    for (what, holds) in checks {
        eprintln!("{}: {what}", if holds { "passed" } else { "FAILED" });
    }
    eprintln!("{} passed, {failed} failed", checks.len() - failed);
    failed
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
