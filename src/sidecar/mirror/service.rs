//! What requests share about the followed mirror: its URL, the budget of questions about what it does not have, and what is counted.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::model::clock;
use crate::model::time::Time;
use crate::net::log_limiter::LogLimiter;
use crate::sidecar::config::MirrorConfig;
use crate::sidecar::mirror::miss_budget::{Admission, MissBudget};

/// The followed mirror of a GitLab.
pub struct MirrorService {
    /// Its URL, for the operator.
    pub url: String,
    /// How many questions a second there may be about what the directory does not have.
    pub misses_per_second: u32,
    budget: Mutex<MissBudget>,
    /// Questions to the GitLab about what the directory does not have.
    pub misses_asked: Counter,
    /// Those that were not asked because there were too many.
    pub misses_refused: Counter,
    /// Kept answers about access that were not given because the directory knows a refusal.
    pub not_given: Counter,
    log: LogLimiter,
}

impl MirrorService {
    /// Creates it and registers what is counted.
    pub fn register(config: &MirrorConfig, registry: &mut Registry) -> Arc<Self> {
        let misses = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let counter = |outcome| misses.get_or_create_owned(&[("outcome", outcome)]);
        let service = Self {
            url: config.url.clone(),
            misses_per_second: config.misses_per_second,
            budget: Mutex::new(MissBudget::new(config.misses_per_second, clock::boot_time())),
            misses_asked: counter("asked"),
            misses_refused: counter("refused"),
            not_given: Counter::default(),
            log: LogLimiter::default(),
        };
        registry.register("sidegate_feed_misses", "Unknown keys and users: asked of the GitLab, or refused as too many", misses);
        let help = "Kept answers about access that were not given because the followed directory knows a refusal";
        registry.register("sidegate_kept_not_given", help, service.not_given.clone());
        Arc::new(service)
    }

    /// Takes one question about what the directory does not have, and counts it.
    pub fn admit_miss(&self) -> Admission {
        let admission = self.budget.lock().unwrap_or_else(PoisonError::into_inner).admit(clock::boot_time());
        match admission {
            Admission::Asked => self.misses_asked.inc(),
            Admission::Refused => {
                self.misses_refused.inc();
                self.report_refusal(clock::wall_time())
            }
        };
        admission
    }

    fn report_refusal(&self, now: Time) -> u64 {
        if let Some(suppressed) = self.log.allow(now) {
            let limit = self.misses_per_second;
            tracing::warn!(
                suppressed,
                "more than {limit} unknown keys a second: those beyond that are not asked of GitLab; a key that was added a moment ago may be refused meanwhile"
            );
        }
        self.misses_refused.get()
    }
}
