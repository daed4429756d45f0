//! How many questions may be on their way to the primary, and how many may wait; key misses at most a quarter of each, and so what is
//! passed on unsigned.
//!
//! Anybody who can reach sshd can cause key misses, and anybody who can open the socket can have something passed on unsigned, so neither
//! may take the room of those who have shown who they are, nor the other's.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget of forwards. `Clone` shares it.
#[derive(Clone)]
pub struct ConcurrencyLimit {
    running: SlotPool,
    waiting: SlotPool,
}

/// Places of one kind: all of them, and of these the ones that key misses may take, and what is unsigned.
#[derive(Clone)]
struct SlotPool {
    capacity: usize,
    all: Arc<Semaphore>,
    key_misses: Arc<Semaphore>,
    unsigned: Arc<Semaphore>,
}

/// What a forward is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestClass {
    /// An attacker can cause it: a key nobody knows.
    KeyMiss,
    /// Whoever may open the socket can cause it: what only the primary can judge.
    Unsigned,
    /// Anything else.
    Other,
}

/// No room, not even to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting for the primary")]
pub struct LimitReached;

/// Leave for one forward; dropped when it has ended.
pub struct Permit {
    _slots: (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit),
    waited: bool,
}

impl Permit {
    /// Whether it had to be waited for.
    #[must_use]
    pub const fn waited(&self) -> bool {
        self.waited
    }
}

impl ConcurrencyLimit {
    /// So many at once, so many waiting. At least one of each sort may be under way, however small the budget.
    #[must_use]
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.max(1);
        Self { running: SlotPool::new(at_once, (at_once / 4).max(1)), waiting: SlotPool::new(waiting, waiting / 4) }
    }

    /// Waits for a turn. Whoever stops waiting gives its place back. Turns come in the order of asking, within a sort.
    pub async fn acquire(&self, sort: RequestClass) -> Result<Permit, LimitReached> {
        if let Ok(permit) = self.running.try_acquire(sort) {
            return Ok(permit);
        }
        let _place_to_wait = self.waiting.try_acquire(sort)?;
        self.running.acquire(sort).await
    }

    /// Now under way, and waiting.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.running.in_use(), self.waiting.in_use())
    }
}

impl SlotPool {
    fn new(places: usize, quarter: usize) -> Self {
        let places = places.min(Semaphore::MAX_PERMITS);
        let room = |places| Arc::new(Semaphore::new(places));
        Self { capacity: places, all: room(places), key_misses: room(quarter.min(places)), unsigned: room(quarter.min(places)) }
    }

    fn try_acquire(&self, sort: RequestClass) -> Result<Permit, LimitReached> {
        let place = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_owned().map_err(|_none| LimitReached);
        let held = (self.class_slots(sort).map(place).transpose()?, place(&self.all)?);
        Ok(Permit { _slots: held, waited: false })
    }

    async fn acquire(&self, sort: RequestClass) -> Result<Permit, LimitReached> {
        let place = async |room: &Arc<Semaphore>| Arc::clone(room).acquire_owned().await.map_err(|_closed| LimitReached);
        let quarter = match self.class_slots(sort) {
            Some(quarter) => Some(place(quarter).await?),
            None => None,
        };
        Ok(Permit { _slots: (quarter, place(&self.all).await?), waited: true })
    }

    /// The places that those of a sort may take, besides one of all.
    const fn class_slots(&self, sort: RequestClass) -> Option<&Arc<Semaphore>> {
        match sort {
            RequestClass::KeyMiss => Some(&self.key_misses),
            RequestClass::Unsigned => Some(&self.unsigned),
            RequestClass::Other => None,
        }
    }

    fn in_use(&self) -> usize {
        self.capacity.saturating_sub(self.all.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::{ConcurrencyLimit, LimitReached, Permit, RequestClass};

    /// Polls once: what is not ready waits.
    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn acquire_now(budget: &ConcurrencyLimit, sort: RequestClass) -> Permit {
        match poll_once(pin!(budget.acquire(sort))) {
            Poll::Ready(Ok(permit)) => permit,
            Poll::Ready(Err(LimitReached)) => panic!("it is full"),
            Poll::Pending => panic!("it waits"),
        }
    }

    fn is_limit_reached(budget: &ConcurrencyLimit, sort: RequestClass) -> bool {
        matches!(poll_once(pin!(budget.acquire(sort))), Poll::Ready(Err(LimitReached)))
    }

    #[test]
    fn beyond_those_at_once_one_waits_and_beyond_those_waiting_it_is_full() {
        let budget = ConcurrencyLimit::new(2, 1);
        let first = acquire_now(&budget, RequestClass::Other);
        let _second = acquire_now(&budget, RequestClass::Other);
        let mut waits = pin!(budget.acquire(RequestClass::Other));
        assert!(poll_once(waits.as_mut()).is_pending());
        assert_eq!(budget.load(), (2, 1));
        assert!(is_limit_reached(&budget, RequestClass::Other));
        drop(first);
        assert!(matches!(poll_once(waits), Poll::Ready(Ok(_))));
        assert_eq!(budget.load(), (1, 0));
    }

    #[test]
    fn whoever_stops_waiting_gives_the_place_back() {
        let budget = ConcurrencyLimit::new(1, 1);
        let _held = acquire_now(&budget, RequestClass::Other);
        {
            let mut waits = pin!(budget.acquire(RequestClass::Other));
            assert!(poll_once(waits.as_mut()).is_pending());
        }
        assert_eq!(budget.load(), (1, 0));
    }

    #[test]
    fn key_misses_and_what_is_unsigned_take_a_quarter_of_each_and_leave_the_rest_to_others() {
        for (sort, other) in [(RequestClass::KeyMiss, RequestClass::Unsigned), (RequestClass::Unsigned, RequestClass::KeyMiss)] {
            let budget = ConcurrencyLimit::new(8, 8);
            let _quarter = [acquire_now(&budget, sort), acquire_now(&budget, sort)];
            let (mut third, mut fourth) = (pin!(budget.acquire(sort)), pin!(budget.acquire(sort)));
            assert!(poll_once(third.as_mut()).is_pending());
            assert!(poll_once(fourth.as_mut()).is_pending());
            assert!(is_limit_reached(&budget, sort));
            drop([acquire_now(&budget, other), acquire_now(&budget, other)]);
            let _others: Vec<_> = (0..6).map(|_| acquire_now(&budget, RequestClass::Other)).collect();
            let mut waits = pin!(budget.acquire(RequestClass::Other));
            assert!(poll_once(waits.as_mut()).is_pending());
            assert_eq!(budget.load(), (8, 3));
        }
    }

    #[test]
    fn a_turn_says_whether_it_had_to_be_waited_for() {
        let budget = ConcurrencyLimit::new(1, 1);
        let first = acquire_now(&budget, RequestClass::Other);
        let mut waits = pin!(budget.acquire(RequestClass::Other));
        assert!(poll_once(waits.as_mut()).is_pending());
        assert!(!first.waited());
        drop(first);
        assert!(matches!(poll_once(waits), Poll::Ready(Ok(turn)) if turn.waited()));
    }

    #[test]
    fn the_smallest_budget_still_lets_a_key_miss_through() {
        let budget = ConcurrencyLimit::new(0, 0);
        let miss = acquire_now(&budget, RequestClass::KeyMiss);
        assert!(is_limit_reached(&budget, RequestClass::KeyMiss) && is_limit_reached(&budget, RequestClass::Other));
        drop(miss);
        acquire_now(&budget, RequestClass::Other);
    }
}
