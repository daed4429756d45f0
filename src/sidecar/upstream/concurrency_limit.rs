//! Limits how many requests to the primary run at once, and how many wait: key misses at most a quarter of each, requests that are passed
//! through at most half, and of these the unsigned ones at most half.
//!
//! Anybody who can reach sshd can cause key misses, and anybody who can open the socket can have a request passed through unsigned, so
//! neither may take the slots of authenticated callers, nor the other's. What is passed through may take a minute, a question takes
//! seconds: however many writes hang, questions have slots of their own.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type ClassLabel = [(&'static str, &'static str); 1];

/// The limit of requests to the primary. `Clone` shares it.
#[derive(Clone)]
pub struct ConcurrencyLimit {
    running: SlotPool,
    waiting: SlotPool,
    refused: Family<ClassLabel, Counter>,
}

/// Slots to run or to wait: all of them, of these the ones for key misses and for what is passed through, and of the latter the ones for
/// unsigned requests.
#[derive(Clone)]
struct SlotPool {
    capacity: usize,
    all: Arc<Semaphore>,
    key_misses: Arc<Semaphore>,
    passed_through: Arc<Semaphore>,
    unsigned: Arc<Semaphore>,
}

/// The classes of request, by who can cause them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestClass {
    /// Anybody who reaches sshd can cause it: a question about an unknown key.
    KeyMiss,
    /// Whoever may open the socket can cause it: a request that only the primary can authenticate.
    Unsigned,
    /// Who holds gitlab-shell's secret can cause it: a write, or anything else that is passed through, which may take long.
    PassedThrough,
    /// Any other question.
    Other,
}

impl RequestClass {
    const ALL: [Self; 4] = [Self::KeyMiss, Self::Unsigned, Self::PassedThrough, Self::Other];

    const fn as_str(self) -> &'static str {
        match self {
            Self::KeyMiss => "key_miss",
            Self::Unsigned => "unsigned",
            Self::PassedThrough => "passed_through",
            Self::Other => "other",
        }
    }
}

/// All slots are taken, also those to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting for the primary")]
pub struct LimitReached;

/// The permit for one request, which holds its slots until it is dropped.
pub struct Permit {
    _slots: ([Option<OwnedSemaphorePermit>; 2], OwnedSemaphorePermit),
    waited: bool,
}

impl Permit {
    /// Returns whether it had to be waited for.
    #[must_use]
    pub const fn waited(&self) -> bool {
        self.waited
    }
}

impl ConcurrencyLimit {
    /// Creates a limit of so many requests at once and so many that wait. At least one of each class may run, however small it is.
    #[must_use]
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.max(1);
        Self { running: SlotPool::new(at_once, 1), waiting: SlotPool::new(waiting, 0), refused: Family::default() }
    }

    /// Waits for a permit, in the order of asking within a class. A caller that stops waiting gives its slot back.
    pub async fn acquire(&self, class: RequestClass) -> Result<Permit, LimitReached> {
        if let Ok(permit) = self.running.try_acquire(class) {
            return Ok(permit);
        }
        let _waiting_slot = self.waiting.try_acquire(class)?;
        self.running.acquire(class).await
    }

    /// Counts a request that was not sent, because no place to wait in was free or its turn did not come in time.
    pub fn count_refused(&self, class: RequestClass) {
        self.refused.get_or_create(&[("class", class.as_str())]).inc();
    }

    /// Registers what is counted.
    pub fn register_metrics(&self, registry: &mut Registry) {
        for class in RequestClass::ALL {
            drop(self.refused.get_or_create(&[("class", class.as_str())]));
        }
        let help = "Requests not sent to the primary, because no place was free or their turn did not come in time, by who can cause them";
        registry.register("sidegate_forwards_refused", help, self.refused.clone());
    }

    /// Returns how many requests run, and how many wait.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.running.in_use(), self.waiting.in_use())
    }
}

impl SlotPool {
    /// Creates the slots, at least `least` for each class.
    fn new(capacity: usize, least: usize) -> Self {
        let capacity = capacity.min(Semaphore::MAX_PERMITS);
        let slots = |count: usize| Arc::new(Semaphore::new(count.max(least).min(capacity)));
        let quarter = capacity / 4;
        Self { capacity, all: slots(capacity), key_misses: slots(quarter), passed_through: slots(capacity / 2), unsigned: slots(quarter) }
    }

    fn try_acquire(&self, class: RequestClass) -> Result<Permit, LimitReached> {
        let slot = |slots: &Arc<Semaphore>| Arc::clone(slots).try_acquire_owned().map_err(|_none_free| LimitReached);
        let [first, second] = self.class_slots(class);
        let acquired = ([first.map(slot).transpose()?, second.map(slot).transpose()?], slot(&self.all)?);
        Ok(Permit { _slots: acquired, waited: false })
    }

    async fn acquire(&self, class: RequestClass) -> Result<Permit, LimitReached> {
        let slot = async |slots: Option<&Arc<Semaphore>>| match slots {
            Some(slots) => Arc::clone(slots).acquire_owned().await.map(Some).map_err(|_closed| LimitReached),
            None => Ok(None),
        };
        let [first, second] = self.class_slots(class);
        let class_slots = [slot(first).await?, slot(second).await?];
        let of_all = Arc::clone(&self.all).acquire_owned().await.map_err(|_closed| LimitReached)?;
        Ok(Permit { _slots: (class_slots, of_all), waited: true })
    }

    /// Returns the slots of a class, where it has fewer than all: the fewest first, so that who waits for those holds no others.
    const fn class_slots(&self, class: RequestClass) -> [Option<&Arc<Semaphore>>; 2] {
        match class {
            RequestClass::KeyMiss => [Some(&self.key_misses), None],
            RequestClass::Unsigned => [Some(&self.unsigned), Some(&self.passed_through)],
            RequestClass::PassedThrough => [Some(&self.passed_through), None],
            RequestClass::Other => [None, None],
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

    fn acquire_now(limit: &ConcurrencyLimit, class: RequestClass) -> Permit {
        match poll_once(pin!(limit.acquire(class))) {
            Poll::Ready(Ok(permit)) => permit,
            Poll::Ready(Err(LimitReached)) => panic!("the limit is reached"),
            Poll::Pending => panic!("it waits"),
        }
    }

    fn is_limit_reached(limit: &ConcurrencyLimit, class: RequestClass) -> bool {
        matches!(poll_once(pin!(limit.acquire(class))), Poll::Ready(Err(LimitReached)))
    }

    #[test]
    fn a_request_above_the_limit_waits_and_above_the_waiting_ones_it_is_refused() {
        let limit = ConcurrencyLimit::new(2, 1);
        let first = acquire_now(&limit, RequestClass::Other);
        let _second = acquire_now(&limit, RequestClass::Other);
        let mut waits = pin!(limit.acquire(RequestClass::Other));
        assert!(poll_once(waits.as_mut()).is_pending());
        assert_eq!(limit.load(), (2, 1));
        assert!(is_limit_reached(&limit, RequestClass::Other));
        drop(first);
        assert!(matches!(poll_once(waits), Poll::Ready(Ok(_))));
        assert_eq!(limit.load(), (1, 0));
    }

    #[test]
    fn a_caller_that_stops_waiting_gives_its_slot_back() {
        let limit = ConcurrencyLimit::new(1, 1);
        let _held = acquire_now(&limit, RequestClass::Other);
        {
            let mut waits = pin!(limit.acquire(RequestClass::Other));
            assert!(poll_once(waits.as_mut()).is_pending());
        }
        assert_eq!(limit.load(), (1, 0));
    }

    #[test]
    fn key_misses_and_unsigned_requests_take_a_quarter_of_each_and_leave_the_rest_to_others() {
        for (class, other) in [(RequestClass::KeyMiss, RequestClass::Unsigned), (RequestClass::Unsigned, RequestClass::KeyMiss)] {
            let limit = ConcurrencyLimit::new(8, 8);
            let _quarter = [acquire_now(&limit, class), acquire_now(&limit, class)];
            let (mut third, mut fourth) = (pin!(limit.acquire(class)), pin!(limit.acquire(class)));
            assert!(poll_once(third.as_mut()).is_pending());
            assert!(poll_once(fourth.as_mut()).is_pending());
            assert!(is_limit_reached(&limit, class));
            drop([acquire_now(&limit, other), acquire_now(&limit, other)]);
            let _others: Vec<_> = (0..6).map(|_| acquire_now(&limit, RequestClass::Other)).collect();
            let mut waits = pin!(limit.acquire(RequestClass::Other));
            assert!(poll_once(waits.as_mut()).is_pending());
            assert_eq!(limit.load(), (8, 3));
        }
    }

    #[test]
    fn what_is_passed_through_takes_half_of_each_and_leaves_the_rest_to_questions() {
        let limit = ConcurrencyLimit::new(8, 8);
        let _unsigned = [acquire_now(&limit, RequestClass::Unsigned), acquire_now(&limit, RequestClass::Unsigned)];
        let _signed = [acquire_now(&limit, RequestClass::PassedThrough), acquire_now(&limit, RequestClass::PassedThrough)];
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limit.acquire(RequestClass::PassedThrough))).collect();
        assert!(waiting.iter_mut().all(|request| poll_once(request.as_mut()).is_pending()));
        assert!(is_limit_reached(&limit, RequestClass::PassedThrough) && is_limit_reached(&limit, RequestClass::Unsigned));
        assert_eq!(limit.load(), (4, 4));
        let _misses = [acquire_now(&limit, RequestClass::KeyMiss), acquire_now(&limit, RequestClass::KeyMiss)];
        drop([acquire_now(&limit, RequestClass::Other), acquire_now(&limit, RequestClass::Other)]);
    }

    #[test]
    fn a_permit_says_whether_it_had_to_be_waited_for() {
        let limit = ConcurrencyLimit::new(1, 1);
        let first = acquire_now(&limit, RequestClass::Other);
        let mut waits = pin!(limit.acquire(RequestClass::Other));
        assert!(poll_once(waits.as_mut()).is_pending());
        assert!(!first.waited());
        drop(first);
        assert!(matches!(poll_once(waits), Poll::Ready(Ok(permit)) if permit.waited()));
    }

    #[test]
    fn the_smallest_limit_still_lets_a_key_miss_through() {
        let limit = ConcurrencyLimit::new(0, 0);
        let miss = acquire_now(&limit, RequestClass::KeyMiss);
        assert!(is_limit_reached(&limit, RequestClass::KeyMiss) && is_limit_reached(&limit, RequestClass::Other));
        drop(miss);
        for class in [RequestClass::Other, RequestClass::PassedThrough, RequestClass::Unsigned] {
            acquire_now(&limit, class);
        }
    }
}
