//! What a primary is set up with. Every value is given; nothing here reads a file or has a default of its own, so that
//! what a configuration said, what a test wants and what a demo needs come the same way.

use std::path::PathBuf;
use std::sync::Arc;

use crate::net::bounds::Bounds;
use crate::net::server::Counted;
use crate::store::generation::Options;
use crate::wire::secret::Secret;

/// Everything that [`crate::authority::authority::Authority::open`] is told.
pub struct Setup {
    /// The folder of the store; made if it is not there.
    pub store_path: PathBuf,
    /// How much memory the store may take.
    pub options: Options,
    /// gitlab-shell's secret.
    pub shell_secret: Secret,
    /// The followers' secret.
    pub sync_secret: Secret,
    /// KAS's secret; without it the kubernetes endpoints answer 401.
    pub kas_secret: Option<Secret>,
    /// The token of subscriptions, minutes and reconciliations, beside tokens of administrators.
    pub admin_token: Option<Secret>,
    /// The token of error tracking; without it that endpoint answers 401.
    pub error_tracking_token: Option<Secret>,
    /// Whether the base document's shared secret counts, on Unix sockets.
    pub accept_shared_secret: bool,
    /// From how large a loss on an apply asks to be told so.
    pub loss_guard: LossGuard,
    /// The user that the daemon runs as: with root the only ones that may be operators.
    pub own_uid: u32,
    /// The bounds of the sockets.
    pub bounds: Bounds,
    /// What the server counts, for the metrics.
    pub counted: Arc<Counted>,
}

/// From how large a loss on, of one kind of record, somebody has to say that it is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossGuard {
    /// More than this share of a kind, …
    pub share: f64,
    /// … and more than so many records of it.
    pub more_than: u64,
}

impl LossGuard {
    /// Whether losing `lost` of `held` records of a kind asks for a word.
    #[must_use]
    pub fn holds(&self, lost: u64, held: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a share of a count needs no more than 52 bits")]
        let share = lost as f64 / (held.max(1)) as f64;
        lost > self.more_than && share > self.share
    }
}

#[cfg(test)]
mod tests {
    use super::LossGuard;

    #[test]
    fn a_loss_is_held_only_beyond_both_bounds() {
        let guard = LossGuard { share: 0.2, more_than: 100 };
        assert!(guard.holds(101, 500));
        assert!(!guard.holds(100, 100), "all of a small kind may go");
        assert!(!guard.holds(101, 505), "exactly the share may go");
        assert!(!guard.holds(0, 0));
    }
}
