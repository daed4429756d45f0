//! How many bytes may be held for callers who have not shown who they are: all of them together have one allowance.
//!
//! Anybody who can open the socket can send a body in which a secret may still be found. What is held meanwhile is counted as it
//! arrives, and whoever finds no room is sent away at once, so that memory stays bounded and nobody waits for an attacker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The allowance. `Clone` shares it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    remaining: Arc<AtomicUsize>,
}

/// What one request holds of it; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    /// `None`: of one who is believed, and not counted.
    remaining: Option<Arc<AtomicUsize>>,
    reserved: usize,
}

/// Others hold what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExhausted;

impl MemoryBudget {
    /// So many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { remaining: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// The share of one more request, which holds nothing yet.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { remaining: Some(Arc::clone(&self.remaining)), reserved: 0 }
    }
}

impl Reservation {
    /// The share of a caller who is believed: it may hold anything.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { remaining: None, reserved: 0 }
    }

    /// Holds so many bytes more, or as many as before.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let Some(left) = &self.remaining else { return Ok(()) };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_too_few| BudgetExhausted)?;
        self.reserved += bytes;
        Ok(())
    }

    /// The same for a size that takes a while to find: where nothing is counted it is not looked for.
    pub fn grow_with(&mut self, bytes: impl FnOnce() -> usize) -> Result<(), BudgetExhausted> {
        if self.remaining.is_some() { self.grow(bytes()) } else { Ok(()) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(left) = &self.remaining {
            left.fetch_add(self.reserved, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BudgetExhausted, MemoryBudget, Reservation};

    #[test]
    fn all_shares_together_hold_no_more_than_the_allowance_and_give_it_back() {
        let allowance = MemoryBudget::new(10);
        let [mut one, mut other] = [allowance.reservation(), allowance.reservation()];
        assert_eq!((one.grow(4), one.grow(3), other.grow(4), other.grow(3)), (Ok(()), Ok(()), Err(BudgetExhausted), Ok(())));
        drop(one);
        assert_eq!((other.grow(8), other.grow(7)), (Err(BudgetExhausted), Ok(())));
        drop(other);
        assert_eq!(allowance.reservation().grow(10), Ok(()));
        assert_eq!(allowance.reservation().grow_with(|| 11), Err(BudgetExhausted));
        assert_eq!(Reservation::unlimited().grow(usize::MAX), Ok(()), "who is believed is not counted");
        assert_eq!(Reservation::unlimited().grow_with(|| panic!("nor measured")), Ok(()));
    }
}
