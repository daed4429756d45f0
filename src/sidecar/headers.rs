//! The headers by which an answer says where it comes from, and those that are never passed on.

use http::header::{self, HeaderMap, HeaderName};

use crate::net::message::Response;
use crate::sidecar::cached_view::Age;

const ANSWER_HEADER: &str = "x-sidegate-answer";
const AGE_HEADER: &str = "x-sidegate-age";
const DEGRADED_HEADER: &str = "x-sidegate-degraded";
/// Marks a request that a sidecar sends on.
pub(in crate::sidecar) const FORWARDED_HEADER: &str = "x-sidegate-forwarded";

/// Headers of one connection, and those that we write ourselves or must not show to the other side.
const HOP_OR_SECRET_HEADERS: [&str; 14] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "host",
    "expect",
    "gitlab-shell-api-request",
    "gitlab-shared-secret",
];
/// What of the primary's answer nobody may act on: a client would wait, go elsewhere, or keep a session.
const STRIPPED_RESPONSE_HEADERS: [&str; 3] = ["retry-after", "location", "set-cookie"];

/// Said from what is held here.
pub(in crate::sidecar) fn mark_local(reply: Response, age: Age) -> Response {
    set_age(reply.with_header(ANSWER_HEADER, "local"), age)
}

/// Said from an answer that the primary gave before.
pub(in crate::sidecar) fn mark_cached(reply: Response, age: Age) -> Response {
    set_age(reply.with_header(ANSWER_HEADER, "cached"), age)
}

/// Said by the primary just now.
pub(in crate::sidecar) fn mark_forwarded(reply: Response) -> Response {
    reply.with_header(ANSWER_HEADER, "forwarded")
}

/// Said while the primary cannot be asked.
pub(in crate::sidecar) fn mark_degraded(reply: Response) -> Response {
    reply.with_header(DEGRADED_HEADER, "primary-unreachable")
}

fn set_age(reply: Response, age: Age) -> Response {
    match age.whole_seconds() {
        0 => reply.with_header(AGE_HEADER, "0"),
        seconds => reply.with_header(AGE_HEADER, &seconds.to_string()),
    }
}

/// The headers of a request or an answer that travel end to end.
pub(in crate::sidecar) fn end_to_end_headers(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    let stays = |name: &HeaderName| {
        let name = name.as_str();
        !HOP_OR_SECRET_HEADERS.contains(&name) && !name.starts_with("x-sidegate-") && !named.iter().any(|word| word == name)
    };
    headers.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The headers of the primary's answer that are relayed.
pub(in crate::sidecar) fn relayable_response_headers(headers: &HeaderMap) -> HeaderMap {
    let mut kept = end_to_end_headers(headers);
    for name in STRIPPED_RESPONSE_HEADERS {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{end_to_end_headers, relayable_response_headers};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hop_by_hop_and_secret_headers_are_removed() {
        let sent = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("gitlab-shell-api-request", "token"),
            ("gitlab-shared-secret", "secret"),
            ("host", "unix"),
            ("x-sidegate-forwarded", "no"),
            ("private-token", "kept"),
        ]);
        assert_eq!(end_to_end_headers(&sent), headers(&[("private-token", "kept")]));
    }

    #[test]
    fn retry_and_redirect_headers_are_not_relayed() {
        let answered = headers(&[("retry-after", "9"), ("location", "/"), ("set-cookie", "a=b"), ("content-type", "application/json")]);
        assert_eq!(relayable_response_headers(&answered), headers(&[("content-type", "application/json")]));
    }
}
