//! `loss_guard`: how large a loss has to be before somebody must say that it is meant.

use serde::Deserialize;

use crate::cli::config::document::Fault;

/// A loss beyond both is held.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossGuard {
    /// A share of what there is, from 0 to 1.
    pub share: f64,
    /// A number of records.
    pub more_than: u64,
}

impl Default for LossGuard {
    fn default() -> Self {
        Self { share: 0.2, more_than: 100 }
    }
}

impl LossGuard {
    pub(super) fn check(self, key: &str) -> Result<(), Fault> {
        Fault::unless((0.0..=1.0).contains(&self.share), &format!("{key}.share"), "a share is from 0.0 to 1.0")
    }
}
