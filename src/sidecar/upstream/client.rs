//! Asking the primary a question that may be asked again: one flight a question, a budget, a breaker, one time limit for all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::api::request::RequestTime;
use crate::api::response_headers::FORWARDED_HEADER;
use crate::model::clock;
use crate::model::freshness::DirectoryReplica;
use crate::model::time::Time;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;
use crate::sidecar::config::{FreshnessPolicy, SidecarConfig};
use crate::sidecar::upstream::breaker::{Admission, CircuitBreaker};
use crate::sidecar::upstream::concurrency_limit::{ConcurrencyLimit, Permit, RequestClass};
use crate::sidecar::upstream::decision::{Decision, QueryKind, parse_decision};
use crate::sidecar::upstream::error::{Availability, FailureCause, UpstreamError};
use crate::sidecar::upstream::single_flight::SingleFlight;
use crate::wire::auth::credentials::{CredentialVerifier, SHELL_TOKEN_HEADER};

/// The largest answer to a question that is read.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// The longest target that is sent: half of what a primary takes as a head by default. No key and no name comes near it.
const MAX_TARGET_BYTES: usize = 16 << 10;
/// Said of a question beyond it.
const REASON_TOO_LARGE: &str = "this question is larger than the Git server takes";
/// Said of one that the primary refuses as it is.
const REASON_REFUSED: &str = "the Git server does not take this question";
const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A question as we write it ourselves: two that are equal are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamQuery {
    pub kind: QueryKind,
    /// The path with its query, from `/api/v4` on.
    pub target: String,
    /// A JSON body: then it is a POST.
    pub body: Option<String>,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub enum QueryOutcome {
    /// The primary decided.
    Decided(Decision),
    /// It failed, or there was no room to ask it.
    Failed(UpstreamError),
}

/// The way to the primary, with all that keeps a slow one from hurting.
pub struct UpstreamClient {
    channel: Arc<UpstreamChannel>,
    single_flight: SingleFlight<UpstreamQuery, QueryOutcome>,
}

/// What a flight takes with it.
pub struct UpstreamChannel {
    pub primary_client: HttpClient,
    pub token_signer: Arc<CredentialVerifier>,
    pub concurrency_limit: ConcurrencyLimit,
    breaker: CircuitBreaker,
    timeout: Duration,
    /// What is held, and the bounds of its age: what works without the primary.
    replica: Arc<dyn DirectoryReplica>,
    freshness_policy: FreshnessPolicy,
    /// Wall milliseconds of the first failure in a row; 0 while it answers.
    failing_since: AtomicI64,
    consecutive_failures: AtomicU64,
}

impl UpstreamClient {
    pub fn new(setup: &SidecarConfig) -> Self {
        let link = UpstreamChannel {
            primary_client: setup.primary_client.clone(),
            token_signer: Arc::clone(&setup.token_signer),
            concurrency_limit: ConcurrencyLimit::new(setup.bounds.forwards, setup.bounds.forwards_waiting),
            breaker: CircuitBreaker::default(),
            timeout: setup.timeout,
            replica: Arc::clone(&setup.replica),
            freshness_policy: setup.freshness_policy,
            failing_since: AtomicI64::new(0),
            consecutive_failures: AtomicU64::new(0),
        };
        Self { channel: Arc::new(link), single_flight: SingleFlight::new() }
    }

    /// Asks, unless the breaker is open. Equal questions on their way are asked once.
    pub async fn query(&self, question: UpstreamQuery, sort: RequestClass, moment: RequestTime) -> QueryOutcome {
        if question.target.len() > MAX_TARGET_BYTES {
            return QueryOutcome::Failed(self.channel.upstream_error(REASON_TOO_LARGE, false, FailureCause::Request));
        }
        let link = Arc::clone(&self.channel);
        let flown = self.single_flight.run(question.clone(), move || run_query(link, question, sort, moment)).await;
        flown.unwrap_or_else(|| {
            QueryOutcome::Failed(self.channel.upstream_error("asking it failed within sidegate", true, FailureCause::Host))
        })
    }

    /// The way to the primary, for who passes requests through.
    pub fn channel(&self) -> &UpstreamChannel {
        &self.channel
    }
}

async fn run_query(link: Arc<UpstreamChannel>, question: UpstreamQuery, sort: RequestClass, moment: RequestTime) -> QueryOutcome {
    if let Admission::Wait(_) = link.breaker.admit(moment.boot) {
        return QueryOutcome::Failed(link.upstream_error("it failed a moment ago", false, FailureCause::Primary));
    }
    match query_with_timeout(&link, &question, sort, moment).await {
        Ok(decided) => {
            link.record_success();
            QueryOutcome::Decided(decided)
        }
        Err(outage) => {
            link.record_error(&outage, &question);
            QueryOutcome::Failed(outage)
        }
    }
}

/// Waits for a turn and asks, under one time limit. An overrun is the primary's only if it had all of that time: who waited for a turn
/// was kept waiting by this host.
async fn query_with_timeout(
    link: &UpstreamChannel,
    question: &UpstreamQuery,
    sort: RequestClass,
    moment: RequestTime,
) -> Result<Decision, UpstreamError> {
    let until = Instant::now() + link.timeout;
    let turn = link.acquire_permit(sort, until).await?;
    let overrun = if turn.waited() { FailureCause::Host } else { FailureCause::Primary };
    let told = timeout_at(until, send_query(link, question, moment)).await;
    told.unwrap_or_else(|_| Err(link.upstream_error("it did not answer in time", true, overrun)))
}

async fn send_query(link: &UpstreamChannel, question: &UpstreamQuery, moment: RequestTime) -> Result<Decision, UpstreamError> {
    let failed = |why: &str, reached| link.upstream_error(why, reached, FailureCause::Primary);
    let unwritten = || link.upstream_error("the question cannot be written", false, FailureCause::Host);
    let request = build_request(link, question, moment).ok_or_else(unwritten)?;
    let answer = link.primary_client.send(request, link.timeout).await.map_err(|bad| failed(&bad.reason, bad.may_have_reached))?;
    let (head, body) = answer.into_parts();
    let body = body.read(MAX_RESPONSE_BYTES, link.timeout).await.map_err(|bad| failed(&bad.to_string(), true))?;
    parse_decision(&question.kind, head.status, body).map_err(|why| match head.status {
        status if is_client_error(status) => link.upstream_error(REASON_REFUSED, true, FailureCause::Request),
        _ => failed(&why, true),
    })
}

/// Whether an answer that is no decision speaks of the question's form or size. Who asked chose those, and could make any primary say so.
const fn is_client_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 431)
}

/// The request, written from parsed parts and signed.
fn build_request(link: &UpstreamChannel, question: &UpstreamQuery, moment: RequestTime) -> Option<Request<OutgoingBody>> {
    let method = if question.body.is_some() { Method::POST } else { Method::GET };
    let body = question.body.clone().map_or_else(|| OutgoingBody::from_bytes(Bytes::new()), OutgoingBody::from_bytes);
    let request = Request::builder()
        .method(method)
        .uri(&question.target)
        .header(CONTENT_TYPE, CONTENT_TYPE_JSON)
        .header(ACCEPT, CONTENT_TYPE_JSON)
        .header(SHELL_TOKEN_HEADER, link.token_signer.issue_shell_token(moment.wall))
        .header(FORWARDED_HEADER, "1");
    request.body(body).ok()
}

impl UpstreamChannel {
    /// The primary answered.
    pub fn record_success(&self) {
        self.breaker.record_success();
        if self.failing_since.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(failures = self.consecutive_failures.swap(0, Ordering::Relaxed), "the primary answers again");
        }
    }

    /// The primary failed a request that was passed through.
    pub fn record_failure(&self, why: &str, what: &'static str) {
        self.breaker.record_failure(clock::boot_time(), fastrand::f64());
        self.consecutive_failures.fetch_add(1, Ordering::Relaxed);
        let now = clock::wall_time().milliseconds();
        if self.failing_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(reason = why, endpoint = what, "the primary fails; answering from what is known where that is allowed");
        } else {
            tracing::debug!(reason = why, endpoint = what, "the primary failed again");
        }
    }

    /// A turn to ask the primary. If none comes in time, that is this host's doing and not the primary's.
    pub async fn acquire_permit(&self, sort: RequestClass, until: Instant) -> Result<Permit, UpstreamError> {
        let full = |why: &str| self.upstream_error(why, false, FailureCause::Host);
        match timeout_at(until, self.concurrency_limit.acquire(sort)).await {
            Ok(turn) => turn.map_err(|none| full(&none.to_string())),
            Err(_) => Err(full("no turn to ask it came in time")),
        }
    }

    /// What to say of a failure.
    pub fn upstream_error(&self, why: &str, reached: bool, because: FailureCause) -> UpstreamError {
        let works = Availability::assess(&self.replica.read(), self.freshness_policy, clock::boot_time());
        UpstreamError {
            failing_since: self.failing_since(),
            reason: why.to_owned(),
            may_have_reached: reached,
            cause: because,
            availability: works,
        }
    }

    /// Since when the primary fails.
    pub fn failing_since(&self) -> Option<Time> {
        Some(self.failing_since.load(Ordering::Relaxed)).filter(|since| *since != 0).and_then(Time::from_milliseconds)
    }

    /// Whether the breaker holds questions back.
    pub fn is_breaker_open(&self) -> bool {
        self.breaker.open_since().is_some()
    }

    fn record_error(&self, outage: &UpstreamError, question: &UpstreamQuery) {
        match outage.cause {
            FailureCause::Primary => self.record_failure(&outage.reason, question.kind.name()),
            FailureCause::Host | FailureCause::Request => {
                self.breaker.release_probe();
                tracing::debug!(
                    reason = outage.reason,
                    endpoint = question.kind.name(),
                    "a question has no answer, and not by the primary"
                );
            }
        }
    }
}

impl QueryKind {
    /// Its name in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AuthorizedKeys(_) => "authorized_keys",
            Self::AuthorizedCerts => "authorized_certs",
            Self::Discover => "discover",
            Self::Check => "check",
            Self::Allowed => "allowed",
            Self::LfsAuthenticate => "lfs_authenticate",
        }
    }
}
