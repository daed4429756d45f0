//! How large a loss has to be before somebody must say that it is meant: one measure, at the primary and at its followers.

use serde::Deserialize;

/// A loss beyond both is held. In a configuration each may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossGuard {
    /// A share of what there is, from 0 to 1.
    pub share: f64,
    /// A number of records.
    pub more_than: u64,
}

/// What goes, of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub struct Loss {
    pub lost: u64,
    pub total: u64,
}

impl Default for LossGuard {
    fn default() -> Self {
        Self { share: 0.2, more_than: 100 }
    }
}

impl LossGuard {
    /// Whether somebody must say that this loss is meant.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of a count need not be exact beyond 2^52")]
    pub fn requires_confirmation(self, loss: Loss) -> bool {
        loss.lost > self.more_than && loss.lost as f64 > self.share * loss.total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Loss, LossGuard};

    #[test]
    fn a_loss_is_held_only_beyond_both_bounds() {
        let held = |lost, held| LossGuard::default().requires_confirmation(Loss { lost, total: held });
        assert!(held(101, 500));
        assert!(!held(100, 100), "all of a small kind may go");
        assert!(!held(101, 505), "exactly the share may go");
        assert!(!held(0, 0));
        for (had, lost, expected) in
            [(1000, 201, true), (1000, 200, false), (150, 100, false), (150, 101, true), (0, 0, false), (10, 10, false)]
        {
            assert_eq!(held(lost, had), expected, "{lost} of {had}");
        }
    }
}
