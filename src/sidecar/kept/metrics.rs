//! What is counted of kept answers.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::model::kept_answer::KeptKind;

/// How a look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// Given without asking.
    Fresh,
    /// Given because the primary failed or was slow.
    Stale,
    /// A key that the primary did not know a moment ago.
    Unknown,
    /// The primary was asked, and nothing kept was given.
    Asked,
}

/// Why an answer is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionReason {
    /// The primary says no to its question, or something else now.
    Answer,
    /// The primary does not know its key any more.
    Key,
    /// The primary refused its actor.
    Actor,
    /// An operator removed it.
    Operator,
    /// There was no room.
    Room,
    /// Its actor had more than their share.
    Share,
    /// It was too old to be given.
    Age,
    /// The followed feed took away its key or user.
    Feed,
}

impl LookupOutcome {
    const ALL: [Self; 4] = [Self::Fresh, Self::Stale, Self::Unknown, Self::Asked];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
            Self::Asked => "asked",
        }
    }
}

impl EvictionReason {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [Self::Answer, Self::Key, Self::Actor, Self::Operator, Self::Room, Self::Share, Self::Age, Self::Feed];

    /// Its name in the status and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Key => "key",
            Self::Actor => "actor",
            Self::Operator => "operator",
            Self::Room => "room",
            Self::Share => "share",
            Self::Age => "age",
            Self::Feed => "revoked",
        }
    }
}

/// The counters.
pub struct KeptMetrics {
    lookups: [[Counter; LookupOutcome::ALL.len()]; KeptKind::ALL.len()],
    evictions: [Counter; EvictionReason::ALL.len()],
    /// Questions that were asked before an answer was too old.
    pub refreshes: Counter,
    /// Answers that were asked for before a revocation, and arrived after it.
    pub overtaken: Counter<u64, AtomicU64>,
    /// How often the primary did not know most of the keys that it knew.
    pub holds: Counter,
    /// Answers that were given although the primary had taken them back.
    pub given_back: Counter,
}

impl KeptMetrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let lookups: Family<[(&'static str, &'static str); 2], Counter> = Family::default();
        let evictions: Family<[(&'static str, &'static str); 1], Counter> = Family::default();
        let (refreshes, overtaken) = (Counter::default(), Counter::default());
        let (holds, given_back) = (Counter::default(), Counter::default());
        registry.register("sidegate_kept_lookups", "Look-ups in the kept answers", lookups.clone());
        registry.register("sidegate_kept_evictions", "Kept answers that are kept no more", evictions.clone());
        registry.register("sidegate_kept_refreshes", "Questions asked before a kept answer was too old", refreshes.clone());
        registry.register("sidegate_kept_overtaken", "Answers from before a revocation that came after it", overtaken.clone());
        registry.register("sidegate_mass_negative_holds", "How often the primary did not know most of the keys it knew", holds.clone());
        registry.register("sidegate_mass_negative_answers", "Answers given although it had taken them back", given_back.clone());
        let lookup = |kind: KeptKind, outcome: LookupOutcome| {
            lookups.get_or_create_owned(&[("question", kind.as_str()), ("outcome", outcome.as_str())])
        };
        Self {
            lookups: KeptKind::ALL.map(|kind| LookupOutcome::ALL.map(|outcome| lookup(kind, outcome))),
            evictions: EvictionReason::ALL.map(|reason| evictions.get_or_create_owned(&[("reason", reason.as_str())])),
            refreshes,
            overtaken,
            holds,
            given_back,
        }
    }

    /// Counts a look-up.
    pub fn count_lookup(&self, kind: KeptKind, outcome: LookupOutcome) {
        self.lookups[kind as usize][outcome as usize].inc();
    }

    /// Counts answers that are kept no more.
    pub fn count_evictions(&self, reason: EvictionReason, answers: usize) {
        self.evictions[reason as usize].inc_by(answers as u64);
    }

    /// Returns how many look-ups of a kind ended so.
    #[must_use]
    pub fn lookups(&self, kind: KeptKind, outcome: LookupOutcome) -> u64 {
        self.lookups[kind as usize][outcome as usize].get()
    }

    /// Returns how many answers went for a reason.
    #[must_use]
    pub fn evictions(&self, reason: EvictionReason) -> u64 {
        self.evictions[reason as usize].get()
    }
}
