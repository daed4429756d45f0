//! The memory for the bodies of unauthenticated callers: one budget for all of them together.
//!
//! Whoever can open the socket can send a body, and the credentials may be inside it. What is held meanwhile is counted as it arrives, and
//! a request that does not fit is refused at once, so that memory stays bounded and nobody waits for an attacker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A budget of bytes. `Clone` shares it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    remaining: Arc<AtomicUsize>,
}

/// The bytes of a budget that one request holds; returned when dropped.
#[derive(Debug)]
pub struct Reservation {
    /// `None` for an authenticated caller, whose bytes are not counted.
    remaining: Option<Arc<AtomicUsize>>,
    reserved: usize,
}

/// The budget has too few bytes left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExhausted;

impl MemoryBudget {
    /// Returns a budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { remaining: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// Returns the reservation of one more request, which holds nothing yet.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { remaining: Some(Arc::clone(&self.remaining)), reserved: 0 }
    }
}

impl Reservation {
    /// Returns the reservation of an authenticated caller, which is not counted.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { remaining: None, reserved: 0 }
    }

    /// Reserves so many bytes more. On an error it holds as many as before.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let Some(remaining) = &self.remaining else { return Ok(()) };
        let taken = remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_too_few| BudgetExhausted)?;
        self.reserved += bytes;
        Ok(())
    }

    /// Reserves as [`Self::grow`] does, for a size that is costly to compute: it is computed only if it is counted.
    pub fn grow_with(&mut self, bytes: impl FnOnce() -> usize) -> Result<(), BudgetExhausted> {
        if self.remaining.is_some() { self.grow(bytes()) } else { Ok(()) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(remaining) = &self.remaining {
            remaining.fetch_add(self.reserved, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BudgetExhausted, MemoryBudget, Reservation};

    #[test]
    fn all_reservations_together_hold_no_more_than_the_budget_and_return_it() {
        let budget = MemoryBudget::new(10);
        let [mut one, mut other] = [budget.reservation(), budget.reservation()];
        assert_eq!((one.grow(4), one.grow(3), other.grow(4), other.grow(3)), (Ok(()), Ok(()), Err(BudgetExhausted), Ok(())));
        drop(one);
        assert_eq!((other.grow(8), other.grow(7)), (Err(BudgetExhausted), Ok(())));
        drop(other);
        assert_eq!(budget.reservation().grow(10), Ok(()));
        assert_eq!(budget.reservation().grow_with(|| 11), Err(BudgetExhausted));
        assert_eq!(Reservation::unlimited().grow(usize::MAX), Ok(()), "an authenticated caller is not counted");
        assert_eq!(Reservation::unlimited().grow_with(|| panic!("nor measured")), Ok(()));
    }
}
