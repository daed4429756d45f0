//! Whether one address of the primary answers: what the breaker says, which requests are without an answer, and what is counted of both.
//!
//! Callers only report here. That the primary has stopped answering is the [probe](crate::sidecar::upstream::probe)'s to find, which
//! is woken by what they report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::net::log_limiter::LogLimiter;
use crate::sidecar::upstream::breaker::{CircuitBreaker, FailedProbe, Outage, ProbeVerdict};
use crate::sidecar::upstream::health_metrics::{AddressMetrics, HealthMetrics};

/// A request that is without an answer for so long counts as overdue.
pub const ANSWER_OVERDUE: Duration = Duration::from_secs(1);

/// What is known of whether an address of the primary answers.
pub struct PrimaryHealth {
    /// Its URL, for messages.
    name: String,
    breaker: CircuitBreaker,
    /// Whether the breaker is open: for whoever waits.
    failing: watch::Sender<bool>,
    failure_seen: AtomicBool,
    wake_probe: Notify,
    under_way: Mutex<RequestsUnderWay>,
    log_limiter: LogLimiter,
    /// Since when it has been answering, or has not been asked.
    answering_since: Mutex<Time>,
    metrics: AddressMetrics,
    primary_metrics: Arc<HealthMetrics>,
}

/// The requests without an answer, in the order in which they were sent.
#[derive(Default)]
struct RequestsUnderWay {
    next: u64,
    sent_at: BTreeMap<u64, BootTime>,
}

/// A request that is under way until this is dropped.
pub struct RequestUnderWay {
    health: Arc<PrimaryHealth>,
    number: u64,
}

impl PrimaryHealth {
    /// Returns the health of an address of this name that has not been asked yet.
    #[must_use]
    pub fn new(name: String, primary_metrics: Arc<HealthMetrics>) -> Self {
        Self {
            breaker: CircuitBreaker::default(),
            failing: watch::Sender::new(false),
            failure_seen: AtomicBool::new(false),
            wake_probe: Notify::new(),
            under_way: Mutex::default(),
            log_limiter: LogLimiter::default(),
            answering_since: Mutex::new(clock::wall_time()),
            metrics: primary_metrics.of_address(&name),
            primary_metrics,
            name,
        }
    }

    /// Returns its URL, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns since when it has been answering, or has not been asked.
    pub fn answering_since(&self) -> Time {
        *self.answering_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many requests it has answered.
    pub fn answers(&self) -> u64 {
        self.metrics.answers.get()
    }

    /// Returns how many requests it has failed.
    pub fn failures(&self) -> u64 {
        self.metrics.failures.get()
    }

    /// Returns what tells it from other addresses in a log line; nothing where there are no others.
    fn place(&self) -> String {
        if self.primary_metrics.has_several_addresses() { format!(" at {}", self.name) } else { String::new() }
    }

    /// Records that the primary answered, whoever asked.
    pub fn record_answer(&self) {
        self.metrics.answers.inc();
        let now = clock::boot_time();
        if let Some(outage) = self.breaker.record_answer(now) {
            self.failing.send_replace(false);
            self.metrics.failing.set(0);
            self.primary_metrics.count_recovered_address();
            *self.answering_since.lock().unwrap_or_else(PoisonError::into_inner) = clock::wall_time();
            let (seconds, place) = (now.since(outage.started_at).as_secs_f64(), self.place());
            tracing::warn!(address = self.name, seconds, "primary{place} answers again after {seconds:.1} s");
        }
    }

    /// Records that the primary failed a request to `endpoint`. That may be due to the request, so it only wakes the probe.
    pub fn record_failure(&self, reason: &str, endpoint: &'static str) {
        self.metrics.failures.inc();
        self.failure_seen.store(true, Ordering::SeqCst);
        self.wake_probe.notify_one();
        if self.outage().is_none()
            && let Some(suppressed) = self.log_limiter.allow(clock::wall_time())
        {
            let place = self.place();
            tracing::warn!(
                address = self.name,
                reason,
                endpoint,
                suppressed,
                "no answer of the primary{place} to {endpoint}: {reason}; asking it a question of our own"
            );
        }
    }

    /// Records that a probe was answered.
    pub fn record_answered_probe(&self) {
        self.primary_metrics.count_probe("answered");
        self.record_answer();
    }

    /// Records that a probe failed.
    pub fn record_failed_probe(&self, probe: FailedProbe) {
        self.primary_metrics.count_probe("failed");
        self.metrics.failures.inc();
        let reason = Arc::clone(&probe.reason);
        match self.breaker.record_failed_probe(probe) {
            ProbeVerdict::Opened => {
                self.failing.send_replace(true);
                self.metrics.failing.set(1);
                let all_fail = self.primary_metrics.count_failing_address();
                let then = if all_fail {
                    "giving what this host has where that is allowed; see `sidegate status`"
                } else {
                    "asking its other addresses"
                };
                let place = self.place();
                tracing::warn!(address = self.name, reason = &*reason, "primary{place} stopped answering: {reason}; {then}");
            }
            ProbeVerdict::StillOpen | ProbeVerdict::Overtaken => {
                tracing::debug!(address = self.name, reason = &*reason, "the primary does not answer the probe: {reason}");
            }
        }
    }

    /// Returns the present outage; `None` while the primary answers.
    pub fn outage(&self) -> Option<Outage> {
        self.breaker.outage()
    }

    /// Returns when the primary answered last.
    pub fn last_answer(&self) -> Option<BootTime> {
        self.breaker.last_answer()
    }

    /// Waits until the primary is found not to answer.
    pub async fn wait_until_failing(&self) {
        let mut failing = self.failing.subscribe();
        // Its sender is ours, and lives as long.
        let _failing = failing.wait_for(|failing| *failing).await;
    }

    /// Waits until a request fails by the primary's fault.
    pub async fn wait_for_failure(&self) {
        self.wake_probe.notified().await;
    }

    /// Returns whether a request failed by the primary's fault since this was asked last.
    pub fn take_failure(&self) -> bool {
        self.failure_seen.swap(false, Ordering::SeqCst)
    }

    /// Notes a request that is sent now.
    pub fn begin_request(self: &Arc<Self>) -> RequestUnderWay {
        let mut under_way = self.under_way();
        let number = under_way.next;
        under_way.next += 1;
        under_way.sent_at.insert(number, clock::boot_time());
        RequestUnderWay { health: Arc::clone(self), number }
    }

    /// Returns whether the primary owes an answer: one is overdue, and no other has come for as long.
    pub fn is_answer_overdue(&self, now: BootTime) -> bool {
        let oldest = self.under_way().sent_at.first_key_value().map(|(_, sent_at)| *sent_at);
        let is_long_ago = |time: BootTime| now.since(time) >= ANSWER_OVERDUE;
        oldest.is_some_and(is_long_ago) && self.last_answer().is_none_or(is_long_ago)
    }

    fn under_way(&self) -> MutexGuard<'_, RequestsUnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.health.under_way().sent_at.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ANSWER_OVERDUE, PrimaryHealth};
    use crate::model::clock;
    use crate::model::time::BootTime;
    use crate::sidecar::upstream::health_metrics::HealthMetrics;

    fn after(delay: Duration) -> BootTime {
        BootTime(clock::boot_time().0 + delay)
    }

    #[test]
    fn an_answer_is_overdue_once_a_request_is_without_one_and_no_other_has_come() {
        let health = Arc::new(PrimaryHealth::new("https://a".to_owned(), Arc::new(HealthMetrics::new(1))));
        assert!(!health.is_answer_overdue(after(2 * ANSWER_OVERDUE)), "nobody waits");
        let request = health.begin_request();
        assert!(!health.is_answer_overdue(clock::boot_time()));
        assert!(health.is_answer_overdue(after(2 * ANSWER_OVERDUE)));
        health.record_answer();
        assert!(!health.is_answer_overdue(after(ANSWER_OVERDUE / 2)));
        assert!(health.is_answer_overdue(after(2 * ANSWER_OVERDUE)));
        drop(request);
        assert!(!health.is_answer_overdue(after(2 * ANSWER_OVERDUE)));
    }
}
