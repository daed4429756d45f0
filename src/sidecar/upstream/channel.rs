//! The channel to the primary, which questions and requests that are passed through share: its addresses with the record of whether each
//! answers, the token signer, and the concurrency limit.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::model::clock;
use crate::model::freshness::DirectoryReplica;
use crate::model::time::Time;
use crate::sidecar::config::{FreshnessPolicy, KeptMode, SidecarConfig};
use crate::sidecar::upstream::addresses::PrimaryAddresses;
use crate::sidecar::upstream::availability::Availability;
use crate::sidecar::upstream::concurrency_limit::{ConcurrencyLimit, Permit, RequestClass};
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::wire::auth::credentials::CredentialVerifier;

/// The reason given for a request that is not sent because the probe fails.
const REASON_PROBE_FAILS: &str = "it does not answer the probe";

/// What every request to the primary needs.
pub struct UpstreamChannel {
    pub addresses: PrimaryAddresses,
    pub token_signer: Arc<CredentialVerifier>,
    pub concurrency_limit: ConcurrencyLimit,
    /// Says what still works without the primary, together with the limits of its age.
    replica: Arc<dyn DirectoryReplica>,
    freshness_policy: FreshnessPolicy,
    /// Whether kept answers are given, and not a directory's.
    gives_kept_answers: bool,
}

impl UpstreamChannel {
    /// Creates the channel of a sidecar; nothing is sent yet.
    pub fn new(config: &SidecarConfig) -> Self {
        Self {
            addresses: PrimaryAddresses::new(config),
            token_signer: Arc::clone(&config.token_signer),
            concurrency_limit: ConcurrencyLimit::new(config.bounds.forwards, config.bounds.forwards_waiting),
            replica: Arc::clone(&config.replica),
            freshness_policy: config.freshness_policy,
            gives_kept_answers: config.kept.as_ref().is_some_and(|kept| kept.mode == KeptMode::Answer),
        }
    }

    /// Waits for a permit to send a request, until `deadline` and while the primary answers. An unsigned request is also sent to a primary
    /// that refuses what is signed: our secret may be the wrong one, and says nothing of its own credentials.
    pub async fn acquire_permit(&self, class: RequestClass, deadline: Instant) -> Result<Permit, UpstreamError> {
        let is_unsigned = class == RequestClass::Unsigned;
        let stops = |silent: bool| silent || !is_unsigned;
        if let Some(outage) = self.addresses.outage()
            && stops(outage.is_silent())
        {
            return Err(self.probe_fails_error());
        }
        tokio::select! {
            permit = self.concurrency_limit.acquire(class) => permit.map_err(|error| self.refuse(class, &error.to_string())),
            () = sleep_until(deadline) => Err(self.refuse(class, "no turn to ask it came in time")),
            () = self.addresses.wait_until_failing(), if !is_unsigned => Err(self.probe_fails_error()),
        }
    }

    /// Builds the error of a request that is not sent because the probe fails.
    pub fn probe_fails_error(&self) -> UpstreamError {
        self.upstream_error(REASON_PROBE_FAILS, false, FailureCause::Primary)
    }

    /// Counts a request that got no permit, and builds its error: this host is to blame, unless those who have them wait for the primary.
    fn refuse(&self, class: RequestClass, reason: &str) -> UpstreamError {
        self.concurrency_limit.count_refused(class);
        self.upstream_error(reason, false, self.cause_of_delay())
    }

    /// Returns who is to blame where a request had to wait for others.
    pub fn cause_of_delay(&self) -> FailureCause {
        let now = clock::boot_time();
        let is_primary = self.addresses.outage().is_some() || self.addresses.iter().any(|address| address.health.is_answer_overdue(now));
        if is_primary { FailureCause::Primary } else { FailureCause::Host }
    }

    /// Returns since when the primary has not answered; `None` while it answers.
    pub fn failing_since(&self) -> Option<Time> {
        self.addresses.outage().map(|outage| outage.since)
    }

    /// Builds the error of a request, with what is known of the primary and of what still works at this moment.
    pub fn upstream_error(&self, reason: &str, may_have_reached: bool, cause: FailureCause) -> UpstreamError {
        UpstreamError {
            failing_since: self.failing_since(),
            reason: reason.to_owned(),
            may_have_reached,
            cause,
            availability: self.availability(),
        }
    }

    /// Returns what this host can answer by itself at this moment.
    fn availability(&self) -> Availability {
        if self.gives_kept_answers {
            return Availability::KeptAnswers;
        }
        Availability::assess(&self.replica.read(), self.freshness_policy, clock::boot_time())
    }
}
