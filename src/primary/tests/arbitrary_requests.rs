//! Whatever a request contains, it is answered, and never with a 5xx: a host takes that for an outage of the primary, and one question would
//! then decide what everybody else is answered.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::{ADMIN_TOKEN, SHELL_SECRET, SYNC_SECRET, apply, call, get, options, own_uid, secret, small_directory};
use crate::api::error::ApiError;
use crate::api::route::RequiredAuth;
use crate::model::change::Change;
use crate::model::clock;
use crate::model::entry::Entry;
use crate::model::memory_directory::ed25519_public_key;
use crate::net::body::IncomingBody;
use crate::net::message::Request;
use crate::net::peer::Peer;
use crate::net::server::handler::Handler as _;
use crate::primary::config::PrimaryOptions;
use crate::primary::routes::ROUTES;
use crate::primary::state::PrimaryState;
use crate::wire::allowed::KNOWN_PARAMS;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::auth::jwt::{Issuer, issue_token};

const KAS_SECRET: &str = "a secret of the agents' server";
const ERROR_TRACKING_TOKEN: &str = "a token of error tracking";
/// The SHA-256 of this token is in the directory.
const AGENT_TOKEN: &str = "a token of an agent";
const HOST: &str = "ssh-1";

/// The names of parameters that some handler reads, beside those of `allowed`.
const OTHER_NAMES: [&str; 32] = [
    "krb5principal",
    "gitaly_client_context_bin",
    "key",
    "fingerprint",
    "id",
    "name",
    "scopes",
    "expires_at",
    "otp_attempt",
    "project_id",
    "public_key",
    "agent_id",
    "agent_config",
    "counters",
    "unique_counters",
    "gitlab_subscription",
    "seats",
    "plan_code",
    "start_date",
    "end_date",
    "packs",
    "upcoming_reconciliations",
    "namespace_id",
    "vulnerability",
    "scanner",
    "uuids",
    "host",
    "cursor",
    "epoch",
    "seq",
    "since",
    "kind",
];

/// So many of those of `allowed` say who asks for what.
const ACCESS_NAMES: usize = 6;

/// Texts that mean something to some handler, or nearly do.
const WORDS: [&str; 44] = [
    "",
    "0",
    "1",
    "2",
    "7",
    "11",
    "12",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e3",
    "1.5",
    "zoe",
    "ZOE",
    "bob",
    "zoe/p",
    "/zoe/p.git",
    "zoe/p.wiki",
    "zoe/p.design",
    "zoe/p/snippets/1",
    "snippets/1",
    "zoe/fresh",
    "../p",
    "project-1",
    "wiki-1",
    "design-1",
    "snippet-1",
    "project-9223372036854775808",
    "group-1-wiki",
    "user-1",
    "key-11",
    "key-9223372036854775807",
    "git-upload-pack",
    "git-receive-pack",
    "git-upload-archive",
    "_any",
    "ssh",
    "http",
    "web",
    "true",
    "2026-01-31",
    "\u{7f}",
    "%00",
];

fn sample_options(folder: &std::path::Path) -> PrimaryOptions {
    PrimaryOptions { kas_secret: Some(secret(KAS_SECRET)), error_tracking_token: Some(secret(ERROR_TRACKING_TOKEN)), ..options(folder) }
}

/// The small directory with an agent, a client key of error tracking, and a former path; no limit on how often something is asked.
fn directory() -> Vec<String> {
    use sha2::{Digest as _, Sha256};
    let agent_token = Sha256::digest(AGENT_TOKEN).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut lines = small_directory();
    lines.extend([
        r#"{"kind":"settings","operations_per_minute":0}"#.to_owned(),
        r#"{"kind":"redirect","from":"zoe/former","project_id":1}"#.to_owned(),
        r#"{"kind":"snippet","id":1,"author_id":1,"storage":"default","relative_path":"s.git"}"#.to_owned(),
        format!(r#"{{"kind":"agent","id":1,"name":"a","project_id":1,"token_sha256":"{agent_token}"}}"#),
        r#"{"kind":"error_tracking_key","project_id":1,"public_key":"11"}"#.to_owned(),
    ]);
    lines
}

fn text() -> BoxedStrategy<String> {
    // After a name and a zero byte an index holds the kind of a record (2 to 4: user, namespace, project) and its id.
    let into_the_index = (prop::sample::select(vec!["zoe", "zoe/p"]), 2..5_u8, 0..8_usize)
        .prop_map(|(name, kind, zeros)| format!("{name}\0{}{}", char::from(kind), "\0".repeat(zeros)));
    prop_oneof![
        6 => prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned),
        8 => into_the_index,
        1 => (0..20_u64).prop_map(ed25519_public_key),
        1 => (0..20_u64).prop_map(|number| ed25519_public_key(number).split(' ').nth(1).unwrap_or_default().to_owned()),
        1 => any::<String>(),
        1 => prop::collection::vec(0..0x80_u8, 0..8).prop_map(|bytes| bytes.into_iter().map(char::from).collect()),
        1 => Just("x".repeat(5000)),
    ]
    .boxed()
}

fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        8 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => prop::sample::select(vec![0, 1, 11, u64::MAX, 1 << 63, (1 << 63) - 1]).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

fn name() -> BoxedStrategy<String> {
    // Who asks for what comes as often as all the rest.
    let all_names: Vec<_> = KNOWN_PARAMS.into_iter().filter(|name| *name != SHARED_SECRET_PARAMETER).chain(OTHER_NAMES).collect();
    let names = prop_oneof![prop::sample::select(KNOWN_PARAMS[..ACCESS_NAMES].to_vec()), prop::sample::select(all_names)];
    prop_oneof![30 => names.prop_map(str::to_owned), 1 => text()].boxed()
}

/// Parameters as gitlab-shell sends them, of which some are replaced, left out or added.
fn params() -> BoxedStrategy<Map<String, Value>> {
    let usual = json!({"key_id": "11", "project": "zoe/p", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any",
        "gl_repository": null, "name": "t", "scopes": ["api"], "project_id": 1, "public_key": "11", "agent_id": 1});
    let usual = usual.as_object().cloned().unwrap_or_default();
    let start = prop_oneof![Just(usual), Just(Map::new())];
    (start, prop::collection::vec((name(), value()), 0..4), prop::option::of(name()))
        .prop_map(|(mut params, replaced, left_out)| {
            params.extend(replaced);
            if let Some(name) = left_out {
                params.remove(&name);
            }
            params
        })
        .boxed()
}

fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn encode_form(params: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pair = |(name, value): (&String, &Value)| format!("{}={}", percent_encode(name), percent_encode(&text(value)));
    params.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A request to a route, by its index in the table.
#[derive(Clone, Debug)]
struct ArbitraryRequest {
    route: usize,
    segments: Vec<String>,
    query: String,
    content_type: &'static str,
    body: Vec<u8>,
}

fn arbitrary_request() -> impl Strategy<Value = ArbitraryRequest> {
    let query = prop_oneof![
        8 => Just(String::new()),
        3 => params().prop_map(|params| encode_form(&params)),
        1 => "[!-~]{0,40}".prop_map(|query| query.replace('#', "+")),
    ];
    let body = prop_oneof![
        6 => params().prop_map(|params| ("application/json", Value::Object(params).to_string().into_bytes())),
        2 => params().prop_map(|params| ("application/x-www-form-urlencoded", encode_form(&params).into_bytes())),
        1 => value().prop_map(|value| ("application/json", value.to_string().into_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| ("application/json", bytes)),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| ("text/odd; charset=latin1", bytes)),
        2 => Just(("application/json", Vec::new())),
    ];
    // What decides who gets in comes as often as all the rest.
    let allowed = ROUTES.iter().position(|route| route.name == "internal/allowed").unwrap_or_default();
    let route = prop_oneof![Just(allowed), 0..6_usize, 0..ROUTES.len()];
    (route, prop::collection::vec(text(), 2), query, body).prop_map(|(route, segments, query, (content_type, body))| ArbitraryRequest {
        route,
        segments,
        query,
        content_type,
        body,
    })
}

/// Sends a request with every credential that there is, and checks the answer. Returns whether the operator has changed the directory.
async fn check_answer(state: &Arc<PrimaryState>, request: &ArbitraryRequest) -> Result<bool, TestCaseError> {
    let route = &ROUTES[request.route];
    let mut segments = request.segments.iter();
    let fill =
        |part: &str| if part.starts_with(':') { percent_encode(segments.next().map_or("", String::as_str)) } else { part.to_owned() };
    let path = route.path.split('/').map(fill).collect::<Vec<_>>().join("/");
    let root = if route.path.starts_with("-/") { "" } else { "/api/v4" };
    let now = clock::wall_time();
    let built = http::Request::builder()
        .method(route.method.clone().unwrap_or(Method::GET))
        .uri(format!("{root}/{path}?{}", request.query))
        .header("content-type", request.content_type)
        .header("gitlab-shell-api-request", issue_token(Issuer::GitlabShell, None, &secret(SHELL_SECRET), now))
        .header("sidegate-sync-request", issue_token(Issuer::Follower, Some(HOST), &secret(SYNC_SECRET), now))
        .header("gitlab-kas-api-request", issue_token(Issuer::Kas, None, &secret(KAS_SECRET), now))
        .header("gitlab-error-tracking-token", ERROR_TRACKING_TOKEN)
        .header("private-token", ADMIN_TOKEN)
        .header("gitlab-agent-api-request", AGENT_TOKEN)
        .body(());
    // What is no target for the HTTP library does not reach the primary.
    let Ok((parts, ())) = built.map(http::Request::into_parts) else { return Ok(false) };
    let body = IncomingBody::from_bytes(Bytes::from(request.body.clone()));
    let response = state.handle(Request { peer: Peer::Unix { uid: own_uid(), gid: 0 }, parts, body }).await;
    let status = response.status;
    prop_assert!(!status.is_server_error(), "{} {}: {status}", route.path, String::from_utf8_lossy(&request.body));
    if status.is_client_error() {
        let body = http_body_util::BodyExt::collect(response.body).await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        prop_assert!(!body["message"].is_null(), "{}: {status} {body} has no message", route.path);
        let refused_access = route.name == "internal/allowed" && status != StatusCode::UNAUTHORIZED;
        prop_assert!(!refused_access || body["status"] == false, "{}: {status} {body} has no status", route.path);
    }
    Ok(status.is_success() && route.auth == RequiredAuth::Operator && route.method == Some(Method::POST))
}

#[test]
fn no_request_is_answered_with_a_5xx_and_every_refusal_has_a_message() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = PrimaryState::open(sample_options(folder.path())).unwrap();
    runtime.block_on(apply(&state, "", &directory()));
    let mut runner = TestRunner::new(ProptestConfig { cases: 10_000, ..ProptestConfig::default() });
    let result = runner.run(&arbitrary_request(), |request| {
        runtime.block_on(async {
            if check_answer(&state, &request).await? {
                apply(&state, "", &directory()).await;
            }
            Ok(())
        })
    });
    result.unwrap();
}

#[tokio::test]
async fn a_zero_byte_after_a_name_finds_nothing_and_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let state = PrimaryState::open(sample_options(folder.path())).unwrap();
    apply(&state, "", &directory()).await;
    for kind in 0..20_u8 {
        for zeros in 0..8 {
            let after = format!("\0{}{}", char::from(kind), "\0".repeat(zeros));
            let project = json!({"key_id": 11, "project": format!("zoe/p{after}"), "action": "git-upload-pack", "protocol": "ssh"});
            let (status, body) = call(&state, "internal/allowed", &project).await;
            assert_eq!((status, &body["status"]), (StatusCode::NOT_FOUND, &json!(false)), "{project}: {body}");
            let push = json!({"key_id": 11, "project": format!("zoe{after}/fresh"), "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
            let (status, body) = call(&state, "internal/allowed", &push).await;
            assert_eq!((status, &body["status"]), (StatusCode::NOT_FOUND, &json!(false)), "{push}: {body}");
            let (status, user) = get(&state, &format!("internal/discover?username={}", percent_encode(&format!("zoe{after}")))).await;
            assert_eq!((status, user), (StatusCode::OK, Value::Null), "zoe{after:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_a_status_where_access_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let state = PrimaryState::open(sample_options(folder.path())).unwrap();
    let needs_storage = [r#"{"kind":"storage""#, r#""relative_path""#, r#""project_id""#];
    let lines: Vec<_> = directory().into_iter().filter(|line| !needs_storage.iter().any(|part| line.contains(part))).collect();
    apply(&state, "", &lines).await;
    let push =
        |key: Value| json!({"key_id": key, "project": "zoe/fresh", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    for (question, status, reason) in [
        (push(json!(11)), 422, "there is no storage `default`"),
        (push(json!({"a": 1})), 400, "key_id"),
        (push(json!("9223372036854775808")), 404, "could not be found"),
        (json!(["no object"]), 400, "body"),
        (json!({"key_id": 11, "gitaly_client_context_bin": "{"}), 400, "gitaly_client_context_bin"),
        (json!({"key_id": 11, "gitaly_client_context_bin": "eyJzY29wZWQtdXNlci1pZCI6Ijk5In0="}), 404, "404 User Not Found"),
    ] {
        let (given, body) = call(&state, "internal/allowed", &question).await;
        assert_eq!((given.as_u16(), &body["status"]), (status, &json!(false)), "{question}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| message.contains(reason)), "{question}: {body}");
    }
}

/// No file brings one, but a store of before may hold one, or the storage has an address that is none.
#[tokio::test]
async fn a_repository_whose_storage_is_not_in_the_directory_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let state = PrimaryState::open(sample_options(folder.path())).unwrap();
    apply(&state, "", &directory()).await;
    let line = r#"{"kind":"project","id":9,"namespace_id":1,"path":"zoe/lost","name":"p","storage":"gone","relative_path":"9.git"}"#;
    let entry = Entry::parse(line).unwrap();
    state.writer.commit("test", move |_| Ok::<_, ApiError>((vec![Change::Put(entry)], ()))).await.unwrap();
    for action in ["git-upload-pack", "git-receive-pack"] {
        for protocol in ["ssh", "http"] {
            let question = json!({"key_id": 11, "project": "zoe/lost", "action": action, "protocol": protocol, "changes": "_any"});
            let (status, body) = call(&state, "internal/allowed", &question).await;
            let refused =
                json!({"status": false, "message": "The storage of this repository is not known. Please ask your administrator."});
            assert_eq!((status, body), (StatusCode::UNPROCESSABLE_ENTITY, refused), "{question}");
        }
    }
}
