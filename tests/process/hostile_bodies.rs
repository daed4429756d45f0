//! Hostile bodies at every path that takes one, at the primary's own socket and through a sidecar: each is a 4xx with a message, nothing is
//! changed by it, nothing panics, and memory does not grow.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use crate::support::TIMEOUT;
use crate::support::contract_directory::{self, ADMIN_TOKEN, AGENT_TOKENS, ERROR_TRACKING_TOKEN, KAS_SECRET};
use crate::support::env::{Daemon, TestEnv};
use crate::support::http::{Request, Response};
use crate::support::scaled;

const DECODED_LIMIT: usize = 64 << 10;
const PUSHED_LIMIT: usize = 128 << 10;
const PASSED_LIMIT: usize = 192 << 10;
/// What a daemon may grow by over all hostile requests after the first few hundred, in KiB.
const MAX_GROWTH_KIB: u64 = 4 << 10;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Shell,
    Sync,
    Kas,
    Operator,
    /// Who sells.
    SubscriptionAdmin,
    ErrorTracking,
}

/// A path that takes a body, and a good one.
struct Endpoint {
    method: &'static str,
    /// As in the table of routes, but for numbers.
    path: &'static str,
    caller: Caller,
    /// The bound of its body; `None`: only that of a whole directory.
    body_limit: Option<usize>,
    valid_body: Value,
}

#[rustfmt::skip]
fn endpoints() -> Vec<Endpoint> {
    use Caller::{ErrorTracking, Kas, Operator, SubscriptionAdmin, Shell, Sync};
    let shell = |path, good| Endpoint { method: "POST", path, caller: Shell, body_limit: Some(DECODED_LIMIT), valid_body: good };
    let pushed = |path, good| Endpoint { method: "POST", path, caller: Shell, body_limit: Some(PUSHED_LIMIT), valid_body: good };
    let by = |by, method, path, good| Endpoint { method, path, caller: by, body_limit: Some(DECODED_LIMIT), valid_body: good };
    let subscription = json!({"start_date": "2026-01-01", "end_date": "2027-01-01", "plan": "p", "plan_code": "p", "seats": 1, "max_seats_used": 1,
        "auto_renew": true, "trial": true, "trial_starts_on": "2026-01-01", "trial_ends_on": "2026-02-01", "trial_extension_type": 1});
    let packs = json!({"packs": [{"number_of_minutes": 10, "expires_at": "2099-01-01", "purchase_xid": "x"}]});
    let reconciliation = json!({"next_reconciliation_date": "2099-01-01", "display_alert_from": "2099-01-01"});
    let mut row = reconciliation.clone();
    row["namespace_id"] = json!(1);
    let otp = json!({"key_id": 104, "otp_attempt": "123456"});
    let digest = "0".repeat(64);
    vec![
        pushed("internal/allowed", json!({"key_id": 104, "project": "team/private", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any", "check_ip": "10.0.0.1", "env": "{}"})),
        pushed("internal/post_receive", json!({"gl_repository": "project-10", "identifier": "user-4", "changes": "x", "push_options": ["a"]})),
        shell("internal/pre_receive", json!({"gl_repository": "project-10"})),
        shell("internal/lfs_authenticate", json!({"key_id": 104, "project": "team/private", "operation": "upload"})),
        shell("internal/sidegate/lfs_verify", json!({"username": "developer", "token": "x", "project": "team/private"})),
        shell("internal/two_factor_recovery_codes", json!({"key_id": 104, "user_id": 4})),
        shell("internal/two_factor_config", json!({"key_id": 104, "user_id": 4})),
        shell("internal/two_factor_manual_otp_check", otp.clone()),
        shell("internal/two_factor_push_otp_check", otp),
        shell("internal/personal_access_token", json!({"key_id": 104, "name": "n", "scopes": ["read_user"], "expires_at": "2099-01-01"})),
        shell("internal/shellhorse/git_audit_event", json!({"action": "git-upload-pack", "gl_repository": "project-10", "protocol": "ssh", "packfile_stats": {"wants": 1}})),
        by(SubscriptionAdmin, "POST", "namespaces/1/gitlab_subscription", subscription.clone()),
        by(SubscriptionAdmin, "PUT", "namespaces/1/gitlab_subscription", subscription.clone()),
        by(SubscriptionAdmin, "POST", "namespaces/1/minutes", packs.clone()),
        by(SubscriptionAdmin, "PATCH", "namespaces/1/minutes/move/7", json!({})),
        by(SubscriptionAdmin, "PUT", "internal/upcoming_reconciliations", json!({"upcoming_reconciliations": [row]})),
        by(SubscriptionAdmin, "POST", "internal/gitlab_subscriptions/namespaces/1/gitlab_subscription", subscription.clone()),
        by(SubscriptionAdmin, "PUT", "internal/gitlab_subscriptions/namespaces/1/gitlab_subscription", subscription),
        by(SubscriptionAdmin, "POST", "internal/gitlab_subscriptions/namespaces/1/minutes", packs),
        by(SubscriptionAdmin, "PATCH", "internal/gitlab_subscriptions/namespaces/1/minutes/move/7", json!({})),
        by(SubscriptionAdmin, "PUT", "internal/gitlab_subscriptions/namespaces/1/upcoming_reconciliations", reconciliation),
        by(ErrorTracking, "POST", "internal/error_tracking/allowed", json!({"project_id": 10, "public_key": "active"})),
        by(Kas, "POST", "internal/kubernetes/usage_metrics", json!({"counters": {"gitops_sync": 1}, "unique_counters": {"agent_users_using_ci_tunnel": [4]}})),
        by(Kas, "POST", "internal/kubernetes/agent_configuration", json!({"agent_id": 1, "agent_config": {"ci_access": {"projects": [{"id": "team/public"}], "groups": [{"id": "team"}]}}})),
        by(Kas, "PUT", "internal/kubernetes/modules/starboard_vulnerability", json!({
            "vulnerability": {"name": "n", "severity": "high", "confidence": "unknown", "identifiers": [{"type": "cve", "name": "c", "value": "c"}],
                "location": {"kubernetes_resource": {"namespace": "n", "kind": "k", "name": "x", "container": "c"}}},
            "scanner": {"id": "s", "name": "S", "vendor": "V"}})),
        by(Kas, "POST", "internal/kubernetes/modules/starboard_vulnerability/scan_result", json!({"uuids": ["102e8a0a-fe29-59bd-b46c-57c3e9bc6411"]})),
        by(Sync, "POST", "internal/sidegate/ack", json!({"instance": "i", "epoch": "0".repeat(32), "seq": 1, "digest": digest, "max_stale": 60})),
        by(Sync, "POST", "internal/sidegate/usage", json!({"keys": {"104": "2026-01-01"}, "users": {"4": "2026-01-01"}})),
        Endpoint { method: "POST", path: "-/admin/apply", caller: Operator, body_limit: None, valid_body: json!({"kind": "user", "id": 9001, "username": "u", "name": "U"}) },
        by(Operator, "POST", "-/admin/revoke-key", json!({"id": 99_999, "wait": 0})),
        by(Operator, "POST", "-/admin/block-user", json!({"username": "nobody-at-all", "wait": 0})),
        by(Operator, "POST", "-/admin/unblock-user", json!({"username": "nobody-at-all", "wait": 0})),
        by(Operator, "POST", "-/admin/log-level", json!({"level": "info"})),
        by(Operator, "POST", "-/admin/forget-host", json!({"host": "no-such-host"})),
        by(Operator, "POST", "-/admin/accept-loss", json!({})),
        by(Operator, "POST", "-/admin/new-epoch", json!({})),
    ]
}

impl Endpoint {
    fn target(&self) -> String {
        if self.path.starts_with("-/") { format!("/{}", self.path) } else { format!("/api/v4/{}", self.path) }
    }

    /// Whether a sidecar sends it on.
    fn is_forwarded(&self) -> bool {
        self.caller != Caller::Operator && !self.path.contains("/sidegate/")
    }

    /// Whether the caller is known before the body is read.
    fn credentials(&self, env: &TestEnv) -> String {
        let kas = || issue_token(Issuer::Kas, None, &Secret::from_bytes(&KAS_SECRET).unwrap(), clock::wall_time());
        match self.caller {
            Caller::Shell => format!("Gitlab-Shell-Api-Request: {}\r\n", env.shell_token()),
            Caller::Sync => format!("Sidegate-Sync-Request: {}\r\n", env.sync_token("ssh-1")),
            Caller::Kas => format!("Gitlab-Kas-Api-Request: {}\r\nAuthorization: Bearer {}\r\n", kas(), AGENT_TOKENS[0]),
            Caller::Operator => String::new(),
            Caller::SubscriptionAdmin => format!("PRIVATE-TOKEN: {ADMIN_TOKEN}\r\n"),
            Caller::ErrorTracking => format!("Gitlab-Error-Tracking-Token: {ERROR_TRACKING_TOKEN}\r\n"),
        }
    }

    /// The head of a request up to its framing.
    fn head(&self, env: &TestEnv, query: &str, content_type: &str) -> String {
        let (method, target, credentials) = (self.method, self.target(), self.credentials(env));
        format!("{method} {target}{query} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n{credentials}Content-Type: {content_type}\r\n")
    }

    /// With a body of a known length.
    fn request_with_length(&self, env: &TestEnv, query: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let head = self.head(env, query, content_type);
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    }

    /// The same in chunks.
    fn chunked_request(&self, env: &TestEnv, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{}Transfer-Encoding: chunked\r\n\r\n", self.head(env, "", JSON)).into_bytes();
        for chunk in body.chunks(10_000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    /// The good body, with blanks behind it up to so many bytes.
    fn padded_body(&self, bytes: usize) -> Vec<u8> {
        let mut body = self.valid_body.to_string().into_bytes();
        body.resize(bytes, b' ');
        body
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Sends these very bytes and, if they are all that comes, ends there; gives the answer, if one came.
fn send_bytes(socket: &Path, bytes: &[u8], ends: bool) -> Option<Response> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    // A refusal may come, and the connection be closed, before a large body is written to its end.
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Response::parse(&answer).ok()
}

/// A 4xx with a message in JSON.
fn assert_refused(what: &str, answer: &Response) {
    let message = serde_json::from_slice::<Value>(&answer.body).map(|body| body["message"].clone()).unwrap_or_default();
    assert!((400..500).contains(&answer.status) && !message.is_null() && message != "", "{what}: {} {}", answer.status, answer.text());
}

/// An environment whose bounds are small.
fn env_with_small_limits(sidecar: bool) -> TestEnv {
    let limits = format!("[limits]\ndecoded_body_bytes = \"{DECODED_LIMIT}B\"\npushed_body_bytes = \"{PUSHED_LIMIT}B\"\n");
    let mut env = contract_directory::primary_with_all_credentials(
        &limits,
        &contract_directory::contract_directory(&json!({"two_factor_for_cli": true})),
    );
    if sidecar {
        env.replace_in_file("sidegate.toml", "[log]", &format!("{limits}passed_body_bytes = \"{PASSED_LIMIT}B\"\n[log]"));
        env.start_sidecar();
        env.wait_until_fresh();
    }
    env
}

/// Both doors, and what is sent through each.
fn listeners(env: &TestEnv) -> [(&'static str, PathBuf, Vec<Endpoint>); 2] {
    let through = endpoints().into_iter().filter(Endpoint::is_forwarded).collect();
    [("primary", env.primary_socket(), endpoints()), ("sidecar", env.sidecar_socket(), through)]
}

#[test]
fn every_path_that_takes_a_body_is_tried() {
    let routes = include_str!("../../src/primary/routes.rs");
    let known: BTreeSet<(String, String)> = routes
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (method, path) = (words.next()?, words.next()?);
            let path = path.strip_prefix('"')?.strip_suffix('"')?;
            ["POST", "PUT", "PATCH"].contains(&method).then(|| (method.to_owned(), path.replace(":id", "1").replace(":target_id", "7")))
        })
        .map(|(method, path)| (method, path.replace(":target_1", "7")))
        .collect();
    let tried = endpoints().iter().map(|endpoint| (endpoint.method.to_owned(), endpoint.path.to_owned())).collect();
    assert_eq!(known, tried);
}

#[test]
fn a_body_at_its_bound_is_taken_and_one_byte_more_is_413_with_the_bound() {
    let env = env_with_small_limits(true);
    for (door, socket, endpoints) in listeners(&env) {
        for endpoint in endpoints {
            // What a sidecar does not read it passes on as it is, up to a bound of its own.
            let Some(bound) = endpoint.body_limit else { continue };
            let what = format!("{door}: {} {}", endpoint.method, endpoint.path);
            for in_chunks in [false, true] {
                let send = |bytes: usize| {
                    let body = endpoint.padded_body(bytes);
                    let request =
                        if in_chunks { endpoint.chunked_request(&env, &body) } else { endpoint.request_with_length(&env, "", JSON, &body) };
                    send_bytes(&socket, &request, false).unwrap_or_else(|| panic!("{what}: no answer"))
                };
                let at = send(bound);
                assert!(at.status != 413 && at.status < 500, "{what}: {} {}", at.status, at.text());
                let over = send(bound + 1);
                assert_eq!(over.status, 413, "{what}: {}", over.text());
                assert!(over.message().contains(&bound.to_string()), "{what}: {}", over.text());
                assert_eq!(send(PASSED_LIMIT + 1).status, 413, "{what}: also past what a sidecar passes on");
            }
        }
    }
    let apply = endpoints().into_iter().find(|endpoint| endpoint.body_limit.is_none()).unwrap();
    let head = format!("{}Content-Length: {}\r\n\r\n", apply.head(&env, "", JSON), (16_u64 << 30) + 1);
    assert_eq!(
        send_bytes(&env.primary_socket(), head.as_bytes(), false).unwrap().status,
        413,
        "a directory file is refused by its length alone"
    );
    assert_primary_healthy(&env);
    assert!(!env.logs().contains("panicked"), "{}", env.logs());
}

/// Who asks badly must not keep others from being answered.
fn assert_primary_healthy(env: &TestEnv) {
    assert_eq!(env.status()["primary"]["breaker"], "closed", "{}", env.logs());
    assert!(!env.logs().contains("primary stopped answering"), "{}", env.logs());
}

/// Bodies that are no JSON, or no object, or more than is read; each with its type.
fn malformed_bodies() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let text = |what, body: &str| (what, JSON, body.as_bytes().to_vec());
    let deep = |open: &str, close: &str, depth: usize| format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth)).into_bytes();
    let many: Vec<String> = (0..1_001).map(|number| format!("\"n{number}\":1")).collect();
    let pairs: Vec<String> = (0..1_001).map(|number| format!("n{number}=1")).collect();
    vec![
        text("an open brace", "{"),
        text("an open value", "{\"key_id\":"),
        text("half a word", "{\"key_id\":tru"),
        text("half a string", "{\"key_id\":\"x"),
        text("half an escape", "{\"key_id\":\"\\u00"),
        text("a lone surrogate", "{\"key_id\":\"\\ud800\"}"),
        text("a number beyond all", "{\"key_id\":1e999}"),
        text("two objects", "{}{}"),
        text("a name twice", "{\"key_id\":1,\"key_id\":2}"),
        text("a comma too many", "{\"key_id\":1,}"),
        text("a comment", "{/* */}"),
        text("a list", "[]"),
        text("a number", "1"),
        text("text", "\"x\""),
        text("null", "null"),
        text("a byte order mark", "\u{feff}{}"),
        ("bytes that are no text", JSON, b"{\"key_id\":\"\xff\xfe\"}".to_vec()),
        ("a zero byte", JSON, b"\0{}".to_vec()),
        ("compressed", JSON, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        ("objects 100 deep", JSON, deep("{\"a\":", "}", 100)),
        ("lists 100 deep", JSON, deep("[", "]", 100)),
        ("lists 30000 deep", JSON, deep("[", "]", 30_000)),
        ("lists 60000 deep, never closed", JSON, vec![b'['; 60_000]),
        ("1001 names", JSON, format!("{{{}}}", many.join(",")).into_bytes()),
        ("brackets 100 deep", FORM, format!("a{}=1", "[a]".repeat(100)).into_bytes()),
        ("lists of lists 100 deep", FORM, format!("a{}=1", "[]".repeat(100)).into_bytes()),
        ("brackets that never close", FORM, format!("a{}=1", "[".repeat(20_000)).into_bytes()),
        ("1001 pairs", FORM, pairs.join("&").into_bytes()),
        ("half an escape in a form", FORM, b"key_id=%1".to_vec()),
        ("a name twice in a form", FORM, b"key_id=1&key_id=2".to_vec()),
        ("two shapes", FORM, b"key_id=1&key_id[a]=2".to_vec()),
        ("bytes that are no text in a form", FORM, b"key_id=\xff".to_vec()),
        ("parts", "multipart/form-data; boundary=x", b"--x\r\n\r\n--x--".to_vec()),
        ("another type", "text/plain", b"{}".to_vec()),
    ]
}

/// Those that a path cannot take: what reads no form reads all as JSON, whatever it is called.
fn malformed_bodies_for(endpoint: &Endpoint) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let reads_forms = endpoint.caller != Caller::Sync && endpoint.body_limit.is_some();
    malformed_bodies().into_iter().filter(|(_, content_type, _)| reads_forms || *content_type == JSON).collect()
}

/// What stands at the primary: the directory, and what is kept beside it.
fn stored_state(env: &TestEnv) -> (Value, Value) {
    let status = env.primary_status();
    (status["head"].clone(), status["kept"].clone())
}

#[test]
fn what_cannot_be_read_or_is_nested_too_deep_is_400_with_a_message_everywhere() {
    let env = env_with_small_limits(true);
    let before = stored_state(&env);
    for (door, socket, endpoints) in listeners(&env) {
        for endpoint in endpoints {
            for (what, content_type, body) in malformed_bodies_for(&endpoint) {
                let answer = send_bytes(&socket, &endpoint.request_with_length(&env, "", content_type, &body), false);
                let message = format!("{door}: {} {}: {what}", endpoint.method, endpoint.path);
                assert_refused(&message, &answer.unwrap_or_else(|| panic!("{message}: no answer")));
            }
            for query in [
                format!("?a{}=1", "%5Ba%5D".repeat(100)),
                format!("?a{}=1", "[]".repeat(100)),
                "?a[b=1".to_owned(),
                "?%ff=1".to_owned(),
                format!("?{}", "a[]=1&".repeat(1_001)),
            ] {
                let answer = send_bytes(&socket, &endpoint.request_with_length(&env, &query, JSON, b"{}"), false);
                let message = format!("{door}: {} {}{query:.40}", endpoint.method, endpoint.path);
                assert_refused(&message, &answer.unwrap_or_else(|| panic!("{message}: no answer")));
            }
        }
    }
    assert_eq!(stored_state(&env), before, "nothing was written by any of these");
    assert!(!env.logs().contains("panicked"), "{}", env.logs());
}

/// The places of all values within a good body, as JSON pointers.
fn json_pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect(),
        _ => return,
    };
    for (name, child) in children {
        let place = format!("{at}/{name}");
        json_pointers(child, &place, found);
        found.push(place);
    }
}

/// What is taken though it has another shape: nobody reads it.
const IGNORED_FIELDS: [(&str, &str); 0] = [];

#[test]
fn a_parameter_of_the_wrong_type_is_refused_with_a_message_and_never_a_fault() {
    let env = env_with_small_limits(false);
    let nested = [json!([[1]]), json!({"a": {"b": 1}}), json!([{"a": []}])];
    let odd = [
        json!(true),
        json!(1.5),
        json!(-1),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("é".repeat(20_000)),
        json!(null),
        json!([]),
        json!({}),
        json!([null]),
        json!("x"),
    ];
    let mut taken = Vec::new();
    for endpoint in endpoints() {
        let mut all = Vec::new();
        json_pointers(&endpoint.valid_body, "", &mut all);
        for place in all {
            let shape = endpoint.valid_body.pointer(&place).unwrap();
            for value in nested.iter().chain(&odd) {
                let mut body = endpoint.valid_body.clone();
                *body.pointer_mut(&place).unwrap() = value.clone();
                let answer =
                    send_bytes(&env.primary_socket(), &endpoint.request_with_length(&env, "", JSON, body.to_string().as_bytes()), false);
                let what = format!("{} {}: {place} = {:.30}", endpoint.method, endpoint.path, value.to_string());
                let answer = answer.unwrap_or_else(|| panic!("{what}: no answer"));
                if answer.status >= 400 {
                    assert_refused(&what, &answer);
                    continue;
                }
                let message = if answer.status == 204 { Value::Null } else { answer.json() };
                let refused = message["success"] == false || message["status"] == false;
                assert!(!refused || message["message"].is_string(), "{what}: {message}");
                if !refused && nested.contains(value) && !(shape.is_object() || shape.is_array()) {
                    taken.push((format!("{} {}", endpoint.method, endpoint.path), place.clone()));
                }
            }
        }
    }
    taken.dedup();
    let taken: Vec<(&str, &str)> = taken.iter().map(|(path, place)| (path.as_str(), place.as_str())).collect();
    assert_eq!(taken, IGNORED_FIELDS);
    assert!(!env.logs().contains("panicked"), "{}", env.logs());
}

/// Requests whose body never comes to its end, each up to where it stops.
fn truncated_requests(env: &TestEnv, endpoint: &Endpoint) -> Vec<Vec<u8>> {
    let body = endpoint.padded_body(1_000);
    let whole = endpoint.request_with_length(env, "", JSON, &body);
    let chunked = endpoint.chunked_request(env, &endpoint.padded_body(25_000));
    let bad_chunk =
        |size: &str| format!("{}Transfer-Encoding: chunked\r\n\r\n{size}\r\n{{}}\r\n0\r\n\r\n", endpoint.head(env, "", JSON)).into_bytes();
    vec![
        whole[..whole.len() - 1].to_vec(),
        whole[..whole.len() - 1_000].to_vec(),
        whole[..whole.len() / 4].to_vec(),
        chunked[..chunked.len() - 5].to_vec(),
        chunked[..chunked.len() - 2_500].to_vec(),
        chunked[..chunked.len() / 2].to_vec(),
        bad_chunk("zz"),
        bad_chunk("-2"),
        bad_chunk("ffffffffffffffffff"),
        bad_chunk("1"),
    ]
}

#[test]
fn a_body_that_stops_half_way_is_never_taken_for_a_whole_one() {
    let env = env_with_small_limits(true);
    let before = stored_state(&env);
    for (door, socket, endpoints) in listeners(&env) {
        for endpoint in endpoints {
            let what = format!("{door}: {} {}", endpoint.method, endpoint.path);
            for (place, request) in truncated_requests(&env, &endpoint).into_iter().enumerate() {
                if let Some(answer) = send_bytes(&socket, &request, true) {
                    let no_body = answer.body.is_empty() && answer.status == 400;
                    if !no_body {
                        assert_refused(&format!("{what}: cut {place}"), &answer);
                    }
                }
            }
            let mut left = UnixStream::connect(&socket).unwrap();
            let request = endpoint.request_with_length(&env, "", JSON, &endpoint.padded_body(1_000));
            let _ = left.write_all(&request[..request.len() - 7]);
            drop(left);
        }
        assert_eq!(Request::get("/-/liveness").send(&socket).status, 200, "{door}");
    }
    assert_primary_healthy(&env);
    assert_eq!(stored_state(&env), before, "nothing was written by any of these");
    assert!(!env.logs().contains("panicked"), "{}", env.logs());
}

#[test]
fn memory_is_flat_under_hostile_bodies() {
    let env = env_with_small_limits(true);
    let count = scaled(2_400, 30_000);
    let mut requests = Vec::new();
    for (_, socket, endpoints) in listeners(&env) {
        for endpoint in endpoints {
            let broken = malformed_bodies_for(&endpoint)
                .into_iter()
                .map(|(_, content_type, body)| (endpoint.request_with_length(&env, "", content_type, &body), false));
            let over = [
                endpoint.chunked_request(&env, &endpoint.padded_body(PASSED_LIMIT + 1)),
                endpoint.request_with_length(&env, "", JSON, &endpoint.padded_body(PASSED_LIMIT + 1)),
            ];
            // A directory file of that size is a good one.
            let over = over.into_iter().filter(|_| endpoint.body_limit.is_some()).map(|request| (request, false));
            requests.extend(
                broken
                    .chain(over)
                    .chain(truncated_requests(&env, &endpoint).into_iter().map(|request| (request, true)))
                    .map(|(request, ends)| (socket.clone(), request, ends)),
            );
        }
    }
    let daemons = || [env.primary.as_ref().unwrap(), env.sidecar.as_ref().unwrap()].map(Daemon::memory_kib);
    // A stride that meets every kind of request soon.
    let pick = |number: u64| &requests[usize::try_from(number).unwrap() * 37 % requests.len()];
    let mut settled = [[0; 2]; 2];
    for number in 0..count {
        if number == count / 4 {
            settled = daemons();
        }
        let (socket, request, ends) = pick(number);
        if let Some(answer) = send_bytes(socket, request, *ends) {
            let head = String::from_utf8_lossy(&request[..request.len().min(60)]);
            assert!((400..500).contains(&answer.status), "{head}: {} {}", answer.status, answer.text());
        }
    }
    let ended = daemons();
    for (name, (before, after)) in ["primary", "sidecar"].into_iter().zip(settled.iter().zip(&ended)) {
        for (kind, (before, after)) in ["VmRSS", "VmHWM"].into_iter().zip(before.iter().zip(after)) {
            assert!(*after <= before + MAX_GROWTH_KIB, "{kind} of the {name} grew from {before} to {after} KiB\n{}", env.logs());
        }
    }
    assert!(!env.logs().contains("panicked"), "{}", env.logs());
    eprintln!("{count} hostile requests: RSS and its peak in KiB after a quarter {settled:?}, at the end {ended:?} (primary, sidecar)");
}
