//! `loss_guard`: how large a loss has to be before somebody must say that it is meant.

use crate::cli::config::document::InvalidSetting;
use crate::model::loss_guard::LossGuard;

/// A share is a share.
pub(super) fn validate(guard: LossGuard, key: &str) -> Result<(), InvalidSetting> {
    InvalidSetting::ensure((0.0..=1.0).contains(&guard.share), &format!("{key}.share"), "a share is from 0.0 to 1.0")
}
