//! The fleet page: what it says of each host, what is in flight, and who gets it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use super::{OTHER_USER, SYNC_SECRET, admin, apply, handle, json_request, open, options, own_uid, secret, small_directory};
use crate::model::change::Head;
use crate::model::clock;
use crate::net::body::IncomingBody;
use crate::net::message::{Request, Response};
use crate::net::peer::Peer;
use crate::net::server::handler::Handler as _;
use crate::primary::config::PrimaryOptions;
use crate::primary::state::PrimaryState;
use crate::wire::auth::jwt::{Issuer, issue_token};

const FLEET_TOKEN: &str = "a token of the fleet page";

async fn send(state: &Arc<PrimaryState>, peer: Peer, request: http::Request<String>) -> Response {
    let (parts, body) = request.into_parts();
    state.handle(Request { peer, parts, body: IncomingBody::from_bytes(body.into()) }).await
}

async fn page(state: &Arc<PrimaryState>, query: &str) -> String {
    let request = http::Request::get(format!("/-/fleet{query}")).body(String::new()).unwrap();
    let (status, _, text) = read(send(state, Peer::Unix { uid: own_uid(), gid: 0 }, request).await).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

async fn read(response: Response) -> (StatusCode, HeaderMap, String) {
    let body = http_body_util::BodyExt::collect(response.body).await.unwrap().to_bytes();
    (response.status, response.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// Opens a host's stream, which is open until the response is dropped.
async fn follow(state: &Arc<PrimaryState>, host: &str, head: &Head) -> Response {
    let query = format!("epoch={}&after={}&digest={}&instance={host}&max_stale=3600", head.epoch, head.seq, head.state.digest);
    let request = http::Request::get(format!("/api/v4/internal/sidegate/changes?{query}"));
    let response = send(state, OTHER_USER, as_host(request, host).body(String::new()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
    response
}

fn as_host(request: http::request::Builder, host: &str) -> http::request::Builder {
    let token = issue_token(Issuer::Follower, Some(host), &secret(SYNC_SECRET), clock::wall_time());
    request.header("sidegate-sync-request", token).header("user-agent", "sidegate/9.8.7")
}

async fn ack(state: &Arc<PrimaryState>, host: &str, head: &Head, alarms: &str) {
    let request = json_request(Method::POST, "/api/v4/internal/sidegate/ack").header("x-sidegate-alarms", alarms);
    let body = json!({"epoch": head.epoch, "seq": head.seq, "digest": head.state.digest, "max_stale": 3600, "instance": host});
    let (status, answer) = handle(state, OTHER_USER, as_host(request, host).body(body.to_string()).unwrap()).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
}

async fn started() -> (TempDir, Arc<PrimaryState>) {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    (folder, state)
}

/// Returns the row of a host, without its tags.
fn row(page: &str, host: &str) -> String {
    let rows = page.split("<tr>").map(|row| row.split("</tr>").next().unwrap_or_default());
    let row = rows.into_iter().find(|row| row.starts_with("<th scope=\"row\" data-label=\"Host\"") && row.contains(&format!(">{host}<")));
    row.unwrap_or_else(|| panic!("no row of {host}: {page}"))
        .split('<')
        .filter_map(|tag| tag.split_once('>'))
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join("|")
}

#[tokio::test]
async fn a_host_s_row_says_how_far_it_is_and_what_is_wrong_with_it() {
    let (_folder, state) = started().await;
    let head = state.store.head();
    assert!(page(&state, "").await.contains("no host has followed yet"));
    let streams = [follow(&state, "ssh-1", &head).await, follow(&state, "ssh-2", &head).await, follow(&state, "ssh-3", &head).await];
    ack(&state, "ssh-1", &head, "").await;
    ack(&state, "ssh-2", &head, "drift,store").await;
    let text = page(&state, "").await;
    assert!(row(&text, "ssh-1").contains("following") && row(&text, "ssh-1").contains("9.8.7"), "{}", row(&text, "ssh-1"));
    assert!(row(&text, "ssh-2").contains("needs a look") && row(&text, "ssh-2").contains("drift, store"), "{}", row(&text, "ssh-2"));
    assert!(row(&text, "ssh-3").contains("behind") && row(&text, "ssh-3").contains("nothing confirmed yet"), "{}", row(&text, "ssh-3"));
    assert!(text.contains("1 host needs a look, 1 host behind"), "{text}");
    let place = |host: &str| text.find(&format!(">{host}<")).unwrap();
    assert!(place("ssh-2") < place("ssh-3") && place("ssh-3") < place("ssh-1"), "who needs a look is first");
    ack(&state, "ssh-2", &head, "").await;
    let mut closed = state.hosts.ack_events();
    drop(streams);
    while state.hosts.open_streams() > 0 {
        // A stream notices with its next line that nobody reads.
        closed.changed().await.unwrap();
    }
    let text = page(&state, "").await;
    assert!(row(&text, "ssh-2").contains("away") && !row(&text, "ssh-2").contains("drift"), "{}", row(&text, "ssh-2"));
}

const NOTHING_IN_FLIGHT: &str = "None: what was revoked is in force on every host that may answer.";

#[test]
fn a_revocation_is_in_flight_until_every_host_that_may_answer_has_confirmed_it_also_over_a_restart() {
    // With the end of a runtime all streams have ended.
    let (folder, after) = run(revoke_at_two_hosts());
    run(async {
        let state = open(folder.path());
        let text = page(&state, "").await;
        assert!(text.contains("key 11 is removed") && text.contains("user bob is blocked"), "{text}");
        ack(&state, "ssh-2", &after, "").await;
        assert!(page(&state, "").await.contains(NOTHING_IN_FLIGHT));
    });
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

async fn revoke_at_two_hosts() -> (TempDir, Head) {
    let (folder, state) = started().await;
    let before = state.store.head();
    let _streams = [follow(&state, "ssh-1", &before).await, follow(&state, "ssh-2", &before).await];
    ack(&state, "ssh-1", &before, "").await;
    ack(&state, "ssh-2", &before, "").await;
    assert!(page(&state, "").await.contains(NOTHING_IN_FLIGHT));
    assert_eq!(admin(&state, "revoke-key?id=11", String::new()).await.0, StatusCode::OK);
    assert_eq!(admin(&state, "block-user?username=bob", String::new()).await.0, StatusCode::OK);
    let text = page(&state, "").await;
    assert!(text.contains("key 11 is removed") && text.contains("user bob is blocked") && text.contains("ssh-1, ssh-2"), "{text}");
    assert!(!text.contains(NOTHING_IN_FLIGHT));
    let after = state.store.head();
    ack(&state, "ssh-1", &after, "").await;
    let text = page(&state, "").await;
    assert!(text.contains("key 11 is removed") && !text.contains("ssh-1, ssh-2"), "{text}");
    (folder, after)
}

#[tokio::test]
async fn what_is_not_known_of_a_host_is_not_called_in_force() {
    let (_folder, state) = started().await;
    let _stream = follow(&state, "ssh-1", &state.store.head()).await;
    let text = page(&state, "").await;
    assert!(text.contains("A host has confirmed nothing that is known here.") && !text.contains("None: what was revoked"), "{text}");
}

#[tokio::test]
async fn the_page_is_for_the_operator_and_for_who_shows_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let state = PrimaryState::open(PrimaryOptions { fleet_token: Some(secret(FLEET_TOKEN)), ..options(folder.path()) }).unwrap();
    let tcp = || Peer::Tcp("192.0.2.1:4000".parse().unwrap());
    let ask = async |peer: Peer, shown: Option<String>| {
        let request = http::Request::get("/-/fleet");
        let request = match shown {
            Some(shown) => request.header("authorization", shown),
            None => request,
        };
        read(send(&state, peer, request.body(String::new()).unwrap()).await).await
    };
    let basic = |token: &str| Some(format!("Basic {}", STANDARD.encode(format!("anybody:{token}"))));
    for shown in [basic(FLEET_TOKEN), Some(format!("Bearer {FLEET_TOKEN}"))] {
        let (status, headers, text) = ask(tcp(), shown).await;
        assert!(status == StatusCode::OK && text.contains("<h1>sidegate fleet</h1>"), "{status} {text}");
        assert_eq!(
            (headers["cache-control"].as_bytes(), headers["content-type"].as_bytes()),
            (&b"no-store"[..], &b"text/html; charset=utf-8"[..])
        );
    }
    for shown in [None, basic("wrong"), basic(""), Some("Bearer wrong".to_owned())] {
        let (status, headers, text) = ask(tcp(), shown).await;
        assert!(status == StatusCode::UNAUTHORIZED && headers["www-authenticate"].to_str().unwrap().starts_with("Basic"), "{status}");
        assert!(text.contains("message") && !text.contains("<html"), "{text}");
    }
    assert_eq!(ask(OTHER_USER, basic(FLEET_TOKEN)).await.0, StatusCode::FORBIDDEN, "on the socket the user counts");
    state.rotate_fleet_token(None);
    assert_eq!(ask(tcp(), basic(FLEET_TOKEN)).await.0, StatusCode::UNAUTHORIZED, "without a configured token nobody");
}

#[tokio::test]
async fn a_browser_runs_the_page_s_own_script_and_no_other() {
    let (_folder, state) = started().await;
    let _stream = follow(&state, "ssh-1", &state.store.head()).await;
    let request = http::Request::get("/-/fleet").body(String::new()).unwrap();
    let (_, headers, text) = read(send(&state, Peer::Unix { uid: own_uid(), gid: 0 }, request).await).await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let script = text.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let hash = STANDARD.encode(<sha2::Sha256 as sha2::Digest>::digest(script));
    assert!(policy.contains(&hash), "the browser would refuse the script");
    let style = text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(policy.contains(&STANDARD.encode(<sha2::Sha256 as sha2::Digest>::digest(style))), "the browser would refuse the style");
}
