//! The channel to the primary, which questions and requests that are passed through share: the HTTP client, the token signer, the
//! concurrency limit, and the record of whether the primary answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::time::{Instant, timeout_at};

use crate::model::clock;
use crate::model::freshness::DirectoryReplica;
use crate::model::time::{BootTime, Time};
use crate::net::client::http_client::HttpClient;
use crate::sidecar::config::{FreshnessPolicy, SidecarConfig};
use crate::sidecar::upstream::availability::Availability;
use crate::sidecar::upstream::breaker::{Admission, CircuitBreaker};
use crate::sidecar::upstream::concurrency_limit::{ConcurrencyLimit, Permit, RequestClass};
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::wire::auth::credentials::CredentialVerifier;

/// What every request to the primary needs.
pub struct UpstreamChannel {
    pub primary_client: HttpClient,
    pub token_signer: Arc<CredentialVerifier>,
    pub concurrency_limit: ConcurrencyLimit,
    breaker: CircuitBreaker,
    /// Says what still works without the primary, together with the limits of its age.
    replica: Arc<dyn DirectoryReplica>,
    freshness_policy: FreshnessPolicy,
    /// The wall time of the first failure in a row, in milliseconds; 0 while the primary answers.
    failing_since: AtomicI64,
    consecutive_failures: AtomicU64,
}

impl UpstreamChannel {
    /// Creates the channel of a sidecar; nothing is sent yet.
    pub fn new(config: &SidecarConfig) -> Self {
        Self {
            primary_client: config.primary_client.clone(),
            token_signer: Arc::clone(&config.token_signer),
            concurrency_limit: ConcurrencyLimit::new(config.bounds.forwards, config.bounds.forwards_waiting),
            breaker: CircuitBreaker::default(),
            replica: Arc::clone(&config.replica),
            freshness_policy: config.freshness_policy,
            failing_since: AtomicI64::new(0),
            consecutive_failures: AtomicU64::new(0),
        }
    }

    /// Waits for a permit to send a request. If none comes before `deadline`, this host is to blame and not the primary.
    pub async fn acquire_permit(&self, class: RequestClass, deadline: Instant) -> Result<Permit, UpstreamError> {
        let busy = |reason: &str| self.upstream_error(reason, false, FailureCause::Host);
        match timeout_at(deadline, self.concurrency_limit.acquire(class)).await {
            Ok(permit) => permit.map_err(|error| busy(&error.to_string())),
            Err(_late) => Err(busy("no turn to ask it came in time")),
        }
    }

    /// Decides by the breaker whether a question may be sent at `now`.
    pub fn admit(&self, now: BootTime) -> Admission {
        self.breaker.admit(now)
    }

    /// Records that a question has no answer for a reason that says nothing of the primary.
    pub fn release_probe(&self) {
        self.breaker.release_probe();
    }

    /// Records that the primary answered.
    pub fn record_success(&self) {
        self.breaker.record_success();
        if self.failing_since.swap(0, Ordering::Relaxed) != 0 {
            let failures = self.consecutive_failures.swap(0, Ordering::Relaxed);
            tracing::info!(failures, "primary answers again, after {failures} failures");
        }
    }

    /// Records that the primary failed a request to `endpoint`.
    pub fn record_failure(&self, reason: &str, endpoint: &'static str) {
        self.breaker.record_failure(clock::boot_time(), fastrand::f64());
        self.consecutive_failures.fetch_add(1, Ordering::Relaxed);
        let now = clock::wall_time().milliseconds();
        if self.failing_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(reason, endpoint, "primary failed {endpoint}: {reason}; answering from local data where that is allowed");
        } else {
            tracing::debug!(reason, endpoint, "primary failed {endpoint} again: {reason}");
        }
    }

    /// Returns since when the primary fails; `None` while it answers.
    pub fn failing_since(&self) -> Option<Time> {
        Some(self.failing_since.load(Ordering::Relaxed)).filter(|since| *since != 0).and_then(Time::from_milliseconds)
    }

    /// Returns whether the breaker holds questions back.
    pub fn is_breaker_open(&self) -> bool {
        self.breaker.open_since().is_some()
    }

    /// Builds the error of a request, with what is known of the primary and of what still works at this moment.
    pub fn upstream_error(&self, reason: &str, may_have_reached: bool, cause: FailureCause) -> UpstreamError {
        UpstreamError {
            failing_since: self.failing_since(),
            reason: reason.to_owned(),
            may_have_reached,
            cause,
            availability: Availability::assess(&self.replica.read(), self.freshness_policy, clock::boot_time()),
        }
    }
}
