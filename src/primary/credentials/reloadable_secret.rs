//! A secret that may be replaced, removed or set while the primary runs; the previous one is still accepted for its grace period.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq as _;

use crate::model::time::Time;
use crate::wire::auth::secret::{RotatingSecret, Secret};

/// The secret of one kind of caller, if it is configured.
pub struct ReloadableSecret(ArcSwapOption<RotatingSecret>);

impl ReloadableSecret {
    /// Starts with this secret, or none.
    #[must_use]
    pub fn new(secret: Option<Secret>) -> Self {
        Self(ArcSwapOption::from_pointee(secret.map(RotatingSecret::new)))
    }

    /// Replaces the secret, or removes it.
    pub fn rotate(&self, next: Option<Secret>, now: Time) {
        let secrets = next.map(|next| match self.0.load_full() {
            Some(previous) => rotated(&previous, next, now),
            None => Arc::new(RotatingSecret::new(next)),
        });
        self.0.store(secrets);
    }

    /// Returns the secrets that are accepted; `None` if none is configured.
    #[must_use]
    pub fn secrets(&self) -> Option<Arc<RotatingSecret>> {
        self.0.load_full()
    }
}

/// Returns `next` as the current secret with that of `previous` as the previous one; `previous` itself if nothing changes.
#[must_use]
pub fn rotated(previous: &Arc<RotatingSecret>, next: Secret, now: Time) -> Arc<RotatingSecret> {
    if secrets_equal(previous.current(), &next) {
        return Arc::clone(previous);
    }
    Arc::new(match Secret::from_bytes(previous.current().expose_bytes()) {
        Ok(current) => RotatingSecret::new(current).rotated(next, now),
        Err(_) => RotatingSecret::new(next),
    })
}

/// Returns whether two secrets are the same, in constant time.
#[must_use]
pub fn secrets_equal(one: &Secret, other: &Secret) -> bool {
    one.expose_bytes().ct_eq(other.expose_bytes()).into()
}
