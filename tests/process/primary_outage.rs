//! Who may answer what, row by row: while the primary lives, when it is dead, when what is held is stale, when it has expired, and when the
//! primary is back. Then writes: a failed one is told as what it is, and sent once.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{self, contract_key_blob, discover, lfs, pull, push};
use crate::support::env::TestEnv;
use crate::support::fake_primary::{PROBE_MARK, json_response};
use crate::support::http::{Request, Response};

/// What a question gets.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// This status, said from here: `local`, `cached` or `forwarded`.
    Answered(&'static str, u16),
    /// The same, marked as said while the primary cannot be asked.
    Degraded(&'static str, u16),
    /// No answer: 424 with a sentence for a person.
    Outage,
}

/// A question, and what it gets while all is well, and of a dead primary: from fresh data, stale data, and expired data.
struct OutageCase(&'static str, ApiCall, [Expected; 4]);

impl OutageCase {
    fn request(&self, env: &TestEnv) -> Response {
        env.request_sidecar(self.1.to_json_request())
    }
}

const PRIMARY_UP: usize = 0;
const FRESH: usize = 1;
const STALE: usize = 2;
const EXPIRED: usize = 3;

#[rustfmt::skip]
fn outage_cases() -> Vec<OutageCase> {
    use Expected::{Degraded, Outage, Answered};
    let lookup = |key: u64| ApiCall::get("/api/v4/internal/authorized_keys").with("key", contract_key_blob(key));
    let state = |status| [Answered("local", status), Answered("local", status), Degraded("local", status), Outage];
    let miss = |status| [Answered("local", status), Answered("local", status), Outage, Outage];
    let refused = |status| [Answered("forwarded", status), Degraded("local", status), Degraded("local", status), Outage];
    let send_request = |status| [Answered("forwarded", status), Outage, Outage, Outage];
    let change = "1111111111111111111111111111111111111111 2222222222222222222222222222222222222222 refs/heads/x\n";
    vec![
        OutageCase("a known key", lookup(104), state(200)),
        OutageCase("an unknown key", lookup(9999), miss(404)),
        OutageCase("a known person", discover("developer"), state(200)),
        OutageCase("nobody", discover("key:9999"), miss(200)),
        OutageCase("a pull that is allowed", pull("developer", "team/private"), state(200)),
        OutageCase("a push that is allowed", push("developer", "team/private"), state(200)),
        OutageCase("an anonymous pull that is allowed", pull("nobody", "team/public"), state(200)),
        OutageCase("a pull that is refused", pull("guest", "team/private"), refused(401)),
        OutageCase("a push that is refused", push("reporter", "team/private"), refused(401)),
        OutageCase("an account that is refused", pull("blocked", "team/none"), refused(401)),
        OutageCase("an unknown key, a public project", pull("key:9999", "team/public"), refused(200)),
        OutageCase("a former path", pull("developer", "former/place"), refused(200)),
        OutageCase("a hidden project", pull("outsider", "team/private"), send_request(404)),
        OutageCase("a missing project", pull("outsider", "team/none"), send_request(404)),
        OutageCase("a project to be made", push("reporter", "team/none"), send_request(404)),
        OutageCase("real changes", push("developer", "team/private").with("changes", change), send_request(200)),
        OutageCase("a quarantine", push("developer", "team/private").with("env", "{}"), send_request(200)),
        OutageCase("a push without changes", push("developer", "team/private").without("changes"), send_request(200)),
        OutageCase("a field that no rule reads", pull("developer", "team/private").with("krb5principal", "x@Y"), send_request(400)),
        OutageCase("a token for large files", lfs("reporter", "team/none"), send_request(404)),
        OutageCase("an agent", ApiCall::get("/api/v4/internal/kubernetes/agent_info"), send_request(401)),
        OutageCase("error tracking", ApiCall::post("/api/v4/internal/error_tracking/allowed").with("project_id", 1), send_request(401)),
    ]
}

#[test]
fn each_request_is_answered_as_documented_while_the_primary_is_dead_and_after() {
    let mut env = TestEnv::new();
    write_freshness_config(&env, "1m", "1h");
    env.start_primary();
    env.apply(&contract_directory::contract_directory(&serde_json::json!({})));
    env.start_sidecar();
    env.wait_until_fresh();
    let lines = outage_cases();
    let kept = lfs("owner", "team/private").to_json_request();
    let check = Request::get("/api/v4/internal/check");
    assert_all(&env, &lines, PRIMARY_UP);
    assert_eq!(env.request_sidecar(kept.clone()).status, 200);
    assert_eq!(env.request_sidecar(check.clone()).header("x-sidegate-answer"), Some("forwarded"));

    env.primary.as_mut().unwrap().kill();
    assert_all(&env, &lines, FRESH);
    assert_outage_message(&env, "Logins with known keys still work, and so does what it can decide");
    assert_answer("a kept token", &env.request_sidecar(kept.clone()), Expected::Answered("cached", 200));
    assert_answer("the versions", &env.request_sidecar(check.clone()), Expected::Degraded("cached", 200));
    assert_projects_indistinguishable(&env);

    env.wait_for("two seconds of age", || keys_age(&env) > 2.0);
    let before = keys_age(&env);
    restart_with_freshness(&mut env, "1s", "1h");
    assert!(keys_age(&env) >= before, "a restart made it younger: {before} and {}", keys_age(&env));
    assert_eq!(freshness_state(&env, "reads"), "stale");
    assert_all(&env, &lines, STALE);
    assert_outage_message(&env, "Logins with known keys still work, and so does what it can decide");
    assert_answer("a token that was kept in memory", &env.request_sidecar(kept), Expected::Outage);
    let versions = env.request_sidecar(check.clone());
    assert_answer("versions that were kept on disk", &versions, Expected::Degraded("cached", 200));
    assert_eq!(versions.json()["redis"], true, "{}", versions.text());
    assert_projects_indistinguishable(&env);

    restart_with_freshness(&mut env, "1s", "2s");
    assert_eq!(freshness_state(&env, "keys"), "expired");
    let versions = env.request_sidecar(check);
    assert_answer("versions, where reads have expired", &versions, Expected::Degraded("cached", 200));
    assert_eq!(versions.json()["redis"], false, "{}", versions.text());
    assert_all(&env, &lines, EXPIRED);
    assert_outage_message(&env, "neither logins nor reads work on this host");
    assert_projects_indistinguishable(&env);

    env.start_primary();
    env.wait_for("the primary to be asked again", || env.request_sidecar(pull("guest", "team/private").to_json_request()).status == 401);
    restart_with_freshness(&mut env, "1m", "1h");
    env.wait_until_fresh();
    env.wait_for("the primary to be asked again", || env.request_sidecar(pull("guest", "team/private").to_json_request()).status == 401);
    assert_all(&env, &lines, PRIMARY_UP);
}

/// The same in one life: what is held goes from fresh to stale to expired, each class by its own bounds, and never back before the primary
/// is heard again.
#[test]
fn cached_answers_age_by_the_limits_of_their_class() {
    let mut env = TestEnv::with_config(
        "",
        "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"1h\" }\nreads = { ttl = \"1s\", max_stale = \"3s\" }\n\
         push_precheck = { ttl = \"500ms\", max_stale = \"2s\" }\n",
    );
    env.start_primary();
    env.apply(&contract_directory::contract_directory(&serde_json::json!({})));
    env.start_sidecar();
    env.wait_for("the directory to be there", || env.status()["follower"]["whole"] == true && freshness_state(&env, "keys") == "fresh");
    env.primary.as_mut().unwrap().kill();

    let questions = [
        ("keys", discover("developer")),
        ("reads", pull("developer", "team/private")),
        ("push_precheck", push("developer", "team/private")),
    ];
    let seen: RefCell<[Vec<String>; 3]> = RefCell::default();
    env.wait_for("reads to expire", || {
        for ((class, call), seen) in questions.iter().zip(seen.borrow_mut().iter_mut()) {
            let before = freshness_state(&env, class);
            let answer = env.request_sidecar(call.to_json_request());
            if before != freshness_state(&env, class) {
                continue;
            }
            let gets = match before.as_str() {
                "fresh" => Expected::Answered("local", 200),
                "stale" => Expected::Degraded("local", 200),
                _ => Expected::Outage,
            };
            assert_answer(&format!("{class} while {before}"), &answer, gets);
            if seen.last() != Some(&before) {
                seen.push(before);
            }
        }
        freshness_state(&env, "reads") == "expired"
    });
    for (seen, whole) in seen.borrow().iter().zip([&["fresh", "stale"][..], &["fresh", "stale", "expired"], &["fresh", "stale", "expired"]])
    {
        let mut whole = whole.iter();
        assert!(!seen.is_empty() && seen.iter().all(|state| whole.any(|next| next == state)), "{seen:?}");
    }
    assert_answer("logins", &env.request_sidecar(discover("developer").to_json_request()), Expected::Degraded("local", 200));
    assert_answer("pulls", &env.request_sidecar(pull("developer", "team/private").to_json_request()), Expected::Outage);
    assert_outage_message(&env, "Logins with known keys still work, but neither reads nor writes do");

    env.start_primary();
    env.wait_for("pulls to be answered again", || env.request_sidecar(pull("developer", "team/private").to_json_request()).status == 200);
    env.wait_for("reads to be fresh again", || freshness_state(&env, "reads") == "fresh");
}

/// A token for large files lives as long as reads do: after them git-lfs says "unexpected end of JSON input".
#[test]
fn a_kept_token_for_large_files_is_given_beside_reads_while_the_primary_is_dead() {
    let mut env = TestEnv::with_config("", "[freshness]\nreads = { ttl = \"3s\", max_stale = \"9s\" }\n");
    env.start_primary();
    env.apply(&contract_directory::contract_directory(&serde_json::json!({})));
    env.start_sidecar();
    env.wait_for("reads to be fresh", || env.status()["follower"]["whole"] == true && freshness_state(&env, "reads") == "fresh");
    let token = || env.request_sidecar(lfs("owner", "team/private").to_json_request());
    env.wait_for("a token to be kept", || token().header("x-sidegate-answer") == Some("cached"));
    env.primary.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGKILL);
    env.wait_for("reads to be stale", || freshness_state(&env, "reads") == "stale");
    let given = token();
    // Reads may have expired since.
    if freshness_state(&env, "reads") == "stale" {
        assert_answer("a token while reads are stale", &given, Expected::Degraded("cached", 200));
        assert!(given.json()["lfs_token"].is_string(), "{}", given.text());
    }
    env.wait_for("reads to expire", || freshness_state(&env, "reads") == "expired");
    assert_answer("a token after reads", &token(), Expected::Outage);
}

/// In front of a GitLab there is no directory of which more could be said.
#[test]
fn in_front_of_a_gitlab_what_was_asked_lately_works_in_an_outage_and_no_more_is_promised() {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    env.start_primary();
    env.apply(&contract_directory::contract_directory(&serde_json::json!({})));
    env.start_sidecar();
    assert_answer("a login", &env.request_sidecar(discover("developer").to_json_request()), Expected::Answered("forwarded", 200));
    env.primary.as_mut().unwrap().kill();
    assert_answer("the same login", &env.request_sidecar(discover("developer").to_json_request()), Expected::Answered("cached", 200));
    assert_answer("another login", &env.request_sidecar(discover("maintainer").to_json_request()), Expected::Outage);
    assert_outage_message(&env, "Logins and reads that it allowed here lately may still work; please try again later.");
    let login = env.request_sidecar(discover("maintainer").to_json_request()).message();
    let says = "This host has no answer about this key or user that may still be given. Logins and reads that the Git server allowed here lately may";
    assert!(login.contains(says), "{login}");
}

/// A primary that reads what it is sent, and then says this, or nothing.
struct ScriptedPrimary {
    response: &'static str,
    request_count: AtomicUsize,
    stopped: AtomicBool,
}

impl ScriptedPrimary {
    fn serve(&self, listener: &UnixListener, path: &str) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while !is_complete_request(&bytes) {
                match stream.read(&mut buffer) {
                    Ok(length) if length > 0 => bytes.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
            if String::from_utf8_lossy(&bytes).contains(PROBE_MARK) {
                let _ = stream.write_all(&json_response(404, "{\"message\":\"404 Key Not Found\"}"));
            }
            if String::from_utf8_lossy(&bytes).starts_with(&format!("POST {path} ")) {
                self.request_count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(self.response.as_bytes());
            }
        }
    }
}

/// Whether a request has come to its end; those of this test have a length, or no body.
fn is_complete_request(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok()).unwrap_or(0);
    bytes.len() >= end + 4 + length
}

#[test]
fn a_write_whose_fate_is_unknown_says_so_and_is_sent_once() {
    const PATH: &str = "/api/v4/internal/two_factor_recovery_codes";
    let mut env = TestEnv::new();
    env.start_sidecar();
    let write = ApiCall::post(PATH).with("key_id", 1).to_json_request();
    let answer = env.request_sidecar(write.clone());
    assert_answer("a write that surely did nothing", &answer, Expected::Outage);
    assert!(answer.message().contains("did not take effect"), "{}", answer.text());

    for message in
        ["", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"succ"]
    {
        let listener = UnixListener::bind(env.primary_socket()).unwrap();
        let mute = ScriptedPrimary { response: message, request_count: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
        std::thread::scope(|scope| {
            scope.spawn(|| mute.serve(&listener, PATH));
            env.wait_for("the primary to be found again", || env.status()["primary"]["breaker"] == "closed");
            let sent = write.clone().header("Gitlab-Shell-Api-Request", &env.shell_token()).try_send(&env.sidecar_socket());
            mute.stopped.store(true, Ordering::SeqCst);
            drop(std::os::unix::net::UnixStream::connect(env.primary_socket()));
            let answer = sent.unwrap();
            assert_eq!(answer.status, 501, "{}", answer.text());
            assert!(answer.message().contains("unknown"), "{}", answer.text());
            assert_eq!(answer.header("x-sidegate-degraded"), Some("primary-unreachable"));
        });
        assert_eq!(mute.request_count.load(Ordering::SeqCst), 1, "sent once, after {message:?}");
        std::fs::remove_file(env.primary_socket()).unwrap();
    }
}

fn assert_all(env: &TestEnv, lines: &[OutageCase], column: usize) {
    for line in lines {
        assert_answer(line.0, &line.request(env), line.2[column]);
    }
}

fn assert_answer(what: &str, answer: &Response, gets: Expected) {
    let header = |name| answer.header(name);
    let shown = format!("{what}: {gets:?}, not {} {:?} {}", answer.status, answer.headers, answer.text());
    let degraded = matches!(gets, Expected::Degraded(..) | Expected::Outage);
    assert_eq!(header("x-sidegate-degraded"), degraded.then_some("primary-unreachable"), "{shown}");
    match gets {
        Expected::Answered(place, status) | Expected::Degraded(place, status) => {
            assert_eq!((answer.status, header("x-sidegate-answer")), (status, Some(place)), "{shown}");
            assert_eq!(header("x-sidegate-age").is_some_and(|age| age.parse::<u64>().is_ok()), place != "forwarded", "{shown}");
        }
        Expected::Outage => {
            assert_eq!((answer.status, header("x-sidegate-answer")), (424, None), "{shown}");
            assert!(answer.message().starts_with("The Git server's application "), "{shown}");
            assert!(answer.json().get("status").is_none_or(|status| status == &Value::Bool(false)), "{shown}");
        }
    }
}

/// What a person is told still works.
fn assert_outage_message(env: &TestEnv, what: &str) {
    let answer = env.request_sidecar(pull("outsider", "team/none").to_json_request());
    assert!(answer.status == 424 && answer.message().contains(what), "{}", answer.text());
}

/// An outage shows nobody which private projects exist.
fn assert_projects_indistinguishable(env: &TestEnv) {
    let send_request = |project: &str| {
        let answer = env.request_sidecar(pull("outsider", project).to_json_request());
        let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.clone()).filter(|name| name != "date").collect();
        (answer.status, names, answer.text())
    };
    assert_eq!(send_request("team/private"), send_request("team/none"));
}

fn freshness_state(env: &TestEnv, class: &str) -> String {
    env.status()["freshness"][class]["state"].as_str().unwrap().to_owned()
}

fn keys_age(env: &TestEnv) -> f64 {
    env.status()["freshness"]["keys"]["age_seconds"].as_f64().unwrap_or(0.0)
}

/// Writes these bounds for every class into the sidecar's configuration.
fn write_freshness_config(env: &TestEnv, ttl: &str, max_stale: &str) {
    let text = std::fs::read_to_string(env.path().join("sidegate.toml")).unwrap();
    let without = text.split("[freshness]").next().unwrap();
    let bounds = format!("{{ ttl = \"{ttl}\", max_stale = \"{max_stale}\" }}\n");
    env.write("sidegate.toml", &format!("{without}[freshness]\nkeys = {bounds}reads = {bounds}push_precheck = {bounds}"));
}

fn restart_with_freshness(env: &mut TestEnv, ttl: &str, max_stale: &str) {
    write_freshness_config(env, ttl, max_stale);
    assert!(env.sidecar.as_mut().unwrap().stop().success(), "{}", env.logs());
    env.start_sidecar();
    env.wait_for("the store to be found whole", || env.status()["follower"]["whole"] == true);
}
