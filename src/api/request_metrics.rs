//! What is counted of requests, the same at each daemon: responses by endpoint, how long they took, and refusals by reason.
//!
//! Counting is on the path of every request: each counter is looked up once, when it first counts, and then kept by its place. The counters of
//! what an alert is about are there from the start, at zero, so that the first failure is seen as a change.

use std::sync::OnceLock;

use http::HeaderValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::error::RejectionKind;
use crate::api::request::RequestTime;
use crate::api::response_headers::{ANSWER_HEADER, DEGRADED_HEADER};
use crate::model::clock;
use crate::net::message::Response;

/// The upper bounds of the buckets of latency, in seconds; 150 ms and 2 s are the defaults of `freshness.hedge` and `primary.timeout`.
const LATENCY_BUCKETS: [f64; 10] = [0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.15, 0.5, 2.0, 10.0];
/// Where a response came from.
const SOURCES: [&str; 4] = ["local", "cached", "forwarded", "none"];
/// What it came to.
const OUTCOMES: [&str; 6] = ["success", "refused", "degraded", "outage", "fault", "abandoned"];
/// The place of a request whose caller hung up before it was answered.
const ABANDONED: usize = OUTCOMES.len() - 1;
/// The outcomes that are shown from the start.
const FAILURES: [usize; 3] = [3, 4, ABANDONED];
/// The place among [`SOURCES`] of what came from nowhere.
const NO_SOURCE: usize = SOURCES.len() - 1;
const SLOTS: usize = SOURCES.len() * OUTCOMES.len();
/// Why requests are refused before their handler, as far as that is shown from the start.
const REFUSALS: [(RejectionKind, &str); 10] = [
    (RejectionKind::Path, "bad path"),
    (RejectionKind::Peer, "peer"),
    (RejectionKind::Token, "no token"),
    (RejectionKind::Token, "malformed"),
    (RejectionKind::Token, "wrong signature"),
    (RejectionKind::Token, "wrong issuer"),
    (RejectionKind::Token, "expired"),
    (RejectionKind::Token, "from the future"),
    (RejectionKind::Token, "wrong secret"),
    (RejectionKind::NoMemory, "no room"),
];

/// How many endpoints are counted; a table of routes has fewer.
pub const MAX_ENDPOINTS: usize = 128;

/// Where a response is counted: a route by its place in the table, or a request that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    index: usize,
    /// Its name in metrics and logs.
    pub name: &'static str,
}

impl Endpoint {
    /// A path that is refused.
    pub const BAD_PATH: Self = Self { index: 0, name: "bad path" };
    /// A path or method that no route has.
    pub const UNKNOWN: Self = Self { index: 1, name: "unknown" };

    /// Returns that of the route at a place in the table.
    #[must_use]
    pub const fn new(route_index: usize, name: &'static str) -> Self {
        Self { index: route_index + 2, name }
    }
}

type ResponseLabels = [(&'static str, &'static str); 3];
type EndpointLabel = [(&'static str, &'static str); 1];
type RefusalLabels = [(&'static str, &'static str); 2];

/// The counters of one daemon.
pub struct RequestMetrics {
    responses: Family<ResponseLabels, Counter>,
    seconds: Family<EndpointLabel, Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    endpoints: Box<[OnceLock<EndpointMetrics>]>,
}

struct EndpointMetrics {
    seconds: Histogram,
    responses: [OnceLock<Counter>; SLOTS],
}

impl RequestMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            responses: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            refusals: Family::default(),
            endpoints: (0..MAX_ENDPOINTS).map(|_| OnceLock::new()).collect(),
        };
        for (kind, reason) in REFUSALS {
            drop(metrics.refusals.get_or_create(&refusal_labels(kind, reason)));
        }
        registry.register(
            "sidegate_answers",
            "Requests by endpoint, where the answer came from, and what it was",
            metrics.responses.clone(),
        );
        registry.register("sidegate_answer_seconds", "Seconds from the head of a request to its answer", metrics.seconds.clone());
        registry.register("sidegate_refusals", "Requests refused before their handler, by check and reason", metrics.refusals.clone());
        metrics
    }

    /// Shows the failures of these endpoints from now on, at zero.
    pub fn show_endpoints(&self, names: impl IntoIterator<Item = &'static str>) {
        for endpoint in names {
            for outcome in FAILURES {
                drop(self.responses.get_or_create(&response_labels(endpoint, NO_SOURCE, outcome)));
            }
        }
    }

    /// Counts a response, and how long it took.
    pub fn count_response(&self, endpoint: Endpoint, response: &Response, time: RequestTime) {
        let Some(own) = self.count(endpoint, source_index(response), outcome_index(response)) else { return };
        own.seconds.observe(clock::boot_time().since(time.boot).as_secs_f64());
    }

    /// Counts a request whose caller hung up before it was answered.
    pub fn count_abandoned(&self, endpoint: Endpoint) {
        self.count(endpoint, NO_SOURCE, ABANDONED);
    }

    fn count(&self, endpoint: Endpoint, source: usize, outcome: usize) -> Option<&EndpointMetrics> {
        let own = self.endpoints.get(endpoint.index)?.get_or_init(|| EndpointMetrics {
            seconds: self.seconds.get_or_create_owned(&[("endpoint", endpoint.name)]),
            responses: std::array::from_fn(|_| OnceLock::new()),
        });
        let counter = own.responses.get(source * OUTCOMES.len() + outcome)?;
        counter.get_or_init(|| self.responses.get_or_create_owned(&response_labels(endpoint.name, source, outcome))).inc();
        Some(own)
    }

    /// Counts a request that was refused before its handler.
    pub fn count_rejection(&self, kind: RejectionKind, reason: &'static str) {
        self.refusals.get_or_create(&refusal_labels(kind, reason)).inc();
    }

    /// Counts a token that a handler refused, which judges tokens of its own.
    pub fn count_refused_token(&self, reason: &'static str) {
        self.count_rejection(RejectionKind::Token, reason);
    }
}

fn response_labels(endpoint: &'static str, source: usize, outcome: usize) -> ResponseLabels {
    let name = |names: &[&'static str], index: usize| names.get(index).copied().unwrap_or_default();
    [("endpoint", endpoint), ("source", name(&SOURCES, source)), ("outcome", name(&OUTCOMES, outcome))]
}

const fn refusal_labels(kind: RejectionKind, reason: &'static str) -> RefusalLabels {
    [("kind", kind.as_str()), ("reason", reason)]
}

fn source_index(response: &Response) -> usize {
    let source = response.headers.get(ANSWER_HEADER).map(HeaderValue::as_bytes);
    SOURCES.iter().position(|name| source == Some(name.as_bytes())).unwrap_or(SOURCES.len() - 1)
}

fn outcome_index(response: &Response) -> usize {
    let degraded = response.headers.contains_key(DEGRADED_HEADER);
    match response.status.as_u16() {
        424 | 501 | 503 => 3,
        _ if degraded => 2,
        500.. => 4,
        400..=499 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::{Endpoint, MAX_ENDPOINTS, RequestMetrics};
    use crate::api::error::RejectionKind;
    use crate::api::request::RequestTime;
    use crate::api::response_headers::{mark_degraded, mark_local};
    use crate::net::message::Response;

    fn counted(count: impl Fn(&RequestMetrics)) -> String {
        let mut registry = Registry::default();
        count(&RequestMetrics::register(&mut registry));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    fn ok() -> Response {
        Response::empty(StatusCode::OK)
    }

    #[test]
    fn responses_are_counted_by_source_and_outcome_and_refusals_by_kind_and_reason() {
        let text = counted(|metrics| {
            for response in [mark_local(ok(), None), mark_degraded(mark_local(ok(), None)), Response::empty(StatusCode::NOT_FOUND)] {
                metrics.count_response(Endpoint::new(0, "discover"), &response, RequestTime::now());
            }
            metrics.count_abandoned(Endpoint::new(0, "discover"));
            metrics.count_rejection(RejectionKind::NoMemory, "no room");
            metrics.count_refused_token("expired");
        });
        for (source, outcome) in [("local", "success"), ("local", "degraded"), ("none", "refused"), ("none", "abandoned")] {
            let line = format!(r#"sidegate_answers_total{{endpoint="discover",source="{source}",outcome="{outcome}"}} 1"#);
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(text.contains(r#"sidegate_answer_seconds_count{endpoint="discover"} 3"#), "an abandoned one took no time: {text}");
        assert!(text.contains(r#"sidegate_refusals_total{kind="no_room",reason="no room"} 1"#), "{text}");
        assert!(text.contains(r#"sidegate_refusals_total{kind="token",reason="expired"} 1"#), "{text}");
    }

    #[test]
    fn failures_are_there_at_zero_before_the_first_request_and_buckets_are_not() {
        let text = counted(|metrics| metrics.show_endpoints(["discover", "allowed", "discover"]));
        for endpoint in ["discover", "allowed"] {
            for outcome in ["outage", "fault", "abandoned"] {
                let line = format!(r#"sidegate_answers_total{{endpoint="{endpoint}",source="none",outcome="{outcome}"}} 0"#);
                assert_eq!(text.matches(&line).count(), 1, "{line}\n{text}");
            }
        }
        assert!(text.contains(r#"sidegate_refusals_total{kind="token",reason="wrong signature"} 0"#), "{text}");
        assert!(!text.contains("_bucket"), "{text}");
    }

    #[test]
    fn an_endpoint_beyond_the_table_is_not_counted() {
        let text = counted(|metrics| {
            metrics.count_response(Endpoint::new(MAX_ENDPOINTS, "beyond"), &ok(), RequestTime::now());
        });
        assert!(!text.contains("beyond"), "{text}");
    }
}
