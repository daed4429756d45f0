//! What `sidegate status` says in each state that an operator meets: a real host is brought into it, and the first line, the sentences and the
//! exit code must be true of it. `SIDEGATE_STATUS_SCREENS=FILE` keeps every screen.

mod following;
mod gitlab;
mod hosts;
mod json;
mod outages;
mod watch;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{contract_directory, contract_key_blob};
use crate::support::env::TestEnv;
use crate::support::http::Response;
use crate::support::link::{Link, start_linked};

/// Bounds with which what is held becomes stale within a second, and expires in an hour.
const SOON_STALE: &str = "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"1h\" }\nreads = { ttl = \"1s\", max_stale = \"1h\" }\n\
                          push_precheck = { ttl = \"1s\", max_stale = \"1h\" }\n";
/// Bounds with which it expires after two seconds.
const SOON_EXPIRED: &str = "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"2s\" }\nreads = { ttl = \"1s\", max_stale = \"2s\" }\n\
                            push_precheck = { ttl = \"1s\", max_stale = \"2s\" }\n";
/// Bounds with which nothing becomes stale while a test runs.
const LONG_FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                          push_precheck = { ttl = \"1h\", max_stale = \"2h\" }\n";

/// A screen, as it was printed.
struct Printed {
    text: String,
    code: Option<i32>,
}

impl Printed {
    /// Runs `sidegate` on a socket.
    fn of(env: &TestEnv, words: &[&str], socket: &Path, state: &str) -> Self {
        Self::run(env, &[words, &["--socket", socket.to_str().unwrap()]].concat(), state)
    }

    /// Runs `sidegate admin` on the primary's socket.
    fn of_admin(env: &TestEnv, words: &[&str], socket: &Path, state: &str) -> Self {
        Self::run(env, &[&["admin", "--socket", socket.to_str().unwrap()], words].concat(), state)
    }

    fn run(env: &TestEnv, words: &[&str], state: &str) -> Self {
        let output = env.run_sidegate(words);
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        let printed = Self { text, code: output.status.code() };
        printed.keep(state);
        assert!(printed.text.lines().count() <= 40, "{state}: {}", printed.text);
        assert!(!printed.text.contains('\x1b'), "no colours where nobody watches: {}", printed.text);
        printed
    }

    /// Appends the screen to the file that was asked for.
    fn keep(&self, state: &str) {
        let Some(path) = std::env::var_os("SIDEGATE_STATUS_SCREENS") else { return };
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        let code = self.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        file.write_all(format!("## {state} (exit status {code})\n\n{}\n", self.text).as_bytes()).unwrap();
    }

    fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Fails unless the first line begins and ends so, the text has these parts, and the exit code is this.
    fn assert(&self, begin: &str, end: &str, parts: &[&str], code: i32) {
        let first = self.first_line();
        assert!(first.starts_with(begin) && first.ends_with(end), "{begin} … {end}\n{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part} is not in\n{}", self.text);
        }
        assert_eq!(self.code, Some(code), "{}", self.text);
    }
}

/// Prints the status of the sidecar, which is in this state, and looks whether `check` says as much of it.
fn status(env: &TestEnv, state: &str) -> Printed {
    let printed = Printed::of(env, &["status"], &env.sidecar_socket(), state);
    let config = env.path().join("sidegate.toml");
    let words = ["check", "--without-sshd", "--config", config.to_str().unwrap()];
    let checked = Printed::run(env, &words, &format!("check: {state}"));
    let is_well = |code: Option<i32>| code == Some(0);
    assert!(is_well(printed.code) || !is_well(checked.code), "{state}: status says\n{}\nand check says\n{}", printed.text, checked.text);
    printed
}

/// A primary, a host that has caught up with it, and the link between them.
fn linked(freshness: &str) -> (TestEnv, Link) {
    start_linked(TestEnv::with_config("", freshness), &contract_directory(&json!({})))
}

/// Waits until a part of the host's status is so.
fn wait_for_status(env: &TestEnv, what: &str, so: impl Fn(&Value) -> bool) {
    env.wait_for(what, || so(&env.status()));
}

fn look_up(env: &TestEnv, key: u64) -> Response {
    let call = ApiCall::get("/api/v4/internal/authorized_keys").with("key", contract_key_blob(key));
    env.request_sidecar(call.to_json_request())
}

fn verdict_of_keys(status: &Value) -> &str {
    status["freshness"]["keys"]["verdict"].as_str().unwrap()
}
