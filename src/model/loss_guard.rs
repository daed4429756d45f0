//! How many records may be lost at once before an operator must confirm it: one measure, for the primary and for its followers.

use serde::Deserialize;

/// A loss beyond both bounds must be confirmed. In a configuration each may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossGuard {
    /// A share of all records, from 0 to 1.
    pub share: f64,
    /// A number of records.
    pub more_than: u64,
}

/// The number of records that would be lost, and of all records before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "described at the struct")]
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
    /// Returns whether an operator must confirm this loss.
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
    fn a_loss_must_be_confirmed_only_beyond_both_bounds() {
        let needs_confirmation = |lost, total| LossGuard::default().requires_confirmation(Loss { lost, total });
        assert!(needs_confirmation(101, 500));
        assert!(!needs_confirmation(100, 100), "all of a small kind may go");
        assert!(!needs_confirmation(101, 505), "exactly the share may go");
        assert!(!needs_confirmation(0, 0));
        for (total, lost, expected) in
            [(1000, 201, true), (1000, 200, false), (150, 100, false), (150, 101, true), (0, 0, false), (10, 10, false)]
        {
            assert_eq!(needs_confirmation(lost, total), expected, "{lost} of {total}");
        }
    }
}
