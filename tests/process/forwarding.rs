//! Who is refused and what is never sent on: a primary that keeps every request tells.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, RecordedRequest, json_response, response_with_headers};
use crate::support::generated_directory::{directory_of_keys, key_blob, query_encode};
use crate::support::http::{Request, send_raw};
use crate::support::lookup::lookup_request;

const KEYS: &str = "/api/v4/internal/authorized_keys";
const OWN_CREDENTIAL_ROUTES: [(&str, &str); 10] = [
    ("GET", "/api/v4/internal/kubernetes/agent_info"),
    ("GET", "/api/v4/internal/kubernetes/project_info?id=7"),
    ("POST", "/api/v4/internal/kubernetes/modules/starboard_vulnerability/scan_result"),
    ("POST", "/api/v4/internal/error_tracking/allowed"),
    ("PUT", "/api/v4/internal/upcoming_reconciliations"),
    ("POST", "/api/v4/internal/gitlab_subscriptions/namespaces/7"),
    ("GET", "/api/v4/namespaces/7/gitlab_subscription"),
    ("PATCH", "/api/v4/namespaces/a%2Fb/minutes/move/c%2Fd"),
    ("DELETE", "/api/v4/personal_access_tokens/self"),
    ("GET", "/gitlab/api/v4/personal_access_tokens/self"),
];
const SHELL_TOKEN_ROUTES: [(&str, &str); 22] = [
    ("POST", "/api/v4/internal/allowed"),
    ("POST", "/api/v4/internal/lfs_authenticate"),
    ("GET", "/api/v4/internal/discover?username=person-1"),
    ("GET", "/api/v4/internal/check"),
    ("GET", "/gitlab/api/v4/internal/check"),
    ("POST", "/api/v4/internal/pre_receive"),
    ("POST", "/api/v4/internal/post_receive"),
    ("POST", "/api/v4/internal/two_factor_recovery_codes"),
    ("POST", "/api/v4/internal/two_factor_config"),
    ("POST", "/api/v4/internal/two_factor_manual_otp_check"),
    ("POST", "/api/v4/internal/personal_access_token"),
    ("POST", "/api/v4/internal/shell/git_audit_event"),
    ("GET", "/api/v4/internal/authorized_keys/more"),
    ("POST", "/api/v4/internal/authorized_keys"),
    ("HEAD", "/api/v4/internal/check"),
    ("GET", "/api/v4/internal/kubernetes"),
    ("GET", "/api/v4/internal/error_tracking"),
    ("GET", "/api/v4/personal_access_tokens/1"),
    ("GET", "/api/v4/personal_access_tokens"),
    ("GET", "/api/v4/namespaces"),
    ("GET", "/api/v4/users"),
    ("GET", "/api/v4/internal"),
];
const UNFORWARDED_ROUTES: [(&str, &str); 12] = [
    ("GET", "/api/v4/internal/sidegate/changes?epoch=0&after=0"),
    ("GET", "/api/v4/internal/sidegate/snapshot"),
    ("POST", "/api/v4/internal/sidegate/ack"),
    ("POST", "/api/v4/internal/sidegate/lfs_verify"),
    ("GET", "/gitlab/api/v4/internal/sidegate/snapshot"),
    ("GET", "/api/v4/internal/sidegate"),
    ("POST", "/-/admin/apply"),
    ("GET", "/-/admin/export"),
    ("GET", "/-/whatever"),
    ("GET", "/gitlab/-/admin/export"),
    ("GET", "/internal/check"),
    ("GET", "/"),
];

/// A sidecar in front of a primary that is not ours, without a feed.
fn sidecar_with_fake_primary(behaviour: impl Fn(&RecordedRequest) -> FakeReply + Send + Sync + 'static) -> (TestEnv, FakePrimary) {
    sidecar_with_fake_primary_and_config("", behaviour)
}

fn sidecar_with_fake_primary_and_config(
    more: &str,
    behaviour: impl Fn(&RecordedRequest) -> FakeReply + Send + Sync + 'static,
) -> (TestEnv, FakePrimary) {
    let mut env = TestEnv::with_config("", more);
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let fake = FakePrimary::listen(&env.primary_socket(), behaviour);
    env.start_sidecar();
    (env, fake)
}

/// The same in front of one that answers the sidecar's probe as it answers everything.
fn sidecar_with_failing_primary(behaviour: impl Fn(&RecordedRequest) -> FakeReply + Send + Sync + 'static) -> (TestEnv, FakePrimary) {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let fake = FakePrimary::listen_with_probe(&env.primary_socket(), behaviour);
    env.start_sidecar();
    (env, fake)
}

fn ok_response(_: &RecordedRequest) -> FakeReply {
    FakeReply::Respond(json_response(200, "{\"fine\":true}"))
}

#[test]
fn a_caller_without_a_token_has_nothing_signed_on_any_path() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let to = |method: &str, target: &str| Request::new(method, target).header("Private-Token", "their-own");
    for (method, target) in OWN_CREDENTIAL_ROUTES {
        let answer = to(method, target).body("{\"a\":1}").send(&env.sidecar_socket());
        assert_eq!((answer.status, answer.header("x-sidegate-answer")), (200, Some("forwarded")), "{method} {target}");
        let arrived = fake.take_requests();
        assert_eq!(arrived.len(), 1, "{method} {target}");
        assert!(!arrived[0].is_signed(), "{:?}", arrived[0]);
        assert_eq!(arrived[0].header("private-token"), Some("their-own"));
        assert_eq!(arrived[0].request_line, format!("{method} {} HTTP/1.1", target.strip_prefix("/gitlab").unwrap_or(target)));
    }
    for (method, target) in SHELL_TOKEN_ROUTES {
        let answer = to(method, target).send(&env.sidecar_socket());
        assert_eq!(answer.status, 401, "{method} {target}: {}", answer.text());
    }
    for (method, target) in UNFORWARDED_ROUTES {
        let answer = to(method, target).send(&env.sidecar_socket());
        assert_eq!(answer.status, 404, "{method} {target}: {}", answer.text());
        assert_eq!(env.request_sidecar(to(method, target)).status, 404, "{method} {target}, with a token");
    }
    assert_eq!(fake.take_requests().len(), 0, "nothing of these was sent on");
}

#[test]
fn a_foreign_token_is_refused_and_not_forwarded() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let (head, rest) = env.shell_token().split_once('.').map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
    let forged = [
        format!("{head}.{}x", &rest[..rest.len() - 1]),
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJnaXRsYWItc2hlbGwiLCJleHAiOjQxMDI0NDQ4MDB9.".to_owned(),
        env.sync_token("ssh-1"),
        String::new(),
        "Bearer x".to_owned(),
    ];
    for token in &forged {
        let with = |method: &str, target: &str| Request::new(method, target).header("Gitlab-Shell-Api-Request", token);
        for (method, target) in SHELL_TOKEN_ROUTES {
            assert_eq!(with(method, target).send(&env.sidecar_socket()).status, 401, "{method} {target} {token:?}");
        }
        assert_eq!(
            lookup_request(&key_blob(1)).header("Gitlab-Shell-Api-Request", token).send(&env.sidecar_socket()).status,
            401,
            "{token:?}"
        );
        assert_eq!(fake.take_requests().len(), 0);
        for (method, target) in OWN_CREDENTIAL_ROUTES {
            assert_eq!(with(method, target).send(&env.sidecar_socket()).status, 200, "{method} {target} {token:?}");
        }
        assert!(fake.take_requests().iter().all(|arrived| !arrived.is_signed()));
    }
    let twice = lookup_request(&key_blob(1)).header("Gitlab-Shell-Api-Request", &env.shell_token());
    let twice = twice.header("Gitlab-Shell-Api-Request", &env.shell_token()).send(&env.sidecar_socket());
    assert_eq!(twice.status, 401, "which of two tokens counts is nobody's to choose");
    for wrong in ["d3Jvbmc=", "a-shell-secret-of-thirty-two-hex", ""] {
        let answer = Request::get("/api/v4/internal/check").header("Gitlab-Shared-Secret", wrong).send(&env.sidecar_socket());
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert_eq!(fake.take_requests().len(), 0);
}

#[test]
fn odd_paths_are_refused_before_anything_else_also_with_a_good_token() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let token = env.shell_token();
    for target in [
        "/api/v4/internal/kubernetes/%2e%2e/discover",
        "/api/v4/internal/kubernetes/%2E%2E/allowed",
        "/api/v4/internal/kubernetes/../discover",
        "/api/v4/internal/kubernetes/./agent_info",
        "/api/v4/internal/kubernetes/agent_info/..",
        "/api/v4/internal/kubernetes/agent_info/.",
        "/api/v4/internal/kubernetes/agent_info/",
        "/api/v4/internal/kubernetes//agent_info",
        "//api/v4/internal/kubernetes/agent_info",
        "/api/v4/internal/kubernetes%2f..%2fdiscover",
        "/api/v4/internal/kubernetes/%252e%252e/discover",
        "/api/v4/internal/kubernetes/a%5c..%5cb",
        "/api/v4/internal/kubernetes/agent_info%00",
        "/api/v4/internal/kubernetes/a\\b",
        "/api/v4/namespaces/a%2F..%2Fb",
        "/api/v4/namespaces/%2e%2e",
        "/api/v4/namespaces/a/%2Fb",
        "/gitlab/../api/v4/internal/kubernetes/agent_info",
        "http://unix/api/v4/internal/kubernetes/agent_info",
        "http://other/api/v4/internal/check",
        "*",
    ] {
        for token in ["", &format!("Gitlab-Shell-Api-Request: {token}\r\n")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n{token}\r\n");
            let answer = send_raw(&env.sidecar_socket(), request.as_bytes());
            assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        }
    }
    assert_eq!(fake.take_requests().len(), 0);
    assert!(Request::get("/-/metrics").send(&env.sidecar_socket()).text().contains("sidegate_refusals_total{kind=\"path\""));
}

#[test]
fn requests_with_ambiguous_framing_are_refused() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let head = format!("POST /api/v4/internal/post_receive HTTP/1.1\r\nHost: unix\r\nGitlab-Shell-Api-Request: {}\r\n", env.shell_token());
    let hidden = "GET /api/v4/internal/check HTTP/1.1\r\nHost: unix\r\n\r\n";
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2, 2",
        "Content-Length: +2",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
    ] {
        let answer = send_raw(&env.sidecar_socket(), format!("{head}{lengths}\r\n\r\n{{}}{hidden}").as_bytes());
        assert!((400..500).contains(&answer.status) || answer.status == 501, "{lengths}: {}", answer.status);
        assert_eq!(fake.take_requests().len(), 0, "{lengths}");
    }
}

#[test]
fn without_default_scopes_a_user_outside_every_peer_rule_gets_nothing_and_one_inside_what_the_rule_says() {
    if !nix::unistd::Uid::effective().is_root() || !std::path::Path::new("/usr/bin/curl").exists() {
        return eprintln!("SKIPPED: requests of other users (they need root and curl)");
    }
    let behaviour = |arrived: &RecordedRequest| match arrived.request_line.contains("authorized_keys") {
        true => FakeReply::Respond(json_response(404, "{\"message\":\"404 Key Not Found\"}")),
        false => ok_response(arrived),
    };
    let rules = "[[peer]]\nuid = 65533\nscopes = [\"keys\"]\n[[peer]]\nuid = 65532\nscopes = [\"shell\", \"metrics\"]\n";
    let (mut env, fake) = sidecar_with_fake_primary_and_config(rules, behaviour);
    env.sidecar.as_mut().unwrap().stop();
    env.replace_in_file("sidegate.toml", "api.sock\"\n", "api.sock\"\nmode = \"0666\"\ndefault_scopes = []\n");
    env.start_sidecar();
    let key = format!("{KEYS}?key={}", query_encode(&key_blob(1)));
    let other_uid = 65534;
    for (method, target) in OWN_CREDENTIAL_ROUTES.iter().chain(&SHELL_TOKEN_ROUTES).chain(&[
        ("GET", key.as_str()),
        ("GET", "/-/metrics"),
        ("GET", "/-/admin/status"),
    ]) {
        let status = status_as_uid(other_uid, &env, method, target);
        assert!(status == 403, "{method} {target}: {status}");
    }
    for target in ["/-/liveness", "/-/readiness"] {
        assert_eq!(status_as_uid(other_uid, &env, "GET", target), 200, "{target}");
    }
    assert_eq!(status_as_uid(other_uid, &env, "POST", "/-/admin/resync"), 403);
    assert_eq!(fake.take_requests().len(), 0, "nothing of a stranger's was sent on");
    for (uid, target, status) in [
        (65533, key.as_str(), 404),
        (65533, "/api/v4/internal/check", 403),
        (65533, "/api/v4/internal/kubernetes/agent_info", 403),
        (65533, "/-/metrics", 403),
        (65532, "/-/metrics", 200),
        (65532, "/api/v4/users", 200),
        (65532, "/-/admin/status", 403),
    ] {
        assert_eq!(status_as_uid(uid, &env, "GET", target), status, "{uid} {target}");
    }
    let arrived = fake.take_requests();
    assert!(
        arrived.iter().all(RecordedRequest::is_signed) && arrived.len() == 2,
        "the question that we write ourselves, and one with a token: {arrived:?}"
    );
    assert!(env.logs().contains("\"reason\":\"peer\""), "{}", env.logs());
}

#[test]
fn a_peer_that_is_given_the_metrics_takes_nothing_from_all_others() {
    if !nix::unistd::Uid::effective().is_root() || !std::path::Path::new("/usr/bin/curl").exists() {
        return eprintln!("SKIPPED: requests of other users (they need root and curl)");
    }
    let behaviour = |_: &RecordedRequest| FakeReply::Respond(json_response(404, "{\"message\":\"404 Key Not Found\"}"));
    let (mut env, _fake) = sidecar_with_fake_primary_and_config("[[peer]]\nuid = 65532\nscopes = [\"metrics\"]\n", behaviour);
    env.sidecar.as_mut().unwrap().stop();
    env.replace_in_file("sidegate.toml", "api.sock\"\n", "api.sock\"\nmode = \"0666\"\n");
    env.start_sidecar();
    let key = format!("{KEYS}?key={}", query_encode(&key_blob(1)));
    for (uid, metrics) in [(65534, 403), (65532, 200)] {
        assert_eq!(status_as_uid(uid, &env, "GET", &key), 404, "{uid} may look up keys");
        assert_eq!(status_as_uid(uid, &env, "GET", "/-/metrics"), metrics, "{uid}");
        assert_eq!(status_as_uid(uid, &env, "GET", "/-/admin/status"), 403, "{uid}");
    }
}

/// Asks as another user, with a good token.
fn status_as_uid(uid: u32, env: &TestEnv, method: &str, target: &str) -> u16 {
    let words = ["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups", "curl", "-sS", "-o", "/dev/null"];
    let mut curl = Command::new("setpriv");
    curl.args(words).args(["-w", "%{http_code}", "--path-as-is", "-X", method, "--unix-socket"]).arg(env.sidecar_socket());
    if method == "HEAD" {
        curl.arg("-I");
    }
    curl.arg("-H").arg(format!("Gitlab-Shell-Api-Request: {}", env.shell_token())).arg(format!("http://unix{target}"));
    let output = curl.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn without_peer_rules_others_may_ask_of_keys_and_with_a_token_but_not_operate() {
    if !nix::unistd::Uid::effective().is_root() || !std::path::Path::new("/usr/bin/curl").exists() {
        return eprintln!("SKIPPED: requests of other users (they need root and curl)");
    }
    let (mut env, _fake) = sidecar_with_fake_primary(ok_response);
    env.sidecar.as_mut().unwrap().stop();
    env.replace_in_file("sidegate.toml", "api.sock\"\n", "api.sock\"\nmode = \"0666\"\n");
    env.start_sidecar();
    for (target, status) in
        [("/api/v4/users", 200), ("/-/metrics", 403), ("/-/admin/status", 403), ("/-/admin/explain?key=a", 403), ("/-/liveness", 200)]
    {
        assert_eq!(status_as_uid(65534, &env, "GET", target), status, "{target}");
    }
}

#[test]
fn hop_by_hop_headers_and_secrets_are_not_forwarded() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let (token, secret) = (env.shell_token(), env.shared_secret());
    let request = format!(
        "POST /api/v4/internal/post_receive?secret_token={secret}&a=1&secret%5Ftoken=x HTTP/1.1\r\nHost: evil.example\r\nConnection: close, X-Mine\r\n\
         X-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\nUpgrade: h2c\r\n\
         Gitlab-Shell-Api-Request: {token}\r\nX-Sidegate-Forwarded: 0\r\nX-Sidegate-Host: ssh-9\r\nX-Request-Id: 01ABC\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n\
         User-Agent: gitlab-shell\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{{\"identifier\":\"k-1\"}}"
    );
    assert_eq!(send_raw(&env.sidecar_socket(), request.as_bytes()).status, 200);
    let arrived = fake.take_requests().pop().unwrap();
    assert_eq!(arrived.request_line, "POST /api/v4/internal/post_receive?a=1 HTTP/1.1");
    assert_eq!(arrived.body, "{\"identifier\":\"k-1\"}");
    for gone in [
        "x-mine",
        "keep-alive",
        "proxy-authorization",
        "te",
        "upgrade",
        "x-sidegate-host",
        "gitlab-shared-secret",
        "x-forwarded-for",
        "forwarded",
    ] {
        assert_eq!(arrived.header(gone), None, "{gone}");
    }
    assert_ne!(arrived.header("host"), Some("evil.example"));
    assert_eq!(arrived.header("x-sidegate-forwarded"), Some("1"));
    for (name, value) in [("x-request-id", "01ABC"), ("user-agent", "gitlab-shell")] {
        assert_eq!(arrived.header(name), Some(value));
    }
    let signatures = arrived.headers.iter().filter(|(name, _)| name == "gitlab-shell-api-request").count();
    assert_eq!(signatures, 1, "signed anew, once");
}

#[test]
fn the_shared_secret_is_accepted_wherever_it_is_sent_and_never_forwarded() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let secret = env.shared_secret();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret);
    let target = "/api/v4/internal/post_receive";
    let requests = [
        Request::post(target, &json!({"secret_token": secret, "identifier": "key-1"})),
        Request::post_form(target, &format!("identifier=key-1&secret_token={secret}")),
        Request::post(&format!("{target}?secret_token={secret}"), &json!({"identifier": "key-1"})),
        Request::post(target, &json!({"identifier": "key-1"})).header("Gitlab-Shared-Secret", &encoded),
    ];
    for request in requests {
        let answer = request.send(&env.sidecar_socket());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let arrived = fake.take_requests().pop().unwrap();
        let everything = format!("{arrived:?}");
        assert!(!everything.contains(secret) && !everything.contains(&encoded) && !everything.contains("secret_token"), "{everything}");
        assert!(arrived.header("gitlab-shell-api-request").is_some());
        let body: Value =
            serde_json::from_str(&arrived.body).unwrap_or_else(|_| json!({"identifier": arrived.body.replace("identifier=", "")}));
        assert_eq!(body, json!({"identifier": "key-1"}));
    }
}

#[test]
fn the_shared_secret_beside_a_token_is_not_forwarded_in_any_form() {
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    let secret = env.shared_secret();
    let multipart = format!(
        "--xx\r\nContent-Disposition: form-data; name=\"secret_token\"\r\n\r\n{secret}\r\n--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xx--\r\n"
    );
    let padding = "x".repeat(20_000);
    let target = "/api/v4/internal/post_receive";
    let raw = |content_type: &str, body: &str| Request::new("POST", target).header("Content-Type", content_type).body(body);
    for (what, request, kept) in [
        ("JSON", Request::post(target, &json!({"a": 1, "secret_token": secret})), "\"a\":1"),
        (
            "JSON, larger than what is read at once",
            Request::post(target, &json!({"a": padding, "secret_token": secret, "b": 2})),
            "\"b\":2",
        ),
        ("an escaped name", raw("application/json", &format!("{{\"secret\\u005ftoken\":\"{secret}\",\"a\":1}}")), "\"a\":1"),
        ("a form", Request::post_form(target, &format!("a=1&secret_token={secret}")), "a=1"),
        ("a list in a form", Request::post_form(target, &format!("secret_token[]={secret}&a=1")), "a=1"),
        ("no type", Request::new("POST", target).body(format!("secret_token={secret}&a=1")), "a=1"),
        ("multipart", raw("multipart/form-data; boundary=xx", &multipart), "name=\"a\"\r\n\r\n1\r\n"),
        ("a query", Request::post(&format!("{target}?secret_token[]={secret}&c=3"), &json!({"a": 1})), "\"a\":1"),
    ] {
        for (with_token, request) in [(true, request.clone().header("Gitlab-Shell-Api-Request", &env.shell_token())), (false, request)] {
            let answer = request.send(&env.sidecar_socket());
            let Some(arrived) = fake.take_requests().pop() else {
                assert!(!with_token && matches!(answer.status, 400 | 401), "{what}: {}", answer.text());
                continue;
            };
            let everything = format!("{arrived:?}");
            assert!(
                !everything.contains(secret) && !everything.contains("secret_token") && !everything.contains("u005f"),
                "{what}: {everything}"
            );
            // Where the secret is what the caller shows, the body is written anew.
            assert!(!with_token || arrived.body.contains(kept), "{what}: {everything}");
        }
    }
    // Also of a caller whom only the primary can judge.
    let answer = Request::post("/api/v4/internal/error_tracking/allowed", &json!({"a": padding, "secret_token": secret}))
        .send(&env.sidecar_socket());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!fake.take_requests().pop().unwrap().body.contains(secret));
}

#[test]
fn the_primary_never_makes_a_client_wait_or_go_elsewhere_or_keep_a_session() {
    let headers = "Retry-After: 60\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nX-Runtime: 1\r\nContent-Type: application/json\r\n";
    for (status, expected) in [(200, 200), (429, 429), (503, 501), (301, 501), (404, 404)] {
        let (env, _fake) =
            sidecar_with_fake_primary(move |_| FakeReply::Respond(response_with_headers(status, headers, "{\"message\":\"m\"}")));
        let answer = env.request_sidecar(Request::post("/api/v4/internal/post_receive", &json!({})));
        assert_eq!(answer.status, expected, "{}", answer.text());
        for never in ["retry-after", "location", "set-cookie"] {
            assert_eq!(answer.header(never), None, "{status} {never}");
        }
    }
}

#[test]
fn an_invalid_response_of_the_primary_is_never_relayed() {
    let request = key_blob(1);
    let hit = |id: &str, blob: &str| format!("{{\"id\":{id},\"key\":\"ssh-ed25519 {blob} Zoe (host)\"}}");
    let json_lies = [
        "{}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "true".to_owned(),
        String::new(),
        hit("0", &request),
        hit("-7", &request),
        hit("7.5", &request),
        hit("\"7\"", &request),
        hit("7", &key_blob(2)),
        "{\"id\":7}".to_owned(),
        hit("7", &request)[..40].to_owned(),
    ];
    let html = "<html><title>502</title></html>";
    let mut lies: Vec<(String, Vec<u8>)> = json_lies.iter().map(|body| (format!("200 {body}"), json_response(200, body))).collect();
    for status in [200, 401, 403, 404, 500, 502, 503] {
        lies.push((format!("{status} html"), response_with_headers(status, "Content-Type: text/html\r\n", html)));
    }
    for (status, body) in [
        (404, "{\"message\":\"404 Not Found\"}"),
        (401, "{\"message\":\"401 Unauthorized\"}"),
        (500, "{\"message\":\"404 Key Not Found\"}"),
    ] {
        lies.push((format!("{status} {body}"), json_response(status, body)));
    }
    let whole = json_response(200, &hit("7", &request));
    lies.push(("a cut body".to_owned(), whole[..whole.len() - 5].to_vec()));
    lies.push(("not HTTP".to_owned(), b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()));
    lies.push(("nothing".to_owned(), Vec::new()));
    let next = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let says = std::sync::Arc::clone(&next);
    let (env, _fake) = sidecar_with_fake_primary(move |_| FakeReply::RespondAndClose(says.lock().unwrap().clone()));
    for (what, bytes) in lies {
        next.lock().unwrap().clone_from(&bytes);
        let answer = lookup_request(&request).send(&env.sidecar_socket());
        assert_eq!(answer.status, 424, "{what}: {}", answer.text());
        assert!(env.run_helper(&request).starts_with("# sidegate: the key could not be looked up (outage)"), "{what}");
    }
    *next.lock().unwrap() = json_response(200, &hit("7", &request));
    assert_eq!(lookup_request(&request).send(&env.sidecar_socket()).json()["id"], 7, "and the truth is one");
}

#[test]
fn a_primary_that_hangs_costs_an_answer_its_time_limit_at_most_and_known_keys_nothing() {
    let mut env = TestEnv::with_config("", "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"1h\" }\n");
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"sidegate\"\ntimeout = \"300ms\"");
    env.start_primary();
    env.apply(&directory_of_keys(20));
    env.start_sidecar();
    env.wait_until_fresh();
    env.primary.as_mut().unwrap().kill();
    let fake = FakePrimary::listen_with_probe(&env.primary_socket(), |_| FakeReply::Hang);
    env.wait_for("the keys to be stale", || env.status()["freshness"]["keys"]["state"] == "stale");
    let send_request = |request: Request| request.send(&env.sidecar_socket());
    for round in 0..6 {
        assert_eq!(send_request(lookup_request(&key_blob(3))).json()["id"], 3, "round {round}");
        let miss = send_request(lookup_request(&key_blob(1_000_003)));
        assert_eq!((miss.status, miss.header("x-sidegate-degraded")), (424, Some("primary-unreachable")), "round {round}");
    }
    env.wait_for("the probe to fail", || env.status()["primary"]["breaker"] == "open");
    fake.take_requests();
    for round in 0..6 {
        assert_eq!(send_request(lookup_request(&key_blob(3))).json()["id"], 3, "round {round}");
        assert_eq!(send_request(lookup_request(&key_blob(1_000_003))).status, 424, "round {round}");
    }
    let questions = fake.take_requests().iter().filter(|arrived| arrived.request_line.contains("authorized_keys")).count();
    assert_eq!(questions, 0, "nobody's login is sent to a primary that does not answer");
}

type FailureHandler = fn(&RecordedRequest) -> FakeReply;

#[test]
fn a_write_is_sent_once_and_its_failure_says_whether_its_fate_is_known() {
    let cases: [(&str, FailureHandler); 4] = [
        ("closed without an answer", |_| FakeReply::RespondAndClose(Vec::new())),
        ("500", |_| FakeReply::Respond(json_response(500, "{\"message\":\"boom\"}"))),
        ("502 html", |_| FakeReply::Respond(response_with_headers(502, "Content-Type: text/html\r\n", "<html>"))),
        ("cut head", |_| FakeReply::RespondAndClose(b"HTTP/1.1 200 OK\r\nContent-".to_vec())),
    ];
    for (what, failing) in cases {
        // The first request is answered and its connection kept, so that the write goes over a connection that was used.
        let (env, fake) =
            sidecar_with_fake_primary(
                move |arrived| if arrived.request_line.contains("/check") { check_response() } else { failing(arrived) },
            );
        assert_eq!(env.request_sidecar(Request::get("/api/v4/internal/check")).status, 200);
        fake.take_requests();
        let answer = env.request_sidecar(Request::post("/api/v4/internal/personal_access_token", &json!({"key_id": 1})));
        assert_eq!(answer.status, 501, "{what}: {}", answer.text());
        assert!(answer.message().contains("Whether this request took effect is unknown"), "{what}: {}", answer.text());
        assert_eq!(fake.take_requests().len(), 1, "{what}: sent once");
    }
    let (env, fake) = sidecar_with_fake_primary(ok_response);
    drop(fake);
    let answer = env.request_sidecar(Request::post("/api/v4/internal/personal_access_token", &json!({"key_id": 1})));
    assert_eq!(answer.status, 424, "{}", answer.text());
    assert!(answer.message().contains("This request did not take effect"), "{}", answer.text());
}

fn check_response() -> FakeReply {
    FakeReply::Respond(json_response(200, "{\"api_version\":\"v4\",\"gitlab_version\":\"18.0\",\"gitlab_rev\":\"abc\",\"redis\":true}"))
}

#[test]
fn a_write_that_the_primary_never_answers_is_given_up_and_its_fate_is_unknown() {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"\ntimeout = \"100ms\"\nforward_timeout = \"500ms\"");
    let fake = FakePrimary::listen(&env.primary_socket(), |_| FakeReply::Hang);
    env.start_sidecar();
    let answer = env.request_sidecar(Request::post("/api/v4/internal/post_receive", &json!({})));
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert_eq!(fake.take_requests().len(), 1);
}

#[test]
fn questions_fail_with_424_and_say_since_when_and_what_still_works() {
    let (env, fake) = sidecar_with_failing_primary(|_| FakeReply::Respond(json_response(500, "{}")));
    for (request, what) in [
        (Request::get("/api/v4/internal/discover?username=zoe"), "discover"),
        (Request::get("/api/v4/internal/check"), "check"),
        (
            Request::post(
                "/api/v4/internal/allowed",
                &json!({"action": "git-upload-pack", "project": "a/b", "key_id": 1, "changes": "_any", "protocol": "ssh"}),
            ),
            "allowed",
        ),
        (lookup_request(&key_blob(1)), "authorized_keys"),
    ] {
        let answer = env.request_sidecar(request);
        assert_eq!(answer.status, 424, "{what}: {}", answer.text());
        assert!(answer.message().contains("The Git server's application"), "{what}: {}", answer.text());
        assert_eq!(answer.header("x-sidegate-degraded"), Some("primary-unreachable"), "{what}");
    }
    env.wait_for("the outage to be found", || {
        let answer = env.request_sidecar(Request::get("/api/v4/internal/check"));
        answer.message().starts_with("The Git server's application has not answered since 2")
    });
    drop(fake);
}

const ERROR_TRACKING: &str = "/api/v4/internal/error_tracking/allowed";

/// Nobody was shown an outage for it, and nobody will be.
fn assert_primary_healthy(env: &TestEnv) {
    let primary = &env.status()["primary"];
    assert_eq!((&primary["breaker"], &primary["failing_since"]), (&json!("closed"), &Value::Null), "{}", env.logs());
    assert!(!env.logs().contains("primary stopped answering"), "{}", env.logs());
}

/// So many requests whose body never comes to its end.
fn open_unfinished_requests(env: &TestEnv, count: usize, head: &str) -> Vec<UnixStream> {
    let begin = |_| {
        let mut stream = UnixStream::connect(env.sidecar_socket()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    (0..count).map(begin).collect()
}

#[test]
fn unauthenticated_requests_take_at_most_a_quarter_of_upstream_capacity() {
    let (env, _fake) = sidecar_with_fake_primary_and_config("[limits]\nforwards = 8\nforwards_waiting = 8\n", |_| check_response());
    let head = format!("POST {ERROR_TRACKING} HTTP/1.1\r\nHost: unix\r\n");
    // A small body is waited for before anything is taken.
    let _small = open_unfinished_requests(&env, 20, &format!("{head}Content-Length: 100\r\n\r\n{{"));
    let _large = open_unfinished_requests(&env, 20, &format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"));
    env.wait_for("the quarter to be taken", || {
        let primary = &env.status()["primary"];
        primary["questions_under_way"] == 2 && primary["questions_waiting"] == 2
    });
    assert_eq!(env.request_sidecar(Request::get("/api/v4/internal/check")).status, 200);
    let beyond = Request::post(ERROR_TRACKING, &json!({})).send(&env.sidecar_socket());
    assert_eq!((beyond.status, beyond.message().starts_with("This SSH host")), (424, true), "{}", beyond.text());
    assert_primary_healthy(&env);
}

#[test]
fn hanging_writes_take_nothing_from_questions() {
    let mut env = TestEnv::with_config("", "[limits]\nforwards = 8\nforwards_waiting = 8\n");
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let _fake = FakePrimary::listen(&env.primary_socket(), |arrived| {
        if arrived.request_line.contains("/check") { check_response() } else { FakeReply::Hang }
    });
    env.start_sidecar();
    let token = env.shell_token();
    let head = format!("POST /api/v4/internal/post_receive HTTP/1.1\r\nHost: unix\r\nGitlab-Shell-Api-Request: {token}\r\n");
    let _held = open_unfinished_requests(&env, 12, &format!("{head}Content-Length: 2\r\n\r\n{{}}"));
    env.wait_for("half of all turns to be taken", || {
        let primary = &env.status()["primary"];
        (&primary["questions_under_way"], &primary["questions_waiting"]) == (&json!(4), &json!(4))
    });
    for _ in 0..5 {
        let answer = env.request_sidecar(Request::get("/api/v4/internal/check"));
        assert_eq!((answer.status, answer.header("x-sidegate-answer")), (200, Some("forwarded")), "{}", answer.text());
    }
    let beyond = env.request_sidecar(Request::post("/api/v4/internal/post_receive", &json!({})));
    assert_eq!((beyond.status, beyond.message().starts_with("This SSH host")), (424, true), "{}", beyond.text());
    assert_primary_healthy(&env);
}

/// A minute to wait for a turn and another one to be sent are two.
#[test]
fn a_write_waits_for_its_turn_and_is_sent_within_one_time_limit() {
    let mut env = TestEnv::with_config("", "[limits]\nforwards = 4\n");
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"\nforward_timeout = \"4s\"");
    let fake = FakePrimary::listen(&env.primary_socket(), |_| FakeReply::Hang);
    env.start_sidecar();
    let write = &|number: u8| env.request_sidecar(Request::post("/api/v4/internal/post_receive", &json!({"number": number}))).status;
    std::thread::scope(|scope| {
        let first = [1, 2].map(|number| scope.spawn(move || write(number)));
        env.wait_for("both turns to be taken", || env.status()["primary"]["questions_under_way"] == 2);
        let waiting = scope.spawn(move || write(3));
        env.wait_for("the third to wait", || env.status()["primary"]["questions_waiting"] == 1);
        for write in first {
            assert_eq!(write.join().unwrap(), 501);
        }
        // It has its turn now, or its time was up before. This one is sent when it is, and has all of its time.
        let last = scope.spawn(move || write(4));
        env.wait_for("the last to arrive", || fake.take_requests().iter().any(|arrived| arrived.body.contains('4')));
        assert!(matches!(waiting.join().unwrap(), 424 | 501));
        assert!(!last.is_finished(), "the third had another whole time limit");
        last.join().unwrap();
    });
}

#[test]
fn a_body_that_does_not_come_to_its_end_is_the_callers_failure_also_where_the_forward_ends_first() {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"\ntimeout = \"100ms\"\nforward_timeout = \"200ms\"");
    let _fake = FakePrimary::listen_with_probe(&env.primary_socket(), |_| FakeReply::Hang);
    env.start_sidecar();
    let token = env.shell_token();
    let head = format!("POST /api/v4/internal/post_receive HTTP/1.1\r\nHost: unix\r\nGitlab-Shell-Api-Request: {token}\r\n");
    for framing in ["Content-Length: 20000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        for _ in 0..3 {
            let answer = send_raw(&env.sidecar_socket(), format!("{head}Connection: close\r\n{framing}").as_bytes());
            assert_eq!((answer.status, answer.message().as_str()), (408, "the body did not arrive in time"), "{framing:?}");
        }
    }
    assert_primary_healthy(&env);
    // Who has said all is not blamed for a primary that hangs.
    assert_eq!(env.request_sidecar(Request::post("/api/v4/internal/post_receive", &json!({"changes": "x".repeat(20_000)}))).status, 501);
    env.wait_for("the probe to fail", || env.status()["primary"]["failing_since"].is_string());
}

#[test]
fn unauthenticated_requests_never_open_the_breaker() {
    let (env, _fake) = sidecar_with_fake_primary(|arrived| match arrived.request_line.as_str() {
        line if line.contains("/check") => check_response(),
        line if line.starts_with("HEAD") => FakeReply::Respond(response_with_headers(404, "Content-Type: application/json\r\n", "")),
        line if line.contains("/1") => FakeReply::Respond(response_with_headers(404, "Content-Type: text/html\r\n", "<html>")),
        line if line.contains("/2") => FakeReply::Respond(json_response(500, "{}")),
        _ => FakeReply::RespondAndClose(Vec::new()),
    });
    let cases = [("HEAD", 7, 404), ("GET", 1, 424), ("GET", 2, 424), ("POST", 2, 501), ("GET", 3, 424), ("POST", 3, 501)];
    for (method, namespace, status) in cases {
        for _ in 0..4 {
            let answer = Request::new(method, &format!("/api/v4/namespaces/{namespace}")).send(&env.sidecar_socket());
            assert_eq!((answer.status, answer.body.is_empty()), (status, method == "HEAD"), "{method} {namespace}");
        }
        assert_primary_healthy(&env);
    }
    assert_eq!(env.request_sidecar(Request::get("/api/v4/internal/check")).status, 200);
}

#[test]
fn a_complete_error_response_means_the_primary_is_alive() {
    let html = |status| FakeReply::Respond(response_with_headers(status, "Content-Type: text/html\r\n", "<html>"));
    let (env, _fake) = sidecar_with_failing_primary(move |arrived| match arrived.request_line.as_str() {
        line if line.contains("large") => html(413),
        line if line.contains("none") => FakeReply::Respond(response_with_headers(404, "", "")),
        line if line.starts_with("HEAD") => html(404),
        _ => html(502),
    });
    let send_request = |method, path: &str| env.request_sidecar(Request::new(method, path)).status;
    for (method, path, status) in [
        ("POST", "/api/v4/large", 501),
        ("GET", "/api/v4/none", 424),
        ("HEAD", "/api/v4/internal/check", 404),
        ("HEAD", "/api/v4/none", 404),
    ] {
        (0..4).for_each(|_| assert_eq!(send_request(method, path), status, "{method} {path}"));
        assert_primary_healthy(&env);
    }
    (0..3).for_each(|_| assert_eq!(send_request("HEAD", "/api/v4/large"), 413));
    (0..3).for_each(|_| assert_eq!(send_request("GET", "/api/v4/dead"), 424));
    env.wait_for("one that fails not to look alive", || env.status()["primary"]["breaker"] == "open");
}

#[test]
fn unauthenticated_responses_never_close_the_breaker() {
    let (env, _fake) =
        sidecar_with_failing_primary(|arrived| FakeReply::Respond(json_response(if arrived.is_signed() { 500 } else { 200 }, "{}")));
    assert_eq!(env.request_sidecar(Request::get("/api/v4/internal/check")).status, 424);
    env.wait_for("the probe to fail", || env.status()["primary"]["breaker"] == "open");
    for _ in 0..3 {
        assert_eq!(env.request_sidecar(Request::get("/api/v4/internal/check")).status, 424);
        assert_eq!(Request::get("/api/v4/namespaces/1").send(&env.sidecar_socket()).status, 200, "their own credentials are good");
        assert_eq!(env.status()["primary"]["breaker"], "open");
    }
}

/// What no directory can have for a key, each as it stands in a target.
fn invalid_keys() -> [String; 4] {
    [query_encode(&format!("{}!", key_blob(1))), "x".to_owned(), "A".repeat(20_000), "/".repeat(20_000)]
}

#[test]
fn an_invalid_key_is_a_local_miss_without_asking_the_primary() {
    let mut env = TestEnv::running(&directory_of_keys(3));
    let send_request = |env: &TestEnv, key: &str| Request::get(&format!("{KEYS}?key={key}")).send(&env.sidecar_socket());
    let assert_misses = |env: &TestEnv| {
        for key in invalid_keys().iter().flat_map(|key| [key; 4]) {
            let answer = send_request(env, key);
            assert_eq!((answer.status, answer.header("x-sidegate-answer")), (404, Some("local")), "{key:.20}: {}", answer.text());
            assert_eq!(answer.message(), "404 Key Not Found");
            assert_eq!(answer.header("x-sidegate-degraded"), None);
        }
        assert_primary_healthy(env);
    };
    assert_misses(&env);
    env.primary.as_mut().unwrap().kill();
    assert_misses(&env);
    let (env, fake) = sidecar_with_fake_primary(|_| FakeReply::Respond(response_with_headers(431, "", "")));
    assert_misses(&env);
    assert_eq!(fake.take_requests().len(), 0);
}

#[test]
fn a_request_the_primary_rejects_as_malformed_is_not_a_primary_failure() {
    let (env, fake) = sidecar_with_failing_primary(|arrived| {
        let status =
            ["400", "413", "414", "431"].into_iter().find(|status| arrived.request_line.contains(status) || arrived.body.contains(status));
        FakeReply::Respond(response_with_headers(
            status.map_or(502, |status| status.parse().unwrap()),
            "Content-Type: text/html\r\n",
            "<html>",
        ))
    });
    let certs = |name: &str| Request::get(&format!("/api/v4/internal/authorized_certs?key=x&user_identifier={name}"));
    let long = "/".repeat(20_000);
    let key = "AA%2B%2B".repeat(2_400);
    for request in [certs(&long), Request::get(&format!("{KEYS}?key={key}"))].iter().flat_map(|request| [request; 4]) {
        let answer = request.send(&env.sidecar_socket());
        assert_eq!((answer.status, answer.header("x-sidegate-degraded")), (400, None), "{}", answer.text());
        assert!(answer.message().contains("larger than the Git server takes"), "{}", answer.text());
    }
    assert_eq!(fake.take_requests().len(), 0, "it is not even asked");
    for status in [400, 413, 414, 431] {
        let allowed =
            json!({"action": "git-upload-pack", "project": status.to_string(), "key_id": 1, "changes": "_any", "protocol": "ssh"});
        for request in
            [certs(&status.to_string()), Request::post("/api/v4/internal/allowed", &allowed)].iter().flat_map(|request| [request; 3])
        {
            let answer = env.request_sidecar(request.clone());
            assert_eq!((answer.status, answer.header("x-sidegate-degraded")), (400, None), "{status}: {}", answer.text());
        }
    }
    assert_primary_healthy(&env);
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    assert!(metrics.contains("{endpoint=\"authorized_certs\",source=\"none\",outcome=\"refused\"} 16"), "{metrics}");
    (0..3).for_each(|_| assert_eq!(certs("zoe").send(&env.sidecar_socket()).status, 424));
    env.wait_for("a primary that fails to be found one", || env.status()["primary"]["breaker"] == "open");
}

#[test]
fn a_plus_of_a_key_is_sent_on_so_that_every_primary_reads_a_plus() {
    let (env, fake) = sidecar_with_fake_primary(|_| FakeReply::Respond(json_response(404, "{\"message\":\"404 Key Not Found\"}")));
    for more in ["", "&unknown=a+b"] {
        let answer = env.request_sidecar(Request::get(&format!("{KEYS}?key=AAA+AAA+{more}")));
        assert_eq!(answer.status, 404, "{more}: {}", answer.text());
        let arrived = fake.take_requests().pop().unwrap();
        assert_eq!(arrived.request_line, format!("GET {KEYS}?key=AAA%2BAAA%2B{more} HTTP/1.1"));
    }
}

/// gitlab-shell would ask three times and then show another sentence.
#[test]
fn access_beyond_the_rate_limit_of_the_primary_is_refused_with_its_sentence() {
    let sentence = "This endpoint has been requested too many times. Try again later.";
    let limited = json!({"message": {"error": sentence}}).to_string();
    let (env, _fake) = sidecar_with_fake_primary(move |_| FakeReply::Respond(json_response(429, &limited)));
    let lines = format!("{} {} refs/heads/main\n", "0".repeat(40), "1".repeat(40));
    for (action, changes) in [("git-upload-pack", "_any"), ("git-receive-pack", "_any"), ("git-receive-pack", lines.as_str())] {
        let question = json!({"key_id": 1, "project": "a/b", "action": action, "protocol": "ssh", "changes": changes});
        let answer = env.request_sidecar(Request::post("/api/v4/internal/allowed", &question));
        assert_eq!((answer.status, answer.json()), (401, json!({"status": false, "message": sentence})), "{action} {changes}");
        assert_eq!((answer.header("x-sidegate-answer"), answer.header("retry-after")), (Some("forwarded"), None));
    }
}
