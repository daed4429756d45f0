//! What GitLab has and no record can express: counted, and some of it named.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::wire::gitlab::object::Skipped;

/// How many are named.
const MAX_NAMED: usize = 20;
/// How many are told apart; more are counted as one.
const MAX_COUNTED: usize = 10_000;

/// The objects that were skipped, by name, with the reason.
#[derive(Debug, Default)]
pub struct SkippedRecords {
    reasons: Mutex<BTreeMap<String, String>>,
}

impl SkippedRecords {
    /// Notes one; one line in the log for each.
    pub fn note(&self, skipped: &Skipped) {
        let mut reasons = self.reasons();
        if reasons.len() < MAX_COUNTED && reasons.insert(skipped.what.clone(), skipped.reason.clone()).is_none() {
            tracing::warn!("{skipped}");
        }
    }

    /// Forgets all, as a new walk begins.
    pub fn clear(&self) {
        self.reasons().clear();
    }

    /// Returns the number, and some with their reasons.
    #[must_use]
    pub fn status(&self) -> Value {
        let reasons = self.reasons();
        let named: Vec<Value> = reasons.iter().take(MAX_NAMED).map(|(what, reason)| json!({"what": what, "reason": reason})).collect();
        json!({"count": reasons.len(), "named": named})
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.reasons().len()
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
