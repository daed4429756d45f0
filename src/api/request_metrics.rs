//! What is counted of requests: responses by endpoint, how long they took, and refusals by reason.
//!
//! Counting is on the path of every request: each counter is looked up once, when it first counts, and then kept by its place.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::error::{ApiError, HandlerResult, RejectionKind};
use crate::api::request::RequestTime;
use crate::api::response_headers::{ANSWER_HEADER, DEGRADED_HEADER};
use crate::model::clock;
use crate::net::body::OutgoingBody;
use crate::net::message::Response;

/// The upper bounds of the buckets of latency, in seconds.
const LATENCY_BUCKETS: [f64; 15] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 10.0];
/// Where a response came from.
const SOURCES: [&str; 4] = ["local", "cached", "forwarded", "none"];
/// What it came to.
const OUTCOMES: [&str; 5] = ["success", "refused", "degraded", "outage", "fault"];
const OPENMETRICS_TYPE: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// How many endpoints are counted; a table of routes has fewer.
pub const MAX_ENDPOINTS: usize = 128;

/// What a daemon's metrics of requests are called, and by what its responses are told apart.
#[derive(Clone, Copy, Debug)]
pub struct MetricSchema {
    /// The counter of responses.
    pub responses: &'static str,
    /// The histogram of their latency.
    pub seconds: &'static str,
    /// The counter of refusals.
    pub refusals: &'static str,
    /// The labels of responses and refusals.
    pub labels: MetricLabels,
}

/// By what responses and refusals are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricLabels {
    /// Responses by where they come from and what they came to; refusals by kind.
    SourceAndOutcome,
    /// Responses by status; refusals by the reason in a few words.
    Status,
}

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

type Labels = Vec<(&'static str, String)>;

/// The counters of one daemon.
pub struct RequestMetrics {
    labels: MetricLabels,
    responses: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram>,
    refusals: Family<Labels, Counter>,
    endpoints: Box<[OnceLock<EndpointMetrics>]>,
}

struct EndpointMetrics {
    seconds: Histogram,
    responses: Box<[OnceLock<Counter>]>,
}

impl RequestMetrics {
    /// Registers the counters, all at zero.
    #[must_use]
    pub fn register(schema: MetricSchema, registry: &mut Registry) -> Self {
        let metrics = Self {
            labels: schema.labels,
            responses: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            refusals: Family::default(),
            endpoints: (0..MAX_ENDPOINTS).map(|_| OnceLock::new()).collect(),
        };
        registry.register(schema.responses, "Responses by endpoint", metrics.responses.clone());
        registry.register(schema.seconds, "Seconds from the head of a request to its response", metrics.seconds.clone());
        registry.register(schema.refusals, "Requests refused before their handler, by reason", metrics.refusals.clone());
        metrics
    }

    /// Counts a response, and how long it took.
    pub fn count_response(&self, endpoint: Endpoint, response: &Response, time: RequestTime) {
        let Some(own) = self.endpoints.get(endpoint.index) else { return };
        let own = own.get_or_init(|| EndpointMetrics {
            seconds: self.seconds.get_or_create_owned(&vec![("endpoint", endpoint.name.to_owned())]),
            responses: (0..self.labels.slots()).map(|_| OnceLock::new()).collect(),
        });
        if let Some(counter) = own.responses.get(self.labels.slot(response)) {
            counter.get_or_init(|| self.responses.get_or_create_owned(&self.labels.of_response(endpoint, response))).inc();
        }
        own.seconds.observe(clock::boot_time().since(time.boot).as_secs_f64());
    }

    /// Counts a request that was refused before its handler.
    pub fn count_rejection(&self, kind: RejectionKind, reason: &'static str) {
        self.count_refusal(if self.labels == MetricLabels::Status { reason } else { kind.as_str() });
    }

    /// Counts a refusal under a reason, for a handler that judges tokens of its own.
    pub fn count_refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&vec![("reason", reason.to_owned())]).inc();
    }
}

impl MetricLabels {
    const fn slots(self) -> usize {
        match self {
            Self::SourceAndOutcome => SOURCES.len() * OUTCOMES.len(),
            Self::Status => 600,
        }
    }

    fn slot(self, response: &Response) -> usize {
        match self {
            Self::SourceAndOutcome => source_index(response) * OUTCOMES.len() + outcome_index(response),
            Self::Status => usize::from(response.status.as_u16()),
        }
    }

    fn of_response(self, endpoint: Endpoint, response: &Response) -> Labels {
        let mut labels = vec![("endpoint", endpoint.name.to_owned())];
        match self {
            Self::SourceAndOutcome => labels.extend([
                ("source", SOURCES[source_index(response)].to_owned()),
                ("outcome", OUTCOMES[outcome_index(response)].to_owned()),
            ]),
            Self::Status => labels.push(("status", response.status.as_str().to_owned())),
        }
        labels
    }
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

/// Answers with all that is counted, in the text format of OpenMetrics.
pub fn metrics_response(registry: &Registry) -> HandlerResult {
    let mut text = String::new();
    text::encode(&mut text, registry).map_err(ApiError::internal)?;
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, OPENMETRICS_TYPE)]);
    Ok(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_bytes(text) })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::{Endpoint, MAX_ENDPOINTS, MetricLabels, MetricSchema, RequestMetrics};
    use crate::api::error::RejectionKind;
    use crate::api::request::RequestTime;
    use crate::api::response_headers::{mark_degraded, mark_local};
    use crate::net::message::Response;

    fn counted(labels: MetricLabels, count: impl Fn(&RequestMetrics)) -> String {
        let mut registry = Registry::default();
        let schema = MetricSchema { responses: "answers", seconds: "seconds", refusals: "refusals", labels };
        count(&RequestMetrics::register(schema, &mut registry));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    fn ok() -> Response {
        Response::empty(StatusCode::OK)
    }

    #[test]
    fn responses_are_counted_by_status_and_refusals_by_reason() {
        let text = counted(MetricLabels::Status, |metrics| {
            metrics.count_response(Endpoint::new(0, "internal/check"), &ok(), RequestTime::now());
            metrics.count_rejection(RejectionKind::Token, "expired");
        });
        assert!(text.contains(r#"answers_total{endpoint="internal/check",status="200"} 1"#), "{text}");
        assert!(text.contains(r#"seconds_count{endpoint="internal/check"} 1"#), "{text}");
        assert!(text.contains(r#"refusals_total{reason="expired"} 1"#), "{text}");
    }

    #[test]
    fn responses_are_counted_by_source_and_outcome_and_refusals_by_kind() {
        let text = counted(MetricLabels::SourceAndOutcome, |metrics| {
            for response in [mark_local(ok(), None), mark_degraded(mark_local(ok(), None)), Response::empty(StatusCode::NOT_FOUND)] {
                metrics.count_response(Endpoint::new(0, "discover"), &response, RequestTime::now());
            }
            metrics.count_rejection(RejectionKind::NoMemory, "no room");
        });
        for (source, outcome) in [("local", "success"), ("local", "degraded"), ("none", "refused")] {
            let line = format!(r#"answers_total{{endpoint="discover",source="{source}",outcome="{outcome}"}} 1"#);
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(text.contains(r#"refusals_total{reason="no_room"} 1"#), "{text}");
    }

    #[test]
    fn an_endpoint_beyond_the_table_is_not_counted() {
        let text = counted(MetricLabels::Status, |metrics| {
            metrics.count_response(Endpoint::new(MAX_ENDPOINTS, "beyond"), &ok(), RequestTime::now());
        });
        assert!(!text.contains("beyond"), "{text}");
    }
}
