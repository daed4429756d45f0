//! What an operator should look at: each alarm stands until its cause is gone, with one line in the log when it begins and one when it ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::api::alarm_metrics::AlarmMetrics;
use crate::model::time::Time;

/// Why there is an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmReason {
    /// GitLab's public API does not answer, or not as a GitLab's does.
    PublicApiUnusable,
    /// The same of its internal API.
    InternalApiUnusable,
    /// GitLab refuses the token of its public API.
    TokenRefused,
    /// GitLab refuses the shell secret.
    SecretRefused,
    /// More would be removed than the loss guard lets through.
    LossGuard,
    /// GitLab denies many keys that it knew.
    KeysDenied,
    /// The list of users is not one that can be true.
    ImplausibleList,
    /// The short walk has not come to its end for too long.
    ShortWalkLate,
    /// GitLab changes without telling.
    HooksSilent,
    /// Hooks carry a wrong token.
    HookToken,
    /// More hooks than can be kept wait to be asked.
    HooksOverflow,
}

impl AlarmReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::PublicApiUnusable,
        Self::InternalApiUnusable,
        Self::TokenRefused,
        Self::SecretRefused,
        Self::LossGuard,
        Self::KeysDenied,
        Self::ImplausibleList,
        Self::ShortWalkLate,
        Self::HooksSilent,
        Self::HookToken,
        Self::HooksOverflow,
    ];

    /// Returns the reason's name, in metrics and in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PublicApiUnusable => "public_api_unusable",
            Self::InternalApiUnusable => "internal_api_unusable",
            Self::TokenRefused => "token_refused",
            Self::SecretRefused => "secret_refused",
            Self::LossGuard => "loss_guard",
            Self::KeysDenied => "keys_denied",
            Self::ImplausibleList => "implausible_list",
            Self::ShortWalkLate => "short_walk_late",
            Self::HooksSilent => "hooks_silent",
            Self::HookToken => "hook_token",
            Self::HooksOverflow => "hooks_overflow",
        }
    }
}

impl AlarmReason {
    /// Returns what an operator should do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::PublicApiUnusable => "look whether `gitlab.url` leads to the GitLab and it answers; run `sidegate check --mirror`",
            Self::InternalApiUnusable => "look whether GitLab's internal API can be reached from here; run `sidegate check --mirror`",
            Self::TokenRefused => "give `gitlab.token_file` a token of an administrator with the scope read_api that has not expired",
            Self::SecretRefused => "compare `gitlab.shell_secret_file` with GitLab's own, and both clocks",
            Self::LossGuard => {
                "look at GitLab's users and keys; if they are meant to be gone, run `sidegate admin accept-loss` with this socket"
            }
            Self::KeysDenied => {
                "look whether it is the right instance and database; if the keys are meant to be gone, run `sidegate admin accept-loss` with this socket"
            }
            Self::ImplausibleList => "look at what GitLab's API answers through what stands between; run `sidegate check --mirror`",
            Self::ShortWalkLate => "look whether GitLab is slow, or `gitlab.requests_per_second` too small",
            Self::HooksSilent => "look at the system hook in GitLab (Admin, System hooks): its URL, its last deliveries",
            Self::HookToken => "give the system hook in GitLab the token of `hooks.token_file`; if nobody changed it, find out who sends",
            Self::HooksOverflow => "look whether GitLab answers; a full walk finds what hooks could not be kept for",
        }
    }
}

/// One alarm, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// The reason's name.
    pub kind: &'static str,
    /// The same, as it was called first.
    pub reason: &'static str,
    /// Since when it stands.
    pub since: Time,
    /// What it is, for a person.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The alarms that stand.
pub struct Alarms {
    standing: Mutex<BTreeMap<AlarmReason, Alarm>>,
    metrics: AlarmMetrics,
}

impl Alarms {
    /// Returns no alarm, and shows in the metrics that none stands.
    #[must_use]
    pub fn new(metrics: AlarmMetrics) -> Self {
        metrics.show(AlarmReason::ALL.map(AlarmReason::as_str));
        Self { standing: Mutex::default(), metrics }
    }

    /// Raises an alarm, or says anew what one is that stands.
    pub fn raise(&self, reason: AlarmReason, message: String, now: Time) {
        let mut standing = self.standing();
        if let Some(alarm) = standing.get_mut(&reason) {
            alarm.message = message;
            return;
        }
        tracing::error!(alarm = reason.as_str(), "{message}");
        standing.insert(reason, Alarm { kind: reason.as_str(), reason: reason.as_str(), since: now, message, remedy: reason.remedy() });
        drop(standing);
        self.metrics.count(reason.as_str());
        self.metrics.set_active(reason.as_str(), true);
    }

    /// Ends an alarm, if it stands.
    pub fn clear(&self, reason: AlarmReason) {
        if let Some(alarm) = self.standing().remove(&reason) {
            tracing::info!(alarm = alarm.reason, since = %alarm.since, "the alarm of {} is over: {}", alarm.since, alarm.message);
            self.metrics.set_active(alarm.reason, false);
        }
    }

    /// Returns whether an alarm stands.
    #[must_use]
    pub fn stands(&self, reason: AlarmReason) -> bool {
        self.standing().contains_key(&reason)
    }

    /// Returns the alarms that stand.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        self.standing().values().cloned().collect()
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<AlarmReason, Alarm>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
