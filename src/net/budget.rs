//! How many questions may be on their way to the primary, and how many may wait; key misses at most a quarter of each, and so what is
//! passed on unsigned.
//!
//! Anybody who can reach sshd can cause key misses, and anybody who can open the socket can have something passed on unsigned, so neither
//! may take the room of those who have shown who they are, nor the other's.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget of forwards. `Clone` shares it.
#[derive(Clone)]
pub struct Budget {
    at_once: Room,
    waiting: Room,
}

/// Places of one kind: all of them, and of these the ones that key misses may take, and what is unsigned.
#[derive(Clone)]
struct Room {
    places: usize,
    all: Arc<Semaphore>,
    misses: Arc<Semaphore>,
    unsigned: Arc<Semaphore>,
}

/// What a forward is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
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
pub struct Full;

/// Leave for one forward; dropped when it has ended.
pub struct Permit {
    _held: (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit),
    waited: bool,
}

impl Permit {
    /// Whether it had to be waited for.
    #[must_use]
    pub const fn waited(&self) -> bool {
        self.waited
    }
}

impl Budget {
    /// So many at once, so many waiting. At least one of each sort may be under way, however small the budget.
    #[must_use]
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.max(1);
        Self { at_once: Room::of(at_once, (at_once / 4).max(1)), waiting: Room::of(waiting, waiting / 4) }
    }

    /// Waits for a turn. Whoever stops waiting gives its place back. Turns come in the order of asking, within a sort.
    pub async fn turn(&self, sort: Sort) -> Result<Permit, Full> {
        if let Ok(permit) = self.at_once.now(sort) {
            return Ok(permit);
        }
        let _place_to_wait = self.waiting.now(sort)?;
        self.at_once.soon(sort).await
    }

    /// Now under way, and waiting.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.at_once.taken(), self.waiting.taken())
    }
}

impl Room {
    fn of(places: usize, quarter: usize) -> Self {
        let places = places.min(Semaphore::MAX_PERMITS);
        let room = |places| Arc::new(Semaphore::new(places));
        Self { places, all: room(places), misses: room(quarter.min(places)), unsigned: room(quarter.min(places)) }
    }

    fn now(&self, sort: Sort) -> Result<Permit, Full> {
        let place = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_owned().map_err(|_none| Full);
        let held = (self.quarter(sort).map(place).transpose()?, place(&self.all)?);
        Ok(Permit { _held: held, waited: false })
    }

    async fn soon(&self, sort: Sort) -> Result<Permit, Full> {
        let place = async |room: &Arc<Semaphore>| Arc::clone(room).acquire_owned().await.map_err(|_closed| Full);
        let quarter = match self.quarter(sort) {
            Some(quarter) => Some(place(quarter).await?),
            None => None,
        };
        Ok(Permit { _held: (quarter, place(&self.all).await?), waited: true })
    }

    /// The places that those of a sort may take, besides one of all.
    const fn quarter(&self, sort: Sort) -> Option<&Arc<Semaphore>> {
        match sort {
            Sort::KeyMiss => Some(&self.misses),
            Sort::Unsigned => Some(&self.unsigned),
            Sort::Other => None,
        }
    }

    fn taken(&self) -> usize {
        self.places.saturating_sub(self.all.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::{Budget, Full, Permit, Sort};

    /// Polls once: what is not ready waits.
    fn polled<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn at_once(budget: &Budget, sort: Sort) -> Permit {
        match polled(pin!(budget.turn(sort))) {
            Poll::Ready(Ok(permit)) => permit,
            Poll::Ready(Err(Full)) => panic!("it is full"),
            Poll::Pending => panic!("it waits"),
        }
    }

    fn is_full(budget: &Budget, sort: Sort) -> bool {
        matches!(polled(pin!(budget.turn(sort))), Poll::Ready(Err(Full)))
    }

    #[test]
    fn beyond_those_at_once_one_waits_and_beyond_those_waiting_it_is_full() {
        let budget = Budget::new(2, 1);
        let first = at_once(&budget, Sort::Other);
        let _second = at_once(&budget, Sort::Other);
        let mut waits = pin!(budget.turn(Sort::Other));
        assert!(polled(waits.as_mut()).is_pending());
        assert_eq!(budget.load(), (2, 1));
        assert!(is_full(&budget, Sort::Other));
        drop(first);
        assert!(matches!(polled(waits), Poll::Ready(Ok(_))));
        assert_eq!(budget.load(), (1, 0));
    }

    #[test]
    fn whoever_stops_waiting_gives_the_place_back() {
        let budget = Budget::new(1, 1);
        let _held = at_once(&budget, Sort::Other);
        {
            let mut waits = pin!(budget.turn(Sort::Other));
            assert!(polled(waits.as_mut()).is_pending());
        }
        assert_eq!(budget.load(), (1, 0));
    }

    #[test]
    fn key_misses_and_what_is_unsigned_take_a_quarter_of_each_and_leave_the_rest_to_others() {
        for (sort, other) in [(Sort::KeyMiss, Sort::Unsigned), (Sort::Unsigned, Sort::KeyMiss)] {
            let budget = Budget::new(8, 8);
            let _quarter = [at_once(&budget, sort), at_once(&budget, sort)];
            let (mut third, mut fourth) = (pin!(budget.turn(sort)), pin!(budget.turn(sort)));
            assert!(polled(third.as_mut()).is_pending());
            assert!(polled(fourth.as_mut()).is_pending());
            assert!(is_full(&budget, sort));
            drop([at_once(&budget, other), at_once(&budget, other)]);
            let _others: Vec<_> = (0..6).map(|_| at_once(&budget, Sort::Other)).collect();
            let mut waits = pin!(budget.turn(Sort::Other));
            assert!(polled(waits.as_mut()).is_pending());
            assert_eq!(budget.load(), (8, 3));
        }
    }

    #[test]
    fn a_turn_says_whether_it_had_to_be_waited_for() {
        let budget = Budget::new(1, 1);
        let first = at_once(&budget, Sort::Other);
        let mut waits = pin!(budget.turn(Sort::Other));
        assert!(polled(waits.as_mut()).is_pending());
        assert!(!first.waited());
        drop(first);
        assert!(matches!(polled(waits), Poll::Ready(Ok(turn)) if turn.waited()));
    }

    #[test]
    fn the_smallest_budget_still_lets_a_key_miss_through() {
        let budget = Budget::new(0, 0);
        let miss = at_once(&budget, Sort::KeyMiss);
        assert!(is_full(&budget, Sort::KeyMiss) && is_full(&budget, Sort::Other));
        drop(miss);
        at_once(&budget, Sort::Other);
    }
}
