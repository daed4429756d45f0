//! Asks the primary a question that may be asked again: equal questions once, within the concurrency limit, unless the probe fails, and
//! under one time limit for all of it. A question that may take long is given up as soon as the probe fails.
//!
//! A yes is never older than what binds on this host. Whoever asks notes how far the directory has come; who comes after a revocation
//! joins no question from before it, and if something was applied meanwhile that may take access away, a yes is not given but asked
//! for again.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::api::request::RequestTime;
use crate::api::single_flight::SingleFlight;
use crate::model::change::CommitPosition;
use crate::model::freshness::{DirectoryReplica, DirectoryRevision};
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::upstream::channel::UpstreamChannel;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{Decision, DecisionKind};
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::sidecar::upstream::health::PrimaryHealth;
use crate::sidecar::upstream::probe::PrimaryProbe;
use crate::sidecar::upstream::query::{ExchangeError, QueryConnection, TimeLimit, UpstreamQuery};

/// The longest target that is sent: half of what a primary accepts as a head by default. No key and no name comes near it.
const MAX_TARGET_BYTES: usize = 16 << 10;
/// By how much the limits of the exchange itself are longer than that of the question, which says who is to blame.
const EXCHANGE_SLACK: Duration = Duration::from_secs(1);
/// The reason given for a question whose target is longer.
const REASON_TOO_LARGE: &str = "this question is larger than the Git server takes";
/// The reason given for a question whose answer may be from before access was taken away.
const REASON_ACCESS_CHANGED: &str = "access was taken away while it was asked";
/// The reason given for a question that the primary refuses for its form or size.
const REASON_REFUSED: &str = "the Git server does not take this question";

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
    probe: Arc<PrimaryProbe>,
}

/// What the task of a question needs; it outlives whoever asked first.
struct QueryRunner {
    channel: UpstreamChannel,
    timeout: Duration,
    forward_timeout: Duration,
}

impl UpstreamClient {
    /// Creates the client of a sidecar; nothing is sent yet.
    pub fn new(config: &SidecarConfig) -> Self {
        let health = Arc::new(PrimaryHealth::default());
        let probe = PrimaryProbe::new(config, Arc::clone(&health));
        let channel = UpstreamChannel::new(config, health);
        let runner = QueryRunner { channel, timeout: config.timeout, forward_timeout: config.forward_timeout };
        Self {
            runner: Arc::new(runner),
            single_flight: SingleFlight::default(),
            replica: Arc::clone(&config.replica),
            overtaken: Counter::default(),
            probe,
        }
    }

    /// Finds out whether the primary answers, until the task is dropped.
    pub fn run_probe(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.probe).run()
    }

    /// Returns whether the primary was found not to answer: then nothing is asked.
    pub fn is_failing(&self) -> bool {
        self.channel().health.outage().is_some()
    }

    /// Asks the primary, or waits for the answer to an equal question that is under way. If something was applied here meanwhile that may
    /// take access away, a yes counts as no answer: the question is asked again, as often as the time limit lets it.
    pub async fn query(&self, query: UpstreamQuery, class: RequestClass) -> QueryOutcome {
        if query.target.len() > MAX_TARGET_BYTES {
            return self.failed(REASON_TOO_LARGE, false, FailureCause::Request);
        }
        let deadline = Instant::now() + self.runner.time_limit(&query);
        let mut revision = self.revision();
        let mut outcome = self.query_at(&query, class, revision).await;
        while let QueryOutcome::Decided(Decision { kind: DecisionKind::Yes, decided_at, .. }) = outcome
            && self.is_overtaken(revision, decided_at, query.kind.name())
        {
            if Instant::now() >= deadline {
                return self.access_changed();
            }
            revision = self.revision();
            let again = timeout_at(deadline, self.query_at(&query, class, revision)).await;
            outcome = again.unwrap_or_else(|_late| self.access_changed());
        }
        outcome
    }

    /// Asks once, or joins who asked when the same bound here.
    async fn query_at(&self, query: &UpstreamQuery, class: RequestClass, revision: DirectoryRevision) -> QueryOutcome {
        let (runner, key) = (Arc::clone(&self.runner), (query.clone(), revision));
        let query = query.clone();
        let outcome = self.single_flight.run(key, move || async move { runner.query(&query, class).await }).await;
        outcome.unwrap_or_else(|| self.task_failed())
    }

    /// Asks once, and joins nobody: for whoever joins equal questions themselves. One that is too large is not sent.
    pub async fn ask_once(&self, query: &UpstreamQuery, class: RequestClass) -> QueryOutcome {
        if query.target.len() > MAX_TARGET_BYTES {
            return self.failed(REASON_TOO_LARGE, false, FailureCause::Request);
        }
        self.runner.query(query, class).await
    }

    /// Returns how long a question may take, all tries together.
    pub fn time_limit(&self, query: &UpstreamQuery) -> Duration {
        self.runner.time_limit(query)
    }

    /// The outcome of a question whose task panicked.
    pub fn task_failed(&self) -> QueryOutcome {
        self.failed("asking it failed within sidegate", true, FailureCause::Host)
    }

    /// The outcome of a question whose yes may be from before a revocation.
    pub fn access_changed(&self) -> QueryOutcome {
        self.failed(REASON_ACCESS_CHANGED, true, FailureCause::AccessChanged)
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
        self.channel().health.register_metrics(registry);
    }

    /// Returns the channel to the primary, for requests that are passed through.
    pub fn channel(&self) -> &UpstreamChannel {
        &self.runner.channel
    }
}

impl QueryRunner {
    async fn query(&self, query: &UpstreamQuery, class: RequestClass) -> QueryOutcome {
        match self.query_with_timeout(query, class).await {
            Ok(decision) => {
                self.channel.health.record_answer();
                QueryOutcome::Decided(decision)
            }
            Err(error) => {
                self.record_error(&error, query);
                QueryOutcome::Failed(error)
            }
        }
    }

    fn time_limit(&self, query: &UpstreamQuery) -> Duration {
        match query.time_limit {
            TimeLimit::Timeout => self.timeout,
            TimeLimit::ForwardTimeout => self.forward_timeout,
        }
    }

    /// Waits for a permit and asks, under one time limit. A timeout is the primary's if it had all of that time, or if it owes others an
    /// answer as well: a question that waited for a permit was otherwise kept waiting by this host.
    async fn query_with_timeout(&self, query: &UpstreamQuery, class: RequestClass) -> Result<Decision, UpstreamError> {
        let deadline = Instant::now() + self.time_limit(query);
        let permit = self.channel.acquire_permit(class, deadline).await?;
        let _under_way = self.channel.health.begin_request();
        let late = |cause| Err(self.channel.upstream_error("it did not answer in time", true, cause));
        let may_take_long = query.time_limit == TimeLimit::ForwardTimeout;
        tokio::select! {
            decision = self.send_query(query) => decision,
            () = sleep_until(deadline) => late(match query.time_limit {
                _ if permit.waited() => self.channel.cause_of_delay(),
                TimeLimit::Timeout => FailureCause::Primary,
                TimeLimit::ForwardTimeout => FailureCause::LongRequest,
            }),
            () = self.channel.health.wait_until_failing(), if may_take_long => late(FailureCause::LongRequest),
        }
    }

    async fn send_query(&self, query: &UpstreamQuery) -> Result<Decision, UpstreamError> {
        let channel = &self.channel;
        let exchange_limit = self.time_limit(query) + EXCHANGE_SLACK;
        let (client, signer, now) = (&channel.primary_client, &channel.token_signer, RequestTime::now().wall);
        query.send(client, signer, QueryConnection::Pooled, exchange_limit, now).await.map_err(|error| match error {
            ExchangeError::Unwritable => channel.upstream_error("the question cannot be written", false, FailureCause::Host),
            ExchangeError::NoResponse { reason, may_have_reached } => {
                channel.upstream_error(&reason, may_have_reached, FailureCause::Primary)
            }
            ExchangeError::NoDecision { status, .. } if is_client_error(status) => {
                channel.upstream_error(REASON_REFUSED, true, FailureCause::Request)
            }
            ExchangeError::NoDecision { reason, .. } => channel.upstream_error(&reason, true, FailureCause::Primary),
        })
    }

    fn record_error(&self, error: &UpstreamError, query: &UpstreamQuery) {
        let (reason, endpoint) = (&error.reason, query.kind.name());
        match error.cause {
            FailureCause::Primary => self.channel.health.record_failure(reason, endpoint),
            FailureCause::LongRequest => {
                tracing::info!(reason, endpoint, "no answer of the primary to {endpoint}, which may take long: {reason}")
            }
            FailureCause::Host | FailureCause::Request | FailureCause::AccessChanged => {
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
