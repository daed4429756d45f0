//! Asks the primary a question that may be asked again: equal questions once, within the concurrency limit, unless the probe fails, and
//! under one time limit for all of it. A question that may take long is given up as soon as the probe fails. At which of the primary's
//! addresses is [`query_runner`](crate::sidecar::upstream::query_runner)'s to find.
//!
//! A yes is never older than what binds on this host. Whoever asks notes how far the directory has come; who comes after a revocation
//! joins no question from before it, and if something was applied meanwhile that may take access away, a yes is not given but asked
//! for again.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::api::single_flight::SingleFlight;
use crate::model::change::CommitPosition;
use crate::model::freshness::{DirectoryReplica, DirectoryRevision};
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::upstream::channel::UpstreamChannel;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{Decision, DecisionKind};
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::sidecar::upstream::probe::PrimaryProbe;
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::sidecar::upstream::query_runner::QueryRunner;

/// The longest target that is sent: half of what a primary accepts as a head by default. No key and no name comes near it.
const MAX_TARGET_BYTES: usize = 16 << 10;
/// The reason given for a question whose target is longer.
const REASON_TOO_LARGE: &str = "this question is larger than the Git server takes";
/// The reason given for a question about an unknown key beyond what this host may ask a second.
const REASON_TOO_MANY_MISSES: &str = "this host has asked about too many unknown keys in this second";
/// The reason given for a question whose answer may be from before access was taken away.
const REASON_ACCESS_CHANGED: &str = "access was taken away while it was asked";

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
    /// One for each address.
    probes: Vec<Arc<PrimaryProbe>>,
}

impl UpstreamClient {
    /// Creates the client of a sidecar; nothing is sent yet.
    pub fn new(config: &SidecarConfig) -> Self {
        let channel = UpstreamChannel::new(config);
        let probes = channel.addresses.iter().map(|address| PrimaryProbe::new(config, address)).collect();
        let runner = QueryRunner { channel, timeout: config.timeout, forward_timeout: config.forward_timeout };
        Self {
            runner: Arc::new(runner),
            single_flight: SingleFlight::default(),
            replica: Arc::clone(&config.replica),
            overtaken: Counter::default(),
            probes,
        }
    }

    /// Finds out whether the primary answers, until the task is dropped.
    pub fn run_probe(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut probes: JoinSet<()> = JoinSet::new();
        let runs: Vec<_> = self.probes.iter().map(|probe| Arc::clone(probe).run()).collect();
        async move {
            runs.into_iter().for_each(|run| drop(probes.spawn(run)));
            while probes.join_next().await.is_some() {}
        }
    }

    /// Returns whether the primary was found not to answer: then nothing is asked.
    pub fn is_failing(&self) -> bool {
        self.channel().addresses.outage().is_some()
    }

    /// Asks the primary, or waits for the answer to an equal question that is under way. If something was applied here meanwhile that may
    /// take access away, a yes counts as no answer: the question is asked again, as often as the time limit lets it.
    pub async fn query(&self, query: UpstreamQuery, class: RequestClass) -> QueryOutcome {
        if let Some(refused) = self.refuse_too_large(&query) {
            return refused;
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
        let outcome = self.single_flight.run(key, move || async move { runner.query(&query, class).await.into() }).await;
        outcome.unwrap_or_else(|| self.task_failed())
    }

    /// Asks once, and joins nobody: for whoever joins equal questions themselves. One that is too large is not sent.
    pub async fn ask_once(&self, query: &UpstreamQuery, class: RequestClass) -> QueryOutcome {
        if let Some(refused) = self.refuse_too_large(query) {
            return refused;
        }
        self.runner.query(query, class).await.into()
    }

    fn refuse_too_large(&self, query: &UpstreamQuery) -> Option<QueryOutcome> {
        (query.target.len() > MAX_TARGET_BYTES).then(|| self.failed(REASON_TOO_LARGE, false, FailureCause::Request))
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

    /// The outcome of a question about an unknown key that is not asked, because there were too many.
    pub fn too_many_misses(&self) -> QueryOutcome {
        self.failed(REASON_TOO_MANY_MISSES, false, FailureCause::TooManyMisses)
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
        self.channel().addresses.register_metrics(registry);
        self.channel().concurrency_limit.register_metrics(registry);
    }

    /// Returns the channel to the primary, for requests that are passed through.
    pub fn channel(&self) -> &UpstreamChannel {
        &self.runner.channel
    }
}

impl From<Result<Decision, UpstreamError>> for QueryOutcome {
    fn from(outcome: Result<Decision, UpstreamError>) -> Self {
        outcome.map_or_else(Self::Failed, Self::Decided)
    }
}
