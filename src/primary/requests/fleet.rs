//! `GET /-/fleet`: how all hosts stand, as a page. For the operator on the Unix socket, and over TCP for whoever shows the token of
//! `auth.fleet_token_file`: as the password of HTTP Basic, which a browser asks for, with any user name, or as `Authorization: Bearer`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::api::standing_alarm::StandingAlarm;
use crate::model::time::Time;
use crate::net::body::OutgoingBody;
use crate::net::message::Response;
use crate::net::peer::Peer;
use crate::primary::authentication::authenticate_operator;
use crate::primary::fleet::overview::Overview;
use crate::primary::fleet::page;
use crate::primary::state::PrimaryState;

const CHALLENGE: &str = r#"Basic realm="sidegate fleet", charset="UTF-8""#;

/// Answers with the page. (`hosts=all` for every host)
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    answer(state, "primary", Vec::new(), request).await
}

/// Answers with the page of a daemon that publishes a feed, and has these alarms beside those of its store, sockets and hosts.
pub async fn answer(state: &PrimaryState, daemon: &'static str, alarms: Vec<StandingAlarm>, request: ApiRequest) -> HandlerResult {
    if let Peer::Tcp(_) = request.peer {
        if !shows_token(state, &request.headers, request.time.wall) {
            return Ok(ApiError::unauthorized().into_response().with_header("www-authenticate", CHALLENGE));
        }
    } else {
        authenticate_operator(state, &request.peer, &request.headers).map_err(|refused| refused.error)?;
    }
    request.ensure_readable()?;
    let all = request.params.text("hosts")?.is_some_and(|hosts| hosts == "all");
    let fleet = Overview::read(state, daemon, alarms, request.time).await?;
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))]);
    let body = OutgoingBody::from_bytes(Bytes::from(page::render(&fleet, all)));
    Ok(Response { status: StatusCode::OK, headers, body }
        .with_header("cache-control", "no-store")
        .with_header("content-security-policy", &page::content_security_policy())
        .with_header("x-content-type-options", "nosniff")
        .with_header("referrer-policy", "no-referrer"))
}

/// Returns whether a request shows the token. Without a configured token none does.
fn shows_token(state: &PrimaryState, headers: &HeaderMap, now: Time) -> bool {
    let (Some(secrets), Some(shown)) = (state.fleet_token.secrets(), shown_token(headers)) else { return false };
    secrets.matches_accepted(&shown, now)
}

fn shown_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, shown) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(shown.trim().as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(shown.trim()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::AUTHORIZATION;

    use super::shown_token;

    #[test]
    fn a_token_is_a_password_or_a_bearer_s() {
        let shown = |value: &str| {
            let headers: HeaderMap = [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect();
            shown_token(&headers).map(|token| String::from_utf8(token).unwrap())
        };
        assert_eq!(shown("Bearer secret:1").as_deref(), Some("secret:1"));
        // zoe:secret:1
        assert_eq!(shown("basic em9lOnNlY3JldDox").as_deref(), Some("secret:1"));
        // zoe
        for strange in ["Basic em9l", "Basic ***", "Digest x", "Bearer", ""] {
            assert_eq!(shown(strange), None, "{strange}");
        }
    }
}
