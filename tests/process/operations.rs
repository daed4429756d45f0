//! The daemons as systemd and an operator see them: start, reload, end, sockets that are handed over, commands, metrics, logs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use crate::support::contract_directory::{contract_directory, contract_key_blob, lfs};
use crate::support::env::{Daemon, TestEnv};
use crate::support::fake_primary::{FakePrimary, FakeReply, json_response as answer_json};
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob, query_encode};
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;

/// A command of the operator's that must do well; what it printed.
fn run_ok(env: &TestEnv, words: &[&str]) -> String {
    let socket = env.sidecar_socket();
    let output = env.run_sidegate(&[words, &["--socket", socket.to_str().unwrap()]].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_daemon_that_is_stopped_finishes_its_requests_and_notifies_systemd() {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let (arrived, has_arrived) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (arrived, may_go_on) = (Mutex::new(arrived), Mutex::new(may_go_on));
    let _fake = FakePrimary::listen(&env.primary_socket(), move |_| {
        arrived.lock().unwrap().send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        FakeReply::Respond(answer_json(200, "{\"reference_counter_decreased\":true}"))
    });
    env.start_sidecar();
    let mut sidecar = env.sidecar.take().unwrap();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| env.request_sidecar(Request::post("/api/v4/internal/post_receive", &json!({}))));
        has_arrived.recv().unwrap();
        sidecar.signal(Signal::SIGTERM);
        sidecar.wait_for_notification("STOPPING=1");
        go_on.send(()).unwrap();
        let answer = answer.join().unwrap();
        assert_eq!((answer.status, answer.text()), (200, "{\"reference_counter_decreased\":true}".to_owned()));
    });
    assert!(sidecar.wait().success());
    assert!(!env.sidecar_socket().exists(), "its own socket goes with it");
    assert!(sidecar.log().contains("sidecar stopped"), "{}", sidecar.log());
}

#[test]
fn a_primary_that_is_told_to_end_ends_though_hosts_follow_it_and_is_followed_again() {
    let mut env = TestEnv::running(&directory_of_keys(8));
    assert!(env.primary.as_mut().unwrap().stop().success());
    let log = env.primary.as_ref().unwrap().log();
    assert!(log.contains("primary stopped") && !log.contains("that did not end within the shutdown time"), "{log}");
    env.start_primary();
    env.apply(&generated_key_line(77, 1));
    env.wait_until_fresh();
    assert_eq!(env.request_sidecar(lookup_request(&key_blob(77))).json()["id"], 77);
}

fn shell_token_for(secret: &str) -> String {
    issue_token(Issuer::GitlabShell, None, &Secret::from_bytes(secret.as_bytes()).unwrap(), clock::wall_time())
}

fn status_with_secret(env: &TestEnv, secret: &str) -> u16 {
    Request::get("/api/v4/internal/discover?username=person-1")
        .header("Gitlab-Shell-Api-Request", &shell_token_for(secret))
        .send(&env.sidecar_socket())
        .status
}

#[test]
fn a_reload_takes_a_new_secret_and_knows_the_one_before_for_a_while() {
    let mut env = TestEnv::running(&directory_of_keys(8));
    let (old, new) = (env.shared_secret(), "another-shell-secret-of-hex-hex-");
    assert_eq!((status_with_secret(&env, old), status_with_secret(&env, new)), (200, 401));
    env.write("shell_secret", new);
    let reloaded = |daemon: &mut Daemon| {
        daemon.signal(Signal::SIGHUP);
        let lines = daemon.wait_for_notification("RELOADING=1");
        assert!(lines.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{lines:?}");
        daemon.wait_for_notification("READY=1");
    };
    reloaded(env.sidecar.as_mut().unwrap());
    assert_eq!((status_with_secret(&env, old), status_with_secret(&env, new)), (200, 200));
    // A file that cannot be read leaves things as they are, and is said.
    env.write("shell_secret", "");
    reloaded(env.sidecar.as_mut().unwrap());
    assert_eq!(status_with_secret(&env, new), 200);
    env.wait_for("the log to say so", || env.logs().contains("the reload is refused"));
    // The primary takes it as well, without a signal: it looks at the file.
    env.write("shell_secret", new);
    let at_the_primary = || {
        let request = Request::get("/api/v4/internal/check").header("Gitlab-Shell-Api-Request", &shell_token_for(new));
        request.send(&env.primary_socket()).status
    };
    env.wait_for("the primary to see the new secret", || at_the_primary() == 200);
}

/// Starts a sidecar with a listening socket for its descriptor 3, as systemd hands it over.
fn start_with_inherited_socket(env: &TestEnv, listener: &UnixListener) -> Daemon {
    let mut shell = Command::new("/bin/sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --config \"$1\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_sidegate")]).arg(env.path().join("sidegate.toml"));
    shell.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    env.spawn_daemon(shell, "sidegate.toml")
}

#[test]
fn with_a_socket_that_is_handed_over_a_restart_refuses_nobody() {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(8));
    let path = env.path().join("held.sock");
    let listener = UnixListener::bind(&path).unwrap();
    env.sidecar = Some(start_with_inherited_socket(&env, &listener));
    let first = lookup_request(&key_blob(3)).send(&path);
    assert_eq!(first.json()["id"], 3, "{}", env.logs());
    assert!(!env.sidecar_socket().exists(), "the configured path is not used");
    for kill in [false, true] {
        let mut sidecar = env.sidecar.take().unwrap();
        if kill {
            sidecar.kill();
        } else {
            assert!(sidecar.stop().success());
        }
        assert!(path.exists(), "a socket of somebody else's is left where it is");
        // Nobody is there now; whoever comes waits in the queue.
        let mut waiting = UnixStream::connect(&path).unwrap();
        let request = format!(
            "GET /api/v4/internal/authorized_keys?key={} HTTP/1.1\r\nHost: u\r\nConnection: close\r\n\r\n",
            query_encode(&key_blob(3))
        );
        waiting.write_all(request.as_bytes()).unwrap();
        env.sidecar = Some(start_with_inherited_socket(&env, &listener));
        let mut answer = Vec::new();
        waiting.read_to_end(&mut answer).unwrap();
        assert_eq!(Response::parse(&answer).unwrap().json()["id"], 3);
    }
}

#[test]
fn systemd_s_own_activation_starts_it_with_the_first_that_comes() {
    let Some(activate) =
        ["/usr/bin/systemd-socket-activate", "/bin/systemd-socket-activate"].into_iter().find(|path| fs::exists(path).unwrap())
    else {
        return eprintln!("SKIPPED: activation by systemd-socket-activate (it is not installed)");
    };
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(8));
    let path = env.path().join("activated.sock");
    let mut activation = Command::new(activate);
    activation.arg("-l").arg(&path).arg("-E").arg("NOTIFY_SOCKET").arg(env!("CARGO_BIN_EXE_sidegate"));
    activation.args(["serve", "--config"]).arg(env.path().join("sidegate.toml")).stdin(Stdio::null());
    let first = {
        let path = path.clone();
        std::thread::spawn(move || {
            while UnixStream::connect(&path).is_err() {
                std::thread::yield_now();
            }
            lookup_request(&key_blob(3)).send(&path).json()
        })
    };
    env.sidecar = Some(env.spawn_daemon(activation, "sidegate.toml"));
    assert_eq!(first.join().unwrap()["id"], 3, "{}", env.logs());
}

#[test]
fn status_says_how_it_stands_to_a_person_and_to_a_program() {
    let env = TestEnv::running(&directory_of_keys(8));
    let text = run_ok(&env, &["status"]);
    for part in [
        "sidegate ",
        " on ssh-1, up since ",
        "serving: fresh, following, 0 alarms\n",
        "keys: fresh, ",
        "while it fails up to 24 h",
        "primary: ",
        "digest equal",
        " of memory",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let status: Value = serde_json::from_str(&run_ok(&env, &["status", "--json"])).unwrap();
    assert_eq!(status["freshness"]["keys"]["state"], "fresh");
    assert_eq!(status["follower"]["counts"]["key"], 8);
    let output = env.run_sidegate(&["status", "--socket", env.path().join("nobody.sock").to_str().unwrap()]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    for part in ["sidegate: away: ", "nobody.sock", "is the daemon running", "to do: run as root; see `systemctl status sidegate.socket"] {
        assert!(complaint.contains(part), "{part} is not in\n{complaint}");
    }
}

#[test]
fn invalidate_removes_the_kept_answers_about_one_key_user_or_project_and_says_how_many() {
    let env = TestEnv::running(&contract_directory(&json!({})));
    let request = lfs("owner", "team/private").to_json_request();
    let answer = || env.request_sidecar(request.clone()).header("x-sidegate-answer").map(str::to_owned);
    let key = contract_key_blob(102);
    for (words, removed) in [
        (vec!["invalidate", "user", "owner"], 1),
        (vec!["invalidate", "user", "guest"], 0),
        (vec!["invalidate", "project", "team/private"], 1),
        (vec!["invalidate", "project", "team/public"], 0),
        (vec!["invalidate", "key", &key], 1),
        (vec!["invalidate", "key", "103"], 0),
        (vec!["invalidate", "all"], 1),
    ] {
        answer();
        assert_eq!(answer().as_deref(), Some("cached"), "{words:?}");
        let text = run_ok(&env, &words);
        assert!(text.contains(&format!("removed {removed} kept LFS tokens")), "{words:?}: {text}");
        assert_eq!(answer().as_deref(), Some(if removed == 1 { "forwarded" } else { "cached" }), "{words:?}");
    }
    assert_eq!(env.request_sidecar(Request::get("/api/v4/internal/check")).status, 200);
    assert!(run_ok(&env, &["invalidate", "all"]).contains("1 kept versions and 0 kept denials"));
    let output = env.run_sidegate(&["invalidate", "user", "nobody", "--socket", env.sidecar_socket().to_str().unwrap()]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && complaint.contains("404 User Not Found"), "{complaint}");
}

#[test]
fn check_explain_verify_invalidate_and_resync_say_what_they_found() {
    let env = TestEnv::running(&directory_of_keys(8));
    let config = env.path().join("sidegate.toml");
    let output = env.run_sidegate(&["check", "--without-sshd", "--config", config.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in ["sidegate.toml: understood\n", "ok: secrets: readable by ", "primary: answers, and takes our token", "within 86400 s"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let output = env.run_sidegate(&["check", "--primary", env.path().join("primary.toml").to_str().unwrap()]);
    assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("understood"));
    let text = run_ok(&env, &["explain", "--key", &format!("ssh-ed25519 {} me@home", key_blob(5))]);
    assert!(text.starts_with("key 5 (SHA256:") && text.contains("of person-2 is let in"), "{text}");
    for words in [["explain", "--key-id", "5"], ["explain", "--username", "person-2"]] {
        let text = run_ok(&env, &words);
        assert!(text.contains("person-2"), "{text}");
    }
    let verified = run_ok(&env, &["verify"]);
    assert!(verified.starts_with("equal: the ") && verified.contains("add up to what the primary said of its commit"), "{verified}");
    assert!(run_ok(&env, &["invalidate", "all"]).contains("removed 0 kept LFS tokens, 0 kept versions and 0 kept denials"));
    let resyncs = || env.status()["follower"]["counted"]["resyncs"].as_u64().unwrap();
    let before = resyncs();
    assert!(run_ok(&env, &["resync"]).contains("a whole snapshot is being loaded"));
    env.wait_for("the resync", || resyncs() > before);
    let loaded = run_ok(&env, &["resync", "--wait"]);
    assert!(loaded.starts_with("loaded: ") && loaded.contains(" records, as the primary had them at commit "), "{loaded}");
    assert!(run_ok(&env, &["invalidate", "key", "5"]).contains("0 kept denials about key 5; the directory itself follows the primary"));
    assert_eq!(env.request_sidecar(lookup_request(&key_blob(5))).json()["id"], 5);
}

#[test]
fn the_operator_of_the_primary_reads_what_happened() {
    let mut env = TestEnv::new();
    env.start_primary();
    let first = env.apply(&directory_of_keys(8));
    assert!(first.starts_with("11 added, 0 changed, 0 unchanged, 0 removed\n"), "{first}");
    assert!(first.contains("  key: 8 added") && first.contains("the directory is at seq 1"), "{first}");
    let again = env.apply(&directory_of_keys(8));
    assert!(again.starts_with("0 added, 0 changed, 11 unchanged, 0 removed\n") && again.contains("at seq 1"), "{again}");
    let admin = |words: &[&str]| {
        let output = env.run_admin(words);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, exported, _) = admin(&["export"]);
    assert_eq!((code, exported.lines().count()), (Some(0), 11));
    assert!(env.apply(&exported).starts_with("0 added, 0 changed, 11 unchanged"), "an export can be applied");
    assert_eq!(admin(&["export", "--output", "-"]).1, exported);
    assert!(admin(&["hosts"]).1.contains("no host has followed yet"));
    let (code, text, _) = admin(&["revoke-key", "3", "--wait"]);
    assert!(code == Some(0) && text.contains("key 3 (SHA256:"), "nobody follows, so it is in force everywhere: {text}");
    assert_eq!(admin(&["revoke-key", "3", "--wait"]).0, Some(0), "revoked already");
    let (code, _, complaint) = admin(&["revoke-key", "99"]);
    assert_eq!((code, &*complaint), (Some(1), "sidegate: 404 Key Not Found\n"));
    let (code, _, complaint) = admin(&["block-user", "nobody"]);
    assert_eq!((code, &*complaint), (Some(1), "sidegate: 404 User Not Found\n"));
}

#[test]
fn a_nightly_file_is_told_what_stays_revoked_and_how_to_undo_it() {
    let env = TestEnv::running(&directory_of_keys(8));
    let admin = |words: &[&str]| {
        let output = env.run_admin(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(admin(&["revocations"]).contains("nothing is revoked"));
    admin(&["revoke-key", "3"]);
    admin(&["block-user", "person-1"]);
    for words in [&[][..], &["--prune"]] {
        let said = env.apply_with_args(&directory_of_keys(8), words);
        assert!(said.contains(": left out: key 3 (SHA256:") && said.contains(": kept blocked: user person-1 (id 1), blocked 20"), "{said}");
        assert!(said.contains("2 revocations hold against this file; to undo them say --undo-revocations"), "{said}");
        assert!(!admin(&["export"]).contains(&key_blob(3)));
    }
    let listed = admin(&["revocations"]);
    assert!(listed.starts_with("key 3 (SHA256:") && listed.contains(" by uid ") && listed.lines().count() == 2, "{listed}");
    assert_eq!(env.primary_status()["revocations"], json!({"keys": 1, "users": 1}));
    let metrics = env.request_primary(Request::get("/-/metrics")).text();
    assert!(metrics.contains("\nsidegate_revocations 2\n"), "{metrics}");
    let said = env.apply_with_args(&directory_of_keys(8), &["--undo-revocations"]);
    assert!(said.contains(": undone: key 3 (SHA256:") && said.contains(": undone: user person-1"), "{said}");
    assert!(admin(&["export"]).contains(&key_blob(3)) && admin(&["revocations"]).contains("nothing is revoked"));
}

#[test]
fn an_export_to_a_file_is_for_its_owner_only_whole_or_not_there_and_never_through_a_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(8));
    let folder = tempfile::tempdir().unwrap();
    let [file, link] = ["export.jsonl", "link.jsonl"].map(|name| folder.path().join(name));
    fs::write(&file, "what was there before").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    symlink(&file, &link).unwrap();
    let export = |env: &TestEnv, path: &std::path::Path| env.run_admin(&["export", "--output", path.to_str().unwrap()]);
    let refused = export(&env, &link);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && complaint.contains("symlink"), "{complaint}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was there before");
    let output = export(&env, &file);
    assert!(output.status.success() && output.stdout.starts_with(b"exported the directory to "), "{output:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let exported = fs::read_to_string(&file).unwrap();
    assert_eq!(exported, String::from_utf8(env.run_admin(&["export"]).stdout).unwrap());
    env.primary.as_mut().unwrap().kill();
    assert_eq!(export(&env, &file).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).unwrap(), exported, "a failed export leaves what was there");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "and nothing beside it");
}

#[test]
fn a_revocation_names_the_hosts_where_it_is_not_in_force_and_until_when() {
    let mut env = TestEnv::running(&directory_of_keys(8));
    env.wait_for("the host to acknowledge what it has", || env.status()["follower"]["acknowledged"]["seq"] == 1);
    env.sidecar.as_mut().unwrap().kill();
    let output = env.run_admin(&["revoke-key", "3", "--wait=1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("not confirmed by ssh-1: it may accept the key until 20") && text.contains("last seen 20"), "{text}");
    let hosts = String::from_utf8(env.run_admin(&["hosts"]).stdout).unwrap();
    assert!(hosts.starts_with("ssh-1\taway\tseq 1\tbehind 1\t"), "{hosts}");
    let output = env.run_admin(&["forget-host", "ssh-1"]);
    assert!(output.status.success());
    assert!(String::from_utf8(env.run_admin(&["hosts"]).stdout).unwrap().contains("no host has followed yet"));
    env.start_sidecar();
    env.wait_until_fresh();
    assert_eq!(env.request_sidecar(lookup_request(&key_blob(3))).status, 404);
}

/// Reads the text format of OpenMetrics; gives the samples.
fn parse_openmetrics(text: &str) -> Vec<(String, f64)> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let bare = name.split('{').next().unwrap();
        assert!(
            (bare.starts_with("sidegate_") || bare.starts_with("process_"))
                && bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{line}"
        );
        assert!(!name.contains('{') || name.ends_with('}'), "{line}");
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    lines.map(read).collect()
}

#[test]
fn metrics_are_in_the_format_and_count_what_happened() {
    let env = TestEnv::running(&directory_of_keys(8));
    for _ in 0..3 {
        env.request_sidecar(lookup_request(&key_blob(2)));
    }
    env.request_sidecar(lookup_request(&key_blob(1_000)));
    Request::get("/api/v4/internal/check").send(&env.sidecar_socket());
    let accept = ("Accept", "application/openmetrics-text");
    let samples = parse_openmetrics(&Request::get("/-/metrics").header(accept.0, accept.1).send(&env.sidecar_socket()).text());
    let value = |parts: &[&str]| {
        let found: Vec<f64> =
            samples.iter().filter(|(name, _)| parts.iter().all(|part| name.contains(part))).map(|(_, value)| *value).collect();
        assert_eq!(found.len(), 1, "{parts:?} in {samples:?}");
        found[0]
    };
    let near = |value: f64, expected: f64| assert!((value - expected).abs() < 0.5, "{value} is not {expected}");
    near(value(&["sidegate_answers_total", "\"authorized_keys\"", "\"local\"", "\"success\""]), 3.0);
    near(value(&["sidegate_answers_total", "\"authorized_keys\"", "\"local\"", "\"refused\""]), 1.0);
    near(value(&["sidegate_refusals_total", "\"token\"", "\"no token\""]), 1.0);
    near(value(&["sidegate_answer_seconds_count", "\"authorized_keys\""]), 4.0);
    let primary = Request::get("/-/metrics").header(accept.0, accept.1).send(&env.primary_socket());
    assert_eq!(primary.status, 200);
    assert!(primary.text().ends_with("# EOF\n"));
    let classic = Request::get("/-/metrics").send(&env.primary_socket());
    assert_eq!(classic.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!classic.text().contains("# EOF"), "who asks for nothing gets the classic format");
}

#[test]
fn liveness_and_readiness_tell_a_daemon_that_runs_from_one_that_can_answer() {
    let mut env = TestEnv::new();
    env.start_sidecar();
    let probe = |env: &TestEnv, path: &str| Request::get(path).send(&env.sidecar_socket()).status;
    env.wait_for("a question to fail", || env.request_sidecar(lookup_request(&key_blob(1))).status == 424);
    env.wait_for("the probe to fail", || probe(&env, "/-/readiness") == 503);
    assert_eq!(probe(&env, "/-/liveness"), 200);
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.wait_until_fresh();
    assert_eq!((probe(&env, "/-/liveness"), probe(&env, "/-/readiness")), (200, 200));
    env.primary.as_mut().unwrap().kill();
    assert_eq!(probe(&env, "/-/readiness"), 200, "what is held is answered");
}

#[test]
fn nothing_secret_is_logged_at_any_level() {
    let mut env = TestEnv::new();
    for config in ["primary.toml", "sidegate.toml"] {
        env.replace_in_file(config, "level = \"info\"", "level = \"trace\"");
    }
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.start_sidecar();
    env.wait_until_fresh();
    let (token, secret, private) = (env.shell_token(), env.shared_secret(), "glpat-a-private-token");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret);
    let socket = env.sidecar_socket();
    let send = |request: Request| drop(request.send(&socket));
    for request in [
        lookup_request(&key_blob(3)),
        lookup_request(&key_blob(2_000)),
        Request::get("/api/v4/internal/check").header("Gitlab-Shared-Secret", &encoded),
        Request::get(&format!("/api/v4/internal/check?secret_token={secret}")),
        Request::get(&format!("/api/v4/internal/check?secret_token={secret}x")),
        Request::post("/api/v4/internal/post_receive", &json!({"secret_token": secret, "identifier": "key-1"})),
        Request::post_form("/api/v4/internal/nowhere", &format!("secret_token={secret}")),
        Request::get("/api/v4/internal/kubernetes/agent_info").header("Authorization", &format!("Bearer {private}")),
        Request::get("/api/v4/personal_access_tokens/self").header("Private-Token", private),
        Request::get(&format!("/api/v4/personal_access_tokens/self?private_token={private}")),
        Request::get("/api/v4/internal/check").header("Gitlab-Shell-Api-Request", &token),
        Request::get("/api/v4/internal/check").header("Gitlab-Shell-Api-Request", &format!("{token}x")),
        Request::post("/api/v4/internal/lfs_authenticate", &json!({"key_id": 3, "project": "a/b", "secret_token": secret})),
        Request::get(&format!("/api/v4/internal/kubernetes/../{private}")),
    ] {
        send(request);
    }
    env.run_admin(&["revoke-key", "3", "--wait=30"]);
    env.run_helper(&key_blob(4));
    env.primary.as_mut().unwrap().kill();
    send(lookup_request(&key_blob(5)));
    send(lookup_request(&key_blob(3_000)));
    send(Request::post("/api/v4/internal/post_receive", &json!({"secret_token": secret})));
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    let logs = env.logs();
    assert!(logs.contains("the operator revoked key 3") && logs.contains("wrong secret"), "{logs}");
    let sync = fs::read_to_string(env.path().join("sync_secret")).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let mut never = vec![secret, &encoded, &sync, private, signature];
    let blobs: Vec<String> =
        [1, 2, 3, 4, 5, 2_000, 3_000].into_iter().map(|number| key_blob(number).trim_end_matches('=')[40..].to_owned()).collect();
    never.extend(blobs.iter().map(String::as_str));
    for never in never {
        let line = logs.lines().find(|line| line.contains(never));
        assert_eq!(line, None, "{never} is in the log");
    }
}
