//! `loss_guard`: how large a loss has to be before somebody must say that it is meant.

use crate::cli::config::document::Fault;
use crate::model::loss_guard::LossGuard;

/// A share is a share.
pub(super) fn check(guard: LossGuard, key: &str) -> Result<(), Fault> {
    Fault::unless((0.0..=1.0).contains(&guard.share), &format!("{key}.share"), "a share is from 0.0 to 1.0")
}
