//! A secret that may be renewed, taken away or given while the primary runs; the one before still counts for its grace.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq as _;

use crate::model::time::Time;
use crate::wire::auth::secret::{RotatingSecret, Secret};

/// The secret of one door, if it has one.
pub struct ReloadableSecret(ArcSwapOption<RotatingSecret>);

impl ReloadableSecret {
    /// With this secret, or none.
    #[must_use]
    pub fn new(secret: Option<Secret>) -> Self {
        Self(ArcSwapOption::from_pointee(secret.map(RotatingSecret::new)))
    }

    /// From now on this one, or none.
    pub fn rotate(&self, next: Option<Secret>, now: Time) {
        let renewed = next.map(|next| match self.0.load_full() {
            Some(before) => rotated(&before, next, now),
            None => Arc::new(RotatingSecret::new(next)),
        });
        self.0.store(renewed);
    }

    /// Those that count; `None` if this door has no secret.
    #[must_use]
    pub fn secrets(&self) -> Option<Arc<RotatingSecret>> {
        self.0.load_full()
    }
}

/// `next` as the present secret, the present one of `before` as the one before; `before` itself if nothing changes.
#[must_use]
pub fn rotated(before: &Arc<RotatingSecret>, next: Secret, now: Time) -> Arc<RotatingSecret> {
    if secrets_equal(before.current(), &next) {
        return Arc::clone(before);
    }
    Arc::new(match Secret::from_bytes(before.current().expose_bytes()) {
        Ok(present) => RotatingSecret::new(present).rotated(next, now),
        Err(_) => RotatingSecret::new(next),
    })
}

/// Whether two secrets are the same; constant time.
#[must_use]
pub fn secrets_equal(one: &Secret, other: &Secret) -> bool {
    one.expose_bytes().ct_eq(other.expose_bytes()).into()
}
