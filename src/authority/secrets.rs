//! A secret that may be renewed, taken away or given while the primary runs; the one before still counts for its grace.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq as _;

use crate::model::time::Time;
use crate::wire::secret::{Secret, Secrets};

/// The secret of one door, if it has one.
pub struct Renewable(ArcSwapOption<Secrets>);

impl Renewable {
    /// With this secret, or none.
    #[must_use]
    pub fn of(secret: Option<Secret>) -> Self {
        Self(ArcSwapOption::from_pointee(secret.map(Secrets::one)))
    }

    /// From now on this one, or none.
    pub fn renew(&self, next: Option<Secret>, now: Time) {
        let renewed = next.map(|next| match self.0.load_full() {
            Some(before) => renewed(&before, next, now),
            None => Arc::new(Secrets::one(next)),
        });
        self.0.store(renewed);
    }

    /// Those that count; `None` if this door has no secret.
    #[must_use]
    pub fn secrets(&self) -> Option<Arc<Secrets>> {
        self.0.load_full()
    }
}

/// `next` as the present secret, the present one of `before` as the one before; `before` itself if nothing changes.
#[must_use]
pub fn renewed(before: &Arc<Secrets>, next: Secret, now: Time) -> Arc<Secrets> {
    if equal(before.present(), &next) {
        return Arc::clone(before);
    }
    Arc::new(match Secret::of(before.present().bytes()) {
        Ok(present) => Secrets::one(present).renewed(next, now),
        Err(_) => Secrets::one(next),
    })
}

/// Whether two secrets are the same; constant time.
#[must_use]
pub fn equal(one: &Secret, other: &Secret) -> bool {
    one.bytes().ct_eq(other.bytes()).into()
}
