//! `loss_guard`: how large a loss of records must be before an operator has to confirm it.

use crate::cli::config::document::InvalidSetting;
use crate::model::loss_guard::LossGuard;

/// Refuses a share that is not from 0 to 1; `key` is the path of the guard.
pub fn validate(guard: LossGuard, key: &str) -> Result<(), InvalidSetting> {
    InvalidSetting::ensure((0.0..=1.0).contains(&guard.share), &format!("{key}.share"), "must be from 0.0 to 1.0")
}
