//! What the daemons log: a request by one id at both of them, decisions without secrets, who did what as an operator, and at which level.

use nix::unistd::{Uid, User};
use serde_json::{Value, json};

use crate::support::contract_directory::{contract_directory, contract_key_blob, pull, push};
use crate::support::env::{Daemon, TestEnv};
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

const DECISIONS: (&str, &str) = ("level = \"info\"\n", "level = \"info\"\ndecisions = true\n");

fn lines(daemon: &Option<Daemon>) -> Vec<Value> {
    let log = daemon.as_ref().unwrap().log();
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn running_with_decisions() -> TestEnv {
    let mut env = TestEnv::new();
    for file in ["primary.toml", "sidegate.toml"] {
        env.replace_in_file(file, DECISIONS.0, DECISIONS.1);
    }
    env.start_primary();
    env.apply(&contract_directory(&json!({})));
    env.start_sidecar();
    env.wait_until_fresh();
    env
}

/// The decisions of a daemon's log that have this request id.
fn decisions(daemon: &Option<Daemon>, id: &str) -> Vec<Value> {
    lines(daemon).into_iter().filter(|line| line["verdict"].is_string() && line["request_id"] == id).collect()
}

#[test]
fn a_request_has_one_id_in_both_logs_and_its_decision_says_who_what_and_why() {
    let env = running_with_decisions();
    let ask = |request: Request| env.request_sidecar(request);
    // A refusal is the primary's to give, so it is in both logs.
    assert_eq!(ask(pull("guest", "team/private").to_json_request().header("X-Request-Id", "req-1")).status, 401);
    env.wait_for("both lines", || decisions(&env.sidecar, "req-1").len() + decisions(&env.primary, "req-1").len() == 2);
    let here = &decisions(&env.sidecar, "req-1")[0];
    assert_eq!((&here["endpoint"], &here["verdict"], &here["source"]), (&json!("allowed"), &json!("no"), &json!("forwarded")));
    assert_eq!((&here["project"], &here["action"], &here["key_id"]), (&json!("team/private"), &json!("git-upload-pack"), &json!(106)));
    assert_eq!(here["reason"], "You are not allowed to download code from this project.");
    let message = here["message"].as_str().unwrap();
    assert!(message.starts_with("git-upload-pack of team/private by key_id 106: no, as the primary just said: You are"), "{message}");

    // Without an id of the caller's, or with one that is no plain word, one is made, and is the same at both.
    assert_eq!(ask(push("guest", "team/private").to_json_request().header("X-Request-Id", "a \"b\"")).status, 401);
    env.wait_for("the second line", || lines(&env.primary).iter().any(|line| line["action"] == "git-receive-pack"));
    let of_push = |daemon| lines(daemon).into_iter().find(|line| line["action"] == "git-receive-pack").unwrap()["request_id"].clone();
    env.wait_for("it here", || lines(&env.sidecar).iter().any(|line| line["action"] == "git-receive-pack"));
    assert_eq!(of_push(&env.sidecar), of_push(&env.primary));
    assert_eq!(of_push(&env.sidecar).as_str().unwrap().len(), 16);

    // What is passed on whole has it too.
    let forwarded = ask(pull("guest", "team/private").with("env", "{}").to_json_request().header("X-Request-Id", "req-2"));
    assert_eq!(forwarded.status, 401);
    env.wait_for("it at the primary", || decisions(&env.primary, "req-2").len() == 1);

    assert_eq!(ask(lookup_request(&contract_key_blob(104)).header("X-Request-Id", "req-3")).status, 200);
    env.wait_for("the login", || decisions(&env.sidecar, "req-3").len() == 1);
    let login = &decisions(&env.sidecar, "req-3")[0];
    assert_eq!((&login["source"], &login["key_id"], &login["verdict"]), (&json!("local"), &json!(104), &json!("yes")));
    assert!(login["fingerprint"].as_str().unwrap().starts_with("SHA256:") && login["age_seconds"].is_u64(), "{login}");
    assert!(decisions(&env.primary, "req-3").is_empty(), "it was answered here");
    let logs = env.logs();
    assert!(!logs.contains(&contract_key_blob(104)) && !logs.contains("gitaly-token") && !logs.contains(env.shared_secret()), "{logs}");
}

#[test]
fn no_decision_is_logged_where_nobody_asked_for_it() {
    let env = TestEnv::running(&contract_directory(&json!({})));
    assert_eq!(env.request_sidecar(pull("guest", "team/private").to_json_request()).status, 401);
    // A line that comes after it shows that there was none before.
    Request::post("/-/admin/verify", &json!({})).send(&env.sidecar_socket());
    env.wait_for("the operator's line", || lines(&env.sidecar).iter().any(|line| line["action"] == "verify"));
    assert!(lines(&env.sidecar).iter().all(|line| line["verdict"].is_null()), "{}", env.logs());
}

#[test]
fn what_an_operator_does_is_logged_with_uid_and_user_name_at_each_daemon() {
    let env = TestEnv::running(&contract_directory(&json!({})));
    let uid = Uid::effective();
    let who = User::from_uid(uid).unwrap().map_or_else(|| format!("uid {uid}"), |user| format!("{} (uid {uid})", user.name));
    let socket = env.sidecar_socket();
    let output = env.run_sidegate(&["invalidate", "key", "104", "--socket", socket.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    env.wait_for("it at the host", || lines(&env.sidecar).iter().any(|line| line["action"] == "invalidate"));
    let line = lines(&env.sidecar).into_iter().find(|line| line["action"] == "invalidate").unwrap();
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("{who} did `invalidate what=key which=104`: removed 0")), "{message}");
    assert_eq!((&line["uid"], &line["status"]), (&json!(uid.as_raw()), &json!(200)));
    assert!(env.run_admin(&["revoke-key", "104"]).status.success());
    assert!(!env.run_admin(&["revoke-key", "99999"]).status.success());
    let did = |word: &str| {
        lines(&env.primary).iter().any(|line| line["message"].as_str().unwrap().starts_with(&format!("{who} {word} `revoke-key")))
    };
    env.wait_for("both at the primary", || did("did") && did("was refused"));
}

#[test]
fn an_operator_who_hangs_up_or_lowers_the_level_is_logged_all_the_same() {
    let mut env = TestEnv::running(&contract_directory(&json!({})));
    let has = |env: &TestEnv, part: &str| lines(&env.primary).iter().any(|line| line["message"].as_str().unwrap().contains(part));
    assert_eq!(Request::post("/-/admin/log-level", &json!({"level": "error"})).send(&env.primary_socket()).status, 200);
    env.wait_for("the change of the level", || has(&env, "did `log-level level=error`"));
    // Nobody confirms this one, so the command waits; then it is killed.
    env.sidecar.as_mut().unwrap().kill();
    let socket = env.primary_socket();
    let words = ["admin", "--socket", socket.to_str().unwrap(), "revoke-key", "104", "--wait=60"];
    let mut waiting = env.spawn_sidegate(&words);
    env.wait_for("the key to be gone", || env.request_primary(lookup_request(&contract_key_blob(104))).status == 404);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    env.wait_for("who revoked it", || has(&env, "asked for `revoke-key id=104") && has(&env, "hung up before the outcome was known"));
}

#[test]
fn the_level_of_the_log_changes_while_the_daemon_runs() {
    let env = TestEnv::running(&contract_directory(&json!({})));
    for socket in [env.sidecar_socket(), env.primary_socket()] {
        let run = |words: &[&str]| {
            let output = env.run_sidegate(&[&["log-level"], words, &["--socket", socket.to_str().unwrap()]].concat());
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(run(&[]), (true, "the log level is info\n".to_owned()));
        let (done, text) = run(&["error"]);
        assert!(done && text.starts_with("the log level is error now, and was info;"), "{text}");
        assert_eq!(run(&[]).1, "the log level is error\n");
        let wrong = Request::post("/-/admin/log-level", &json!({"level": "loud"})).send(&socket);
        assert_eq!(
            (wrong.status, wrong.message()),
            (400, "400 Bad request - `level` is `error`, `warn`, `info`, `debug` or `trace`".to_owned())
        );
    }
    let before = lines(&env.sidecar).len();
    assert_eq!(Request::get("/-/admin/status").header("X-Request-Id", "x").send(&env.sidecar_socket()).status, 200);
    // An unsigned request is refused with a warning, which is not logged now.
    assert_eq!(Request::get("/api/v4/internal/check").send(&env.sidecar_socket()).status, 401);
    let set = Request::post("/-/admin/log-level", &json!({"level": "debug"})).send(&env.sidecar_socket());
    assert_eq!(set.json()["before"], "error");
    assert_eq!(Request::get("/api/v4/internal/check").header("X-Request-Id", "seen").send(&env.sidecar_socket()).status, 401);
    env.wait_for("the warning", || lines(&env.sidecar).iter().any(|line| line["request_id"] == "seen"));
    let warnings = lines(&env.sidecar)[before..].iter().filter(|line| line["level"] == "warn").count();
    assert_eq!(warnings, 1, "{}", env.logs());
}
