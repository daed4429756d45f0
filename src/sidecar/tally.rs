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
use crate::net::message::Reply;
use crate::sidecar::house::Moment;
use crate::sidecar::journey::Journey;
use crate::sidecar::setup::Levers;

/// Why a request did not pass the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Refused {
    Path,
    Peer,
    Token,
    /// No room for the body of one who is not believed yet.
    Room,
}

/// Where an answer came from.
const SOURCES: [&str; 4] = ["local", "cached", "forwarded", "none"];
/// What it came to.
const OUTCOMES: [&str; 5] = ["success", "refused", "degraded", "outage", "fault"];
const REFUSALS: [Refused; 4] = [Refused::Path, Refused::Peer, Refused::Token, Refused::Room];
const BUCKETS: [f64; 12] = [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    endpoint: &'static str,
    source: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: &'static str,
}

/// All that is counted.
pub(in crate::sidecar) struct Tally {
    registry: Mutex<Registry>,
    answers: Family<Answered, Counter>,
    table: Vec<OnceLock<Counter>>,
    seconds: Vec<Histogram>,
    refusals: Vec<Counter>,
    warned: AtomicU64,
}

impl Tally {
    pub fn new(levers: &Levers) -> Self {
        let mut registry = Registry::default();
        let answers: Family<Answered, Counter> = Family::default();
        let seconds: Family<Endpoint, Histogram> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let refusals: Family<Reason, Counter> = Family::default();
        registry.register("sidegate_answers", "Answers by endpoint, source and outcome", answers.clone());
        registry.register("sidegate_answer_seconds", "Seconds from the head of a request to its answer", seconds.clone());
        registry.register("sidegate_refusals", "Requests that did not pass the gate, by reason", refusals.clone());
        (levers.register)(&mut registry);
        Self {
            answers,
            table: (0..Journey::ALL.len() * SOURCES.len() * OUTCOMES.len()).map(|_| OnceLock::new()).collect(),
            seconds: Journey::ALL.iter().map(|journey| seconds.get_or_create(&Endpoint { endpoint: journey.name() }).clone()).collect(),
            refusals: REFUSALS.iter().map(|reason| refusals.get_or_create(&Reason { reason: reason.word() }).clone()).collect(),
            registry: Mutex::new(registry),
            warned: AtomicU64::new(0),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, journey: Journey, reply: &Reply, begun: Moment) {
        let (source, outcome) = (source(reply), outcome(reply));
        let place = (journey as usize * SOURCES.len() + source) * OUTCOMES.len() + outcome;
        if let Some(counter) = self.table.get(place) {
            let label = || Answered { endpoint: journey.name(), source: SOURCES[source], outcome: OUTCOMES[outcome] };
            counter.get_or_init(|| self.answers.get_or_create(&label()).clone()).inc();
        }
        if let Some(histogram) = self.seconds.get(journey as usize) {
            histogram.observe(clock::boot().since(begun.boot).as_secs_f64());
        }
    }

    /// Counts a refusal at the gate, and says it in the log, at most once a second.
    pub fn refused(&self, journey: Journey, reason: Refused, text: &str) {
        if let Some(counter) = self.refusals.get(reason as usize) {
            counter.inc();
        }
        let second = clock::boot().0.max(Duration::from_secs(1)).as_secs();
        if self.warned.swap(second, std::sync::atomic::Ordering::Relaxed) != second {
            tracing::warn!(endpoint = journey.name(), reason = reason.word(), detail = text, "a request was refused at the gate");
        }
    }

    /// Everything as text.
    pub fn print(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Refused {
    /// Its word in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Peer => "peer",
            Self::Token => "token",
            Self::Room => "no_room",
        }
    }
}

fn source(reply: &Reply) -> usize {
    let said = reply.headers.get("x-sidegate-answer").map(http::HeaderValue::as_bytes);
    SOURCES.iter().position(|word| said == Some(word.as_bytes())).unwrap_or(SOURCES.len() - 1)
}

fn outcome(reply: &Reply) -> usize {
    let degraded = reply.headers.contains_key("x-sidegate-degraded");
    match reply.status.as_u16() {
        424 | 501 | 503 => 3,
        _ if degraded => 2,
        500.. => 4,
        400..=499 => 1,
        _ => 0,
    }
}
