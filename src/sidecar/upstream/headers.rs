//! Which headers of a request or a response are passed on.

use http::header::{self, HeaderMap, HeaderName};

use crate::api::response_headers::POSITION_HEADER;
use crate::model::change::CommitPosition;

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
/// Where a caller says that a request came from. Over the local socket it came from this host; whoever may open the socket could name any
/// address, and so be judged by the rules for it or hide behind it.
const ORIGIN_HEADERS: [&str; 6] = ["forwarded", "x-real-ip", "client-ip", "x-client-ip", "true-client-ip", "x-cluster-client-ip"];
/// The same, by the beginning of its name: `X-Forwarded-For`, `X-Forwarded-Host` and the rest.
const ORIGIN_HEADER_PREFIX: &str = "x-forwarded-";
/// Headers of the primary's response that no client may act on: it would wait, go elsewhere, or keep a session.
const STRIPPED_RESPONSE_HEADERS: [&str; 3] = ["retry-after", "location", "set-cookie"];

/// Returns the headers that travel end to end, without secrets and without ours.
fn end_to_end_headers(headers: &HeaderMap) -> HeaderMap {
    let connection_options: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .collect();
    let is_end_to_end = |name: &HeaderName| {
        let name = name.as_str();
        !HOP_OR_SECRET_HEADERS.contains(&name)
            && !name.starts_with("x-sidegate-")
            && !connection_options.iter().any(|option| option == name)
    };
    headers.iter().filter(|(name, _)| is_end_to_end(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns the headers of a caller's request that are passed on: those that travel end to end, without what it says of where it came from.
pub fn forwardable_request_headers(headers: &HeaderMap) -> HeaderMap {
    let mut forwarded = end_to_end_headers(headers);
    let origin: Vec<HeaderName> = forwarded
        .keys()
        .filter(|name| ORIGIN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with(ORIGIN_HEADER_PREFIX))
        .cloned()
        .collect();
    for name in origin {
        forwarded.remove(name);
    }
    forwarded
}

/// Returns the last commit that the primary knew of when it began to answer; `None` if it does not say.
pub fn decided_at(headers: &HeaderMap) -> Option<CommitPosition> {
    headers.get(POSITION_HEADER)?.to_str().ok()?.parse().ok()
}

/// Returns the headers of the primary's response that are relayed.
pub fn relayable_response_headers(headers: &HeaderMap) -> HeaderMap {
    let mut relayed = end_to_end_headers(headers);
    for name in STRIPPED_RESPONSE_HEADERS {
        relayed.remove(name);
    }
    relayed
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{end_to_end_headers, forwardable_request_headers, relayable_response_headers};

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
    fn what_a_caller_says_of_its_origin_is_not_forwarded() {
        let sent = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "a"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("client-ip", "10.0.0.1"),
            ("true-client-ip", "10.0.0.1"),
            ("x-request-id", "01ABC"),
        ]);
        assert_eq!(forwardable_request_headers(&sent), headers(&[("x-request-id", "01ABC")]));
    }

    #[test]
    fn retry_and_redirect_headers_are_not_relayed() {
        let answered = headers(&[("retry-after", "9"), ("location", "/"), ("set-cookie", "a=b"), ("content-type", "application/json")]);
        assert_eq!(relayable_response_headers(&answered), headers(&[("content-type", "application/json")]));
    }
}
