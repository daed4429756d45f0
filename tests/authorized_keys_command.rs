//! The program that sshd starts, as a process, against a socket that answers whatever a test wants.

#![expect(clippy::unwrap_used, reason = "a test that cannot start a process or a socket has failed")]

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

const KEY_BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const OTHER_KEY_BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqtj";

fn helper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate-authorized-keys"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn temp_socket() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    (folder, path)
}

fn run_helper(socket: &Path, key: &str) -> Output {
    helper().arg("--socket").arg(socket).args(["git", "git", key]).output().unwrap()
}

/// Answers one connection with these bytes and ends it; gives back the request.
fn serve_once(listener: UnixListener, answer: Vec<u8>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_request_head(&mut stream);
        // The helper may hang up before all of an answer that is too long.
        let _ = stream.write_all(&answer);
        request
    })
}

fn read_request_head(stream: &mut UnixStream) -> String {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut piece).unwrap();
        assert_ne!(length, 0, "the request ended early");
        request.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(request).unwrap()
}

/// Standard output of a run against a socket that answers so; it must have ended well and have complained of nothing.
fn helper_output_for(answer: impl Into<Vec<u8>>) -> String {
    let (_folder, path) = temp_socket();
    let served = serve_once(UnixListener::bind(&path).unwrap(), answer.into());
    let output = run_helper(&path, KEY_BLOB);
    served.join().unwrap();
    expect_clean_output(output)
}

fn expect_clean_output(output: Output) -> String {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output of a run without a verdict: exit code 1, so that sshd says in its own log that its command failed.
fn expect_failed_output(output: Output) -> String {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// As [`helper_output_for`], of a run that must have had no verdict.
fn failed_output_for(answer: impl Into<Vec<u8>>) -> String {
    let (_folder, path) = temp_socket();
    let served = serve_once(UnixListener::bind(&path).unwrap(), answer.into());
    let output = run_helper(&path, KEY_BLOB);
    served.join().unwrap();
    expect_failed_output(output)
}

fn http_response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn hit_response(id: &str, key: &str) -> String {
    http_response("200 OK", &format!(r#"{{"id":{id},"key":"{key}"}}"#))
}

fn assert_outage(output: &str, reason: &str) {
    let expected = format!("# sidegate: the key could not be looked up (outage): {reason}\n");
    assert_eq!(output, expected);
}

#[test]
fn a_hit_prints_the_line_of_gitlab_shell_with_the_key_as_it_was_answered() {
    let (_folder, path) = temp_socket();
    let served =
        serve_once(UnixListener::bind(&path).unwrap(), hit_response("11", &format!("ssh-ed25519 {KEY_BLOB} Zoë  (git.example)")).into());
    let output = helper().arg("--socket").arg(&path).args(["--shell", "/srv/shell", "git", "git", KEY_BLOB]).output().unwrap();
    let line = format!(
        "command=\"/srv/shell key-11\",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty ssh-ed25519 {KEY_BLOB} Zoë  (git.example)\n"
    );
    assert_eq!(expect_clean_output(output), line);
    let request = served.join().unwrap();
    let encoded = KEY_BLOB.replace('+', "%2B").replace('/', "%2F");
    assert!(
        request.starts_with(&format!("GET /api/v4/internal/authorized_keys?key={encoded} HTTP/1.1\r\nHost: sidegate\r\n")),
        "{request}"
    );
    assert!(request.contains("\r\nConnection: close\r\n"), "{request}");
}

#[test]
fn a_hit_in_chunks_or_up_to_the_end_of_the_connection_is_a_hit() {
    let body = format!(r#"{{"id":7,"key":"ssh-ed25519 {KEY_BLOB}"}}"#);
    let chunks = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for answer in [chunks, format!("HTTP/1.1 200 OK\r\n\r\n{body}")] {
        assert!(
            helper_output_for(answer).starts_with("command=\"/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell key-7\",no-port")
        );
    }
}

#[test]
fn a_whole_key_line_is_looked_up_by_its_blob() {
    let (_folder, path) = temp_socket();
    let served = serve_once(UnixListener::bind(&path).unwrap(), hit_response("11", &format!("ssh-ed25519 {KEY_BLOB}")).into());
    assert!(expect_clean_output(run_helper(&path, &format!("ssh-ed25519 {KEY_BLOB} zoe@laptop"))).contains("key-11\""));
    served.join().unwrap();
}

#[test]
fn a_key_that_nobody_has_is_a_miss() {
    assert_eq!(
        helper_output_for(http_response("404 Not Found", r#"{"message":"404 Key Not Found"}"#)),
        format!("# No key was found for {KEY_BLOB}\n")
    );
}

/// Runs the helper with this command for unknown keys, against a socket that answers so once.
fn chained_output_for(answer: impl Into<Vec<u8>>, script: &str) -> Output {
    let (_folder, path) = temp_socket();
    let served = serve_once(UnixListener::bind(&path).unwrap(), answer.into());
    let output = helper()
        .arg("--socket")
        .arg(&path)
        .args(["git", "git", KEY_BLOB, "--chain", "/bin/sh", "-c", script, "sh", "git", KEY_BLOB])
        .output()
        .unwrap();
    served.join().unwrap();
    output
}

const UNKNOWN: &str = r#"{"message":"404 Key Not Found"}"#;

#[test]
fn an_unknown_key_is_asked_of_the_chained_command_with_the_words_that_sshd_put_in() {
    let output = chained_output_for(http_response("404 Not Found", UNKNOWN), "echo \"ssh-ed25519 $2 of-$1\"");
    assert_eq!(expect_clean_output(output), format!("# No key was found for {KEY_BLOB}\nssh-ed25519 {KEY_BLOB} of-git\n"));
}

#[test]
fn neither_a_hit_nor_an_outage_asks_the_chained_command() {
    let script = "echo asked";
    let hit = chained_output_for(hit_response("11", &format!("ssh-ed25519 {KEY_BLOB}")), script);
    let line = expect_clean_output(hit);
    assert!(line.starts_with("command=\"") && line.lines().count() == 1, "{line}");
    for (status, body) in
        [("424 Failed Dependency", UNKNOWN), ("500 X", ""), ("403 Forbidden", UNKNOWN), ("404 Not Found", r#"{"message":"404 Not Found"}"#)]
    {
        let output = expect_failed_output(chained_output_for(http_response(status, body), script));
        assert!(output.starts_with("# sidegate: the key could not be looked up") && !output.contains("asked"), "{status}: {output}");
    }
    let absent =
        helper().args(["--socket", "/nonexistent/api.sock", "git", "git", KEY_BLOB, "--chain", "/bin/sh", "-c", script]).output().unwrap();
    assert_outage(&expect_failed_output(absent), "there is no socket at this path; is sidegate running?");
}

#[test]
fn a_chained_command_that_fails_or_hangs_gives_no_line_and_the_helper_ends_by_its_own_limit() {
    let miss = || http_response("404 Not Found", UNKNOWN);
    let failed = expect_failed_output(chained_output_for(miss(), "echo \"ssh-ed25519 $2\"; exit 3"));
    assert_eq!(failed, "# sidegate: the key could not be looked up (chained command): /bin/sh ended with exit status 3\n");
    let hung = expect_failed_output(chained_output_for(miss(), "echo \"ssh-ed25519 $2\"; tail -f /dev/null & wait"));
    let (before, after) = hung.split_once("/bin/sh did not end within ").unwrap();
    assert_eq!((before, hung.lines().count()), ("# sidegate: the key could not be looked up (chained command): ", 1));
    let limit: u32 = after.strip_suffix(" ms\n").unwrap().parse().unwrap();
    assert!(limit <= 5000, "more than the helper has: {limit} ms");
}

#[test]
fn another_user_s_keys_are_asked_of_the_chained_command_alone() {
    let (_folder, path) = temp_socket();
    let listener = UnixListener::bind(&path).unwrap();
    let output = helper().arg("--socket").arg(&path).args(["git", "zoe", KEY_BLOB, "--chain", "/bin/echo", "zoe"]).output().unwrap();
    assert_eq!(expect_clean_output(output), "zoe\n");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_200_that_is_no_yes_is_an_outage() {
    let key = format!("ssh-ed25519 {KEY_BLOB}");
    let bodies = ["{}", "null", "", "[]", "<html>", r#"{"id":11}"#, &format!(r#"{{"key":"{key}"}}"#)];
    let form = "the answer is not an object with a positive `id` and a `key` of one line";
    for body in bodies {
        assert_outage(&failed_output_for(http_response("200 OK", body)), form);
    }
    for id in ["0", "-1", "1.0", "1e3", "\"11\"", "true", "null", "[11]", "18446744073709551615"] {
        assert_outage(&failed_output_for(hit_response(id, &key)), form);
    }
    for wrong in [format!("{key} a\\nssh-rsa AAAA"), format!("{key} \\u0007"), format!("{key}\\u0000")] {
        assert_outage(&failed_output_for(hit_response("11", &wrong)), form);
    }
    for wrong in [
        "garbage".to_owned(),
        format!("ssh-ed25519 {OTHER_KEY_BLOB}"),
        format!("ssh-rsa {KEY_BLOB}"),
        format!("pty ssh-ed25519 {KEY_BLOB}"),
    ] {
        assert_outage(&failed_output_for(hit_response("11", &wrong)), "the answer speaks of another key");
    }
}

#[test]
fn an_answer_that_is_not_whole_or_too_long_or_not_http_is_an_outage() {
    let whole = hit_response("11", &format!("ssh-ed25519 {KEY_BLOB}"));
    assert_outage(&failed_output_for(&whole[..whole.len() - 1]), "the answer was cut short");
    assert_outage(&failed_output_for(&whole[..40]), "the answer was cut short");
    assert_outage(&failed_output_for(http_response("200 OK", &" ".repeat(70_000))), "the answer is too long");
    assert_outage(&failed_output_for(format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(200_000))), "the answer is too long");
    assert_outage(&failed_output_for(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(200_000))), "the answer is too long");
    assert_outage(&failed_output_for("SSH-2.0-OpenSSH_9.2\r\n"), "the answer is not HTTP as we read it");
}

#[test]
fn a_connection_that_ends_without_an_answer_is_made_once_more() {
    let (_folder, path) = temp_socket();
    let listener = UnixListener::bind(&path).unwrap();
    let second = listener.try_clone().unwrap();
    let cut_off = serve_once(listener, Vec::new());
    let served = std::thread::spawn(move || {
        cut_off.join().unwrap();
        serve_once(second, hit_response("11", &format!("ssh-ed25519 {KEY_BLOB}")).into()).join().unwrap()
    });
    assert!(expect_clean_output(run_helper(&path, KEY_BLOB)).contains(" key-11\","));
    served.join().unwrap();
}

#[test]
fn every_other_status_is_an_outage_with_its_message_on_the_same_line() {
    assert_outage(
        &failed_output_for(http_response("424 Failed Dependency", r#"{"message":"no contact\nsince 10:00"}"#)),
        "sidegate answered 424: no contactsince 10:00",
    );
    for status in ["500", "503", "502", "429", "401", "400", "404", "204", "301", "300", "201"] {
        assert_outage(
            &failed_output_for(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")),
            &format!("sidegate answered {status}"),
        );
    }
    assert_outage(
        &failed_output_for(http_response("404 Not Found", r#"{"message":"404 Not Found"}"#)),
        "sidegate answered 404: 404 Not Found",
    );
}

#[test]
fn a_403_says_that_this_user_may_not_ask() {
    let line = failed_output_for(http_response("403 Forbidden", r#"{"message":"x"}"#));
    assert_eq!(
        line,
        "# sidegate: the key could not be looked up (not permitted): sidegate does not let this user ask; see default_scopes and [[peer]] in its configuration\n"
    );
}

#[test]
fn no_daemon_is_an_outage() {
    let (_folder, path) = temp_socket();
    assert_outage(&expect_failed_output(run_helper(&path, KEY_BLOB)), "there is no socket at this path; is sidegate running?");
    drop(UnixListener::bind(&path).unwrap());
    assert_outage(&expect_failed_output(run_helper(&path, KEY_BLOB)), "nobody listens on the socket; is sidegate running?");
}

#[test]
fn a_socket_that_this_user_may_not_open_is_said_to_be_so() {
    let (_folder, path) = temp_socket();
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    if UnixStream::connect(&path).is_ok() {
        return; // Root may open everything.
    }
    assert!(expect_failed_output(run_helper(&path, KEY_BLOB)).contains("(not permitted): this user may not open the socket"));
}

#[test]
fn another_user_s_login_asks_nothing_and_says_nothing() {
    let (_folder, path) = temp_socket();
    let listener = UnixListener::bind(&path).unwrap();
    let output = helper().arg("--socket").arg(&path).args(["git", "root", KEY_BLOB]).output().unwrap();
    assert_eq!(expect_clean_output(output), "");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn wrong_arguments_are_reported_on_standard_error_and_fail() {
    let usage = "# Insufficient arguments. 2. Usage\n#\tsidegate-authorized-keys <expected-username> <actual-username> <key>\n";
    for (words, text) in [
        (&["git", "git"][..], usage),
        (&["git", "", KEY_BLOB], "# No username provided\n"),
        (&["git", "git", ""], "# No key provided\n"),
        (&["--socket"], "# --socket needs a path\n"),
        (&["git", "git", KEY_BLOB, "--chain", "keys"], "# --chain needs the full path of a program\n"),
    ] {
        let output = helper().args(words).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{words:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), text);
    }
}

#[test]
fn the_version_is_one_line() {
    for word in ["-version", "--version"] {
        assert_eq!(
            expect_clean_output(helper().arg(word).output().unwrap()),
            format!("sidegate-authorized-keys {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn a_closed_output_is_no_error() {
    let (_folder, path) = temp_socket();
    let served = serve_once(UnixListener::bind(&path).unwrap(), hit_response("11", &format!("ssh-ed25519 {KEY_BLOB}")).into());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = helper();
    let child = command.arg("--socket").arg(&path).args(["git", "git", KEY_BLOB]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(expect_clean_output(child.wait_with_output().unwrap()), "");
    served.join().unwrap();
}
