//! What is counted of answers: by journey, by where they came from, by status; how long they took; refusals by reason.
//!
//! Counting is on the path of every lookup: each counter is looked up once, when it first counts, and kept in a table.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::clock;
use crate::net::message::Response;
use crate::sidecar::config::ReplicaControl;
use crate::sidecar::routes::ApiEndpoint;
use crate::sidecar::state::RequestTime;

/// Why a request did not pass the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum RejectionReason {
    Path,
    Peer,
    Token,
    /// No room for the body of one who is not believed yet.
    NoMemory,
}

/// Where an answer came from.
const ANSWER_SOURCES: [&str; 4] = ["local", "cached", "forwarded", "none"];
/// What it came to.
const ANSWER_OUTCOMES: [&str; 5] = ["success", "refused", "degraded", "outage", "fault"];
const REJECTION_REASONS: [RejectionReason; 4] =
    [RejectionReason::Path, RejectionReason::Peer, RejectionReason::Token, RejectionReason::NoMemory];
const LATENCY_BUCKETS: [f64; 12] = [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    endpoint: &'static str,
    source: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

/// All that is counted.
pub(in crate::sidecar) struct SidecarMetrics {
    registry: Mutex<Registry>,
    answer_family: Family<AnswerLabels, Counter>,
    answer_counters: Vec<OnceLock<Counter>>,
    latency_histograms: Vec<Histogram>,
    rejection_counters: Vec<Counter>,
    last_warning_second: AtomicU64,
}

impl SidecarMetrics {
    pub fn new(levers: &ReplicaControl) -> Self {
        let mut registry = Registry::default();
        let answers: Family<AnswerLabels, Counter> = Family::default();
        let seconds: Family<EndpointLabel, Histogram> = Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS));
        let refusals: Family<ReasonLabel, Counter> = Family::default();
        registry.register("sidegate_answers", "Answers by endpoint, source and outcome", answers.clone());
        registry.register("sidegate_answer_seconds", "Seconds from the head of a request to its answer", seconds.clone());
        registry.register("sidegate_refusals", "Requests that did not pass the gate, by reason", refusals.clone());
        (levers.register_metrics)(&mut registry);
        Self {
            answer_family: answers,
            answer_counters: (0..ApiEndpoint::ALL.len() * ANSWER_SOURCES.len() * ANSWER_OUTCOMES.len()).map(|_| OnceLock::new()).collect(),
            latency_histograms: ApiEndpoint::ALL
                .iter()
                .map(|journey| seconds.get_or_create(&EndpointLabel { endpoint: journey.name() }).clone())
                .collect(),
            rejection_counters: REJECTION_REASONS
                .iter()
                .map(|reason| refusals.get_or_create(&ReasonLabel { reason: reason.label() }).clone())
                .collect(),
            registry: Mutex::new(registry),
            last_warning_second: AtomicU64::new(0),
        }
    }

    /// Counts an answer.
    pub fn count_answer(&self, journey: ApiEndpoint, reply: &Response, begun: RequestTime) {
        let (source, outcome) = (source_index(reply), outcome_index(reply));
        let place = (journey as usize * ANSWER_SOURCES.len() + source) * ANSWER_OUTCOMES.len() + outcome;
        if let Some(counter) = self.answer_counters.get(place) {
            let label = || AnswerLabels { endpoint: journey.name(), source: ANSWER_SOURCES[source], outcome: ANSWER_OUTCOMES[outcome] };
            counter.get_or_init(|| self.answer_family.get_or_create(&label()).clone()).inc();
        }
        if let Some(histogram) = self.latency_histograms.get(journey as usize) {
            histogram.observe(clock::boot_time().since(begun.boot).as_secs_f64());
        }
    }

    /// Counts a refusal at the gate, and says it in the log, at most once a second.
    pub fn count_rejection(&self, journey: ApiEndpoint, reason: RejectionReason, text: &str) {
        if let Some(counter) = self.rejection_counters.get(reason as usize) {
            counter.inc();
        }
        let second = clock::boot_time().0.max(Duration::from_secs(1)).as_secs();
        if self.last_warning_second.swap(second, std::sync::atomic::Ordering::Relaxed) != second {
            tracing::warn!(endpoint = journey.name(), reason = reason.label(), detail = text, "a request was refused at the gate");
        }
    }

    /// Everything as text.
    pub fn encode_text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl RejectionReason {
    /// Its word in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Peer => "peer",
            Self::Token => "token",
            Self::NoMemory => "no_room",
        }
    }
}

fn source_index(reply: &Response) -> usize {
    let said = reply.headers.get("x-sidegate-answer").map(http::HeaderValue::as_bytes);
    ANSWER_SOURCES.iter().position(|word| said == Some(word.as_bytes())).unwrap_or(ANSWER_SOURCES.len() - 1)
}

fn outcome_index(reply: &Response) -> usize {
    let degraded = reply.headers.contains_key("x-sidegate-degraded");
    match reply.status.as_u16() {
        424 | 501 | 503 => 3,
        _ if degraded => 2,
        500.. => 4,
        400..=499 => 1,
        _ => 0,
    }
}
