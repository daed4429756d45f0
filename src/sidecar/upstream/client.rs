//! Asks the primary a question that may be asked again: equal questions once, within the concurrency limit, unless the breaker is
//! open, and under one time limit for all of it.
//!
//! A yes is never older than what binds on this host. Whoever asks notes how far the directory has come; who comes after a revocation
//! joins no question from before it, and if something was applied meanwhile that may take access away, a yes is not given but asked
//! for again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout_at};

use crate::api::request::RequestTime;
use crate::api::response_headers::FORWARDED_HEADER;
use crate::model::change::CommitPosition;
use crate::model::freshness::{DirectoryReplica, DirectoryRevision};
use crate::net::body::OutgoingBody;
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::upstream::breaker::Admission;
use crate::sidecar::upstream::channel::UpstreamChannel;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{Decision, DecisionKind, QueryKind, parse_decision};
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::sidecar::upstream::headers::decided_at;
use crate::sidecar::upstream::single_flight::SingleFlight;
use crate::wire::auth::credentials::SHELL_TOKEN_HEADER;

/// The largest response to a question that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// The longest target that is sent: half of what a primary accepts as a head by default. No key and no name comes near it.
const MAX_TARGET_BYTES: usize = 16 << 10;
/// The reason given for a question whose target is longer.
const REASON_TOO_LARGE: &str = "this question is larger than the Git server takes";
/// The reason given for a question whose answer may be from before access was taken away.
const REASON_ACCESS_CHANGED: &str = "access was taken away while it was asked";
/// The reason given for a question that the primary refuses for its form or size.
const REASON_REFUSED: &str = "the Git server does not take this question";
const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A question as it is sent: two that are equal are asked once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamQuery {
    pub kind: QueryKind,
    /// The path with its query, from `/api/v4` on.
    pub target: String,
    /// A JSON body, with which the request is a POST.
    pub body: Option<String>,
}

/// The outcome of a question.
#[derive(Clone, Debug)]
pub enum QueryOutcome {
    /// The primary decided.
    Decided(Decision),
    /// The primary failed, or could not be asked.
    Failed(UpstreamError),
}

/// The client for questions to the primary.
pub struct UpstreamClient {
    runner: Arc<QueryRunner>,
    /// By the question and by what bound here when it was asked.
    single_flight: SingleFlight<(UpstreamQuery, DirectoryRevision), QueryOutcome>,
    replica: Arc<dyn DirectoryReplica>,
    overtaken: Counter,
}

/// What the task of a question needs; it outlives whoever asked first.
struct QueryRunner {
    channel: UpstreamChannel,
    timeout: Duration,
}

impl UpstreamClient {
    /// Creates the client of a sidecar; nothing is sent yet.
    pub fn new(config: &SidecarConfig) -> Self {
        let runner = QueryRunner { channel: UpstreamChannel::new(config), timeout: config.timeout };
        Self {
            runner: Arc::new(runner),
            single_flight: SingleFlight::default(),
            replica: Arc::clone(&config.replica),
            overtaken: Counter::default(),
        }
    }

    /// Asks the primary, or waits for the answer to an equal question that is under way. If something was applied here meanwhile that may
    /// take access away, a yes counts as no answer: the question is asked again, as often as the time limit lets it.
    pub async fn query(&self, query: UpstreamQuery, class: RequestClass) -> QueryOutcome {
        if query.target.len() > MAX_TARGET_BYTES {
            return self.failed(REASON_TOO_LARGE, false, FailureCause::Request);
        }
        let deadline = Instant::now() + self.runner.timeout;
        let mut revision = self.revision();
        let mut outcome = self.query_at(&query, class, revision).await;
        while let QueryOutcome::Decided(Decision { kind: DecisionKind::Yes, decided_at, .. }) = outcome
            && self.is_overtaken(revision, decided_at, query.kind.name())
        {
            if Instant::now() >= deadline {
                return self.failed(REASON_ACCESS_CHANGED, true, FailureCause::AccessChanged);
            }
            revision = self.revision();
            let again = timeout_at(deadline, self.query_at(&query, class, revision)).await;
            outcome = again.unwrap_or_else(|_late| self.failed(REASON_ACCESS_CHANGED, true, FailureCause::AccessChanged));
        }
        outcome
    }

    /// Asks once, or joins who asked when the same bound here.
    async fn query_at(&self, query: &UpstreamQuery, class: RequestClass, revision: DirectoryRevision) -> QueryOutcome {
        let (runner, key) = (Arc::clone(&self.runner), (query.clone(), revision));
        let query = query.clone();
        let outcome = self.single_flight.run(key, move || async move { runner.query(&query, class).await }).await;
        outcome.unwrap_or_else(|| self.failed("asking it failed within sidegate", true, FailureCause::Host))
    }

    fn failed(&self, reason: &str, may_have_reached: bool, cause: FailureCause) -> QueryOutcome {
        QueryOutcome::Failed(self.channel().upstream_error(reason, may_have_reached, cause))
    }

    /// Returns how far the directory has come: to be noted before something is asked, and compared before a yes to it is given.
    pub fn revision(&self) -> DirectoryRevision {
        self.replica.read().revision
    }

    /// Returns whether something was applied here since `asked_at` that may take access away and that the primary may not have known of:
    /// then its yes is not given. Counted, so it is to be asked once for each yes.
    pub fn is_overtaken(&self, asked_at: DirectoryRevision, decided_at: Option<CommitPosition>, endpoint: &'static str) -> bool {
        let overtaken = self.revision().overtakes(asked_at, decided_at);
        if overtaken {
            self.overtaken.inc();
            tracing::debug!(endpoint, "access was taken away while {endpoint} was asked; its yes is not given");
        }
        overtaken
    }

    /// Returns how many answers of the primary were not given because access was taken away while it was asked.
    pub fn overtaken_answers(&self) -> u64 {
        self.overtaken.get()
    }

    /// Registers what is counted here.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let help = "Yeses of the primary that were not given because access was taken away while it was asked";
        registry.register("sidegate_overtaken_answers", help, self.overtaken.clone());
    }

    /// Returns the channel to the primary, for requests that are passed through.
    pub fn channel(&self) -> &UpstreamChannel {
        &self.runner.channel
    }
}

impl QueryRunner {
    async fn query(&self, query: &UpstreamQuery, class: RequestClass) -> QueryOutcome {
        let time = RequestTime::now();
        if let Admission::Wait(_) = self.channel.admit(time.boot) {
            return QueryOutcome::Failed(self.channel.upstream_error("it failed a moment ago", false, FailureCause::Primary));
        }
        match self.query_with_timeout(query, class, time).await {
            Ok(decision) => {
                self.channel.record_success();
                QueryOutcome::Decided(decision)
            }
            Err(error) => {
                self.record_error(&error, query);
                QueryOutcome::Failed(error)
            }
        }
    }

    /// Waits for a permit and asks, under one time limit. A timeout is the primary's only if it had all of that time: a question that
    /// waited for a permit was kept waiting by this host.
    async fn query_with_timeout(&self, query: &UpstreamQuery, class: RequestClass, time: RequestTime) -> Result<Decision, UpstreamError> {
        let deadline = Instant::now() + self.timeout;
        let permit = self.channel.acquire_permit(class, deadline).await?;
        let timeout_cause = if permit.waited() { FailureCause::Host } else { FailureCause::Primary };
        let result = timeout_at(deadline, self.send_query(query, time)).await;
        result.unwrap_or_else(|_late| Err(self.channel.upstream_error("it did not answer in time", true, timeout_cause)))
    }

    async fn send_query(&self, query: &UpstreamQuery, time: RequestTime) -> Result<Decision, UpstreamError> {
        let channel = &self.channel;
        let primary_failed = |reason: &str, may_have_reached| channel.upstream_error(reason, may_have_reached, FailureCause::Primary);
        let unwritten = || channel.upstream_error("the question cannot be written", false, FailureCause::Host);
        let request = self.build_request(query, time).ok_or_else(unwritten)?;
        let response = channel.primary_client.send(request, self.timeout).await;
        let (head, body) = response.map_err(|error| primary_failed(&error.reason, error.may_have_reached))?.into_parts();
        let body = body.read(MAX_RESPONSE_BYTES, self.timeout).await.map_err(|error| primary_failed(&error.to_string(), true))?;
        let decision = parse_decision(&query.kind, head.status, body);
        decision.map(|decision| Decision { decided_at: decided_at(&head.headers), ..decision }).map_err(|reason| match head.status {
            status if is_client_error(status) => channel.upstream_error(REASON_REFUSED, true, FailureCause::Request),
            _ => primary_failed(&reason, true),
        })
    }

    /// Builds the request from parsed parts, and signs it.
    fn build_request(&self, query: &UpstreamQuery, time: RequestTime) -> Option<Request<OutgoingBody>> {
        let method = if query.body.is_some() { Method::POST } else { Method::GET };
        let body = query.body.clone().map_or_else(|| OutgoingBody::from_bytes(Bytes::new()), OutgoingBody::from_bytes);
        let request = Request::builder()
            .method(method)
            .uri(&query.target)
            .header(CONTENT_TYPE, CONTENT_TYPE_JSON)
            .header(ACCEPT, CONTENT_TYPE_JSON)
            .header(SHELL_TOKEN_HEADER, self.channel.token_signer.issue_shell_token(time.wall))
            .header(FORWARDED_HEADER, "1");
        request.body(body).ok()
    }

    fn record_error(&self, error: &UpstreamError, query: &UpstreamQuery) {
        let (reason, endpoint) = (&error.reason, query.kind.name());
        match error.cause {
            FailureCause::Primary => self.channel.record_failure(reason, endpoint),
            FailureCause::Host | FailureCause::Request | FailureCause::AccessChanged => {
                self.channel.release_probe();
                tracing::debug!(reason, endpoint, "no answer to {endpoint}, and not by the primary's fault: {reason}");
            }
        }
    }
}

/// Returns whether a response that is no decision is about the question's form or size. The caller chose those, and could make any
/// primary say so.
const fn is_client_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 431)
}
