//! The kept answers of a sidecar with what is under way for them: what a request reaches through the state.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::api::single_flight::SingleFlight;
use crate::model::kept_answer::QuestionKey;
use crate::sidecar::config::{FreshnessPolicy, KeptConfig};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::found::HeldAnswer;
use crate::sidecar::kept::invalidations::RevocationCount;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::refresh_queue::{Refresh, RefreshQueue};
use crate::sidecar::kept::shadow::Shadow;
use crate::sidecar::kept::status::KeptGauges;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::query::TimeLimit;

/// The kept answers of a sidecar.
pub struct KeptService {
    /// The answers.
    pub answers: Arc<KeptAnswers>,
    /// The questions under way, by what they are kept under, by the last revocation that concerned them when they were asked, and by how long
    /// they may take.
    pub flights: SingleFlight<(QuestionKey, RevocationCount, TimeLimit), QueryOutcome>,
    /// The answers that are to be asked for again.
    pub refreshes: RefreshQueue,
    /// Compares them with the primary's; `None` unless in shadow mode.
    pub shadow: Option<Shadow>,
}

impl KeptService {
    /// Creates it, with nothing kept yet, and registers what is counted.
    pub fn register(config: &KeptConfig, policy: FreshnessPolicy, registry: &mut Registry) -> Self {
        let answers = KeptAnswers::new(config, policy, registry);
        registry.register_collector(Box::new(KeptGauges(Arc::clone(&answers))));
        let shadow = Shadow::register(config.mode, policy, registry);
        Self { answers, flights: SingleFlight::default(), refreshes: RefreshQueue::default(), shadow }
    }

    /// Has an answer that is given without asking asked for again before it is too old, if that is the first time since it was proven. When,
    /// is by `chance`, from 0 to 1.
    pub fn schedule_refresh(&self, question: &Arc<KeptQuestion>, held: &HeldAnswer, chance: f64) {
        if held.is_first_use && question.kind.is_refreshed() {
            let ttl = self.answers.policy.limits_for(question.kind.freshness_class()).ttl;
            self.refreshes.schedule(Refresh { question: Arc::clone(question), proven_at: held.proven_at }, ttl, chance);
        }
    }
}
