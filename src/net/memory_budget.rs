//! The memory for the bodies of requests, as they arrive and as they are decoded: one budget for all authenticated callers together, and a
//! smaller one for those who are not authenticated yet.
//!
//! Whoever can open the socket can send a body, and the credentials may be inside it; whoever has a credential can send more of them. What
//! is held is counted as it arrives, and what decoding takes before it is decoded. A request that does not fit is refused at once, so that
//! memory stays bounded and nobody waits for an attacker.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// A budget of bytes. `Clone` shares it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    bytes: Arc<BudgetBytes>,
    holder: BudgetHolder,
}

#[derive(Debug)]
struct BudgetBytes {
    total: AtomicUsize,
    /// Below zero while more is held than a budget that was made smaller has.
    remaining: AtomicIsize,
    /// The most that one request may hold.
    max_each: AtomicUsize,
}

/// Whose bodies a budget is for, which decides what a refused caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetHolder {
    /// Callers with a good credential.
    Authenticated,
    /// Callers who have not shown one yet.
    Unauthenticated,
}

/// The bytes of a budget that one request holds; returned when dropped.
#[derive(Debug)]
pub struct Reservation {
    /// `None` for an operator, whose bytes are not counted: status must be answered while others hold everything.
    budget: Option<MemoryBudget>,
    reserved: usize,
}

/// Why no more bytes of a budget can be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetExhausted {
    /// Other requests hold what is missing.
    InUse(BudgetHolder),
    /// This request alone would hold more than one may: so many bytes.
    OverShare(usize),
}

impl MemoryBudget {
    /// Returns a budget of so many bytes, of which one request may hold `max_each`.
    #[must_use]
    pub fn new(bytes: usize, max_each: usize, holder: BudgetHolder) -> Self {
        let bytes = BudgetBytes {
            total: AtomicUsize::new(bytes),
            remaining: AtomicIsize::new(signed(bytes)),
            max_each: AtomicUsize::new(max_each),
        };
        Self { bytes: Arc::new(bytes), holder }
    }

    /// Makes it larger or smaller. What is held stays held; a smaller budget admits nothing until enough was returned.
    pub fn resize(&self, bytes: usize, max_each: usize) {
        let former = self.bytes.total.swap(bytes, Ordering::Relaxed);
        self.bytes.remaining.fetch_add(signed(bytes) - signed(former), Ordering::Relaxed);
        self.bytes.max_each.store(max_each, Ordering::Relaxed);
    }

    /// Returns the reservation of one more request, which holds nothing yet.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { budget: Some(self.clone()), reserved: 0 }
    }

    /// Returns a reservation of this budget for what another one holds, which is returned. Where it does not fit, both are.
    pub fn take_over(&self, other: Reservation) -> Result<Reservation, BudgetExhausted> {
        let mut reservation = self.reservation();
        reservation.grow(other.reserved)?;
        Ok(reservation)
    }

    /// Returns how many bytes are not reserved.
    #[must_use]
    pub fn remaining(&self) -> usize {
        usize::try_from(self.bytes.remaining.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Reservation {
    /// Returns the reservation of an operator, which is not counted.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { budget: None, reserved: 0 }
    }

    /// Reserves so many bytes more. On an error it holds as many as before.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let Some(budget) = self.budget.as_ref().filter(|_| bytes > 0) else { return Ok(()) };
        let reserved = self.reserved.saturating_add(bytes);
        let max_each = budget.bytes.max_each.load(Ordering::Relaxed);
        if reserved > max_each {
            return Err(BudgetExhausted::OverShare(max_each));
        }
        let take = |left: isize| left.checked_sub(signed(bytes)).filter(|left| *left >= 0);
        let taken = budget.bytes.remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_too_few| BudgetExhausted::InUse(budget.holder))?;
        self.reserved = reserved;
        Ok(())
    }

    /// Reserves as [`Self::grow`] does, for a size that is costly to compute: it is computed only if it is counted.
    pub fn grow_with(&mut self, bytes: impl FnOnce() -> usize) -> Result<(), BudgetExhausted> {
        if self.budget.is_some() { self.grow(bytes()) } else { Ok(()) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(budget) = self.budget.as_ref().filter(|_| self.reserved > 0) {
            budget.bytes.remaining.fetch_add(signed(self.reserved), Ordering::Relaxed);
        }
    }
}

/// No memory here comes near the largest `isize`.
fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::BudgetHolder::{Authenticated, Unauthenticated};
    use super::{BudgetExhausted, MemoryBudget, Reservation};

    #[test]
    fn all_reservations_together_hold_no_more_than_the_budget_and_return_it() {
        let budget = MemoryBudget::new(10, 10, Unauthenticated);
        let in_use = Err(BudgetExhausted::InUse(Unauthenticated));
        let [mut one, mut other] = [budget.reservation(), budget.reservation()];
        assert_eq!((one.grow(4), one.grow(3), other.grow(4), other.grow(3)), (Ok(()), Ok(()), in_use, Ok(())));
        drop(one);
        assert_eq!((other.grow(8), other.grow(7)), (Err(BudgetExhausted::OverShare(10)), Ok(())));
        drop(other);
        assert_eq!(budget.reservation().grow(10), Ok(()));
        assert_eq!(budget.reservation().grow_with(|| 11), Err(BudgetExhausted::OverShare(10)));
        assert_eq!(Reservation::unlimited().grow(usize::MAX), Ok(()), "an operator is not counted");
        assert_eq!(Reservation::unlimited().grow_with(|| panic!("nor measured")), Ok(()));
    }

    #[test]
    fn a_budget_that_is_made_smaller_or_larger_keeps_count_of_what_is_held() {
        let budget = MemoryBudget::new(10, 10, Unauthenticated);
        let mut held = budget.reservation();
        held.grow(8).unwrap();
        budget.resize(4, 3);
        assert_eq!((budget.remaining(), held.grow(1)), (0, Err(BudgetExhausted::OverShare(3))));
        let mut other = budget.reservation();
        assert_eq!(other.grow(1), Err(BudgetExhausted::InUse(Unauthenticated)));
        drop(held);
        assert_eq!((budget.remaining(), other.grow(3), other.grow(1)), (4, Ok(()), Err(BudgetExhausted::OverShare(3))));
        budget.resize(20, 20);
        assert_eq!((budget.remaining(), other.grow(17), other.grow(1)), (17, Ok(()), Err(BudgetExhausted::OverShare(20))));
        drop(other);
        assert_eq!(budget.remaining(), 20);
    }

    #[test]
    fn one_request_holds_no_more_than_its_share_and_what_is_taken_over_changes_its_budget() {
        let (first, second) = (MemoryBudget::new(10, 10, Unauthenticated), MemoryBudget::new(10, 5, Authenticated));
        let held = |bytes| {
            let mut held = first.reservation();
            held.grow(bytes).unwrap();
            held
        };
        assert_eq!(second.take_over(held(6)).err(), Some(BudgetExhausted::OverShare(5)));
        let taken = [second.take_over(held(5)), second.take_over(held(4))].map(Result::unwrap);
        assert_eq!((first.remaining(), second.remaining()), (10, 1));
        assert_eq!(second.take_over(held(2)).err(), Some(BudgetExhausted::InUse(Authenticated)));
        drop(taken);
        assert_eq!((first.remaining(), second.remaining()), (10, 10));
    }
}
