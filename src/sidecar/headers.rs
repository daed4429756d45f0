//! The headers by which an answer says where it comes from, and those that are never passed on.

use http::header::{self, HeaderMap, HeaderName};

use crate::net::message::Reply;
use crate::sidecar::known::Age;

const ANSWER: &str = "x-sidegate-answer";
const AGE: &str = "x-sidegate-age";
const DEGRADED: &str = "x-sidegate-degraded";
/// Marks a request that a sidecar sends on.
pub(in crate::sidecar) const FORWARDED: &str = "x-sidegate-forwarded";

/// Headers of one connection, and those that we write ourselves or must not show to the other side.
const NEVER_SENT_ON: [&str; 14] = [
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
const NEVER_RELAYED: [&str; 3] = ["retry-after", "location", "set-cookie"];

/// Said from what is held here.
pub(in crate::sidecar) fn local(reply: Reply, age: Age) -> Reply {
    aged(reply.with(ANSWER, "local"), age)
}

/// Said from an answer that the primary gave before.
pub(in crate::sidecar) fn cached(reply: Reply, age: Age) -> Reply {
    aged(reply.with(ANSWER, "cached"), age)
}

/// Said by the primary just now.
pub(in crate::sidecar) fn forwarded(reply: Reply) -> Reply {
    reply.with(ANSWER, "forwarded")
}

/// Said while the primary cannot be asked.
pub(in crate::sidecar) fn degraded(reply: Reply) -> Reply {
    reply.with(DEGRADED, "primary-unreachable")
}

fn aged(reply: Reply, age: Age) -> Reply {
    match age.seconds() {
        0 => reply.with(AGE, "0"),
        seconds => reply.with(AGE, &seconds.to_string()),
    }
}

/// The headers of a request or an answer that travel end to end.
pub(in crate::sidecar) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    let stays = |name: &HeaderName| {
        let name = name.as_str();
        !NEVER_SENT_ON.contains(&name) && !name.starts_with("x-sidegate-") && !named.iter().any(|word| word == name)
    };
    headers.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The headers of the primary's answer that are relayed.
pub(in crate::sidecar) fn relayed(headers: &HeaderMap) -> HeaderMap {
    let mut kept = end_to_end(headers);
    for name in NEVER_RELAYED {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{end_to_end, relayed};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_belongs_to_one_connection_or_to_the_callers_secret_stays_behind() {
        let sent = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("gitlab-shell-api-request", "token"),
            ("gitlab-shared-secret", "secret"),
            ("host", "unix"),
            ("x-sidegate-forwarded", "no"),
            ("private-token", "kept"),
        ]);
        assert_eq!(end_to_end(&sent), headers(&[("private-token", "kept")]));
    }

    #[test]
    fn an_answer_never_tells_a_client_to_wait_or_to_go_elsewhere() {
        let answered = headers(&[("retry-after", "9"), ("location", "/"), ("set-cookie", "a=b"), ("content-type", "application/json")]);
        assert_eq!(relayed(&answered), headers(&[("content-type", "application/json")]));
    }
}
