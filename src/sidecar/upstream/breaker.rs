//! A circuit breaker: when to stop asking a primary that fails, and when to try again. Pure: time is an argument.
//!
//! Closed, it admits everything. After [`FAILURE_THRESHOLD`] failures in a row it opens: it admits nothing for a delay, then one
//! probe. A probe that fails doubles the delay; one without an outcome for [`PROBE_TIMEOUT`] is given up, and the next caller is the
//! probe. Any answer of the primary closes it, whoever asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::time::BootTime;
use crate::net::client::backoff::Backoff;

/// So many failures in a row open the breaker.
pub const FAILURE_THRESHOLD: u32 = 3;
/// The first delay before a probe; with jitter it is between half of this and this.
pub const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// The longest delay before a probe.
pub const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long a probe may be without an outcome before another takes its place.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a request may be sent to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It may.
    Allow,
    /// It may, as the one probe.
    Probe,
    /// It may not before this much time has passed.
    Wait(Duration),
}

/// The breaker of one upstream. Starts closed.
pub struct CircuitBreaker {
    state: Mutex<BreakerState>,
}

#[derive(Clone, Copy, Debug)]
enum BreakerState {
    Closed { failures: u32 },
    Open { since: BootTime, retry_at: BootTime, backoff: Backoff, probe_sent_at: Option<BootTime> },
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { state: Mutex::new(BreakerState::Closed { failures: 0 }) }
    }
}

impl CircuitBreaker {
    /// Decides whether a request may be sent at `now`.
    pub fn admit(&self, now: BootTime) -> Admission {
        match &mut *self.state() {
            BreakerState::Closed { .. } => Admission::Allow,
            BreakerState::Open { probe_sent_at: Some(sent_at), .. } if now.since(*sent_at) < PROBE_TIMEOUT => {
                Admission::Wait(PROBE_TIMEOUT.saturating_sub(now.since(*sent_at)))
            }
            BreakerState::Open { retry_at, .. } if now < *retry_at => Admission::Wait(retry_at.since(now)),
            BreakerState::Open { probe_sent_at, .. } => {
                *probe_sent_at = Some(now);
                Admission::Probe
            }
        }
    }

    /// Records that the primary answered.
    pub fn record_success(&self) {
        *self.state() = BreakerState::Closed { failures: 0 };
    }

    /// Records that a request was not sent after all, or that its outcome says nothing of the primary: the next may be the probe.
    pub fn release_probe(&self) {
        if let BreakerState::Open { probe_sent_at, .. } = &mut *self.state() {
            *probe_sent_at = None;
        }
    }

    /// Records that the primary failed: it could not be reached, took too long, or gave no answer. `jitter` is from 0 to 1.
    pub fn record_failure(&self, now: BootTime, jitter: f64) {
        let mut state = self.state();
        *state = match *state {
            BreakerState::Closed { failures } if failures + 1 < FAILURE_THRESHOLD => BreakerState::Closed { failures: failures + 1 },
            BreakerState::Closed { .. } => BreakerState::open(now, now, Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF), jitter),
            BreakerState::Open { since, backoff, probe_sent_at: Some(_), .. } => BreakerState::open(since, now, backoff, jitter),
            // Sent before the breaker opened: it says nothing new, and a crowd of such failures must not lengthen the delay.
            open @ BreakerState::Open { probe_sent_at: None, .. } => open,
        };
    }

    /// Returns since when it is open; `None` while it is closed.
    #[must_use]
    pub fn open_since(&self) -> Option<BootTime> {
        match *self.state() {
            BreakerState::Closed { .. } => None,
            BreakerState::Open { since, .. } => Some(since),
        }
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakerState {
    fn open(since: BootTime, now: BootTime, mut backoff: Backoff, jitter: f64) -> Self {
        let retry_at = BootTime(now.0.saturating_add(backoff.next_delay(jitter)));
        Self::Open { since, retry_at, backoff, probe_sent_at: None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Admission, CircuitBreaker, FAILURE_THRESHOLD, INITIAL_BACKOFF, MAX_BACKOFF, PROBE_TIMEOUT};
    use crate::model::time::BootTime;

    const START: BootTime = BootTime(Duration::from_secs(1000));

    fn later(time: BootTime, delay: Duration) -> BootTime {
        BootTime(time.0.saturating_add(delay))
    }

    fn open_breaker() -> CircuitBreaker {
        let breaker = CircuitBreaker::default();
        (0..FAILURE_THRESHOLD).for_each(|_| breaker.record_failure(START, 1.0));
        breaker
    }

    #[test]
    fn failures_open_it_only_in_a_row() {
        let breaker = CircuitBreaker::default();
        for _ in 0..3 {
            (1..FAILURE_THRESHOLD).for_each(|_| breaker.record_failure(START, 1.0));
            assert_eq!(breaker.admit(START), Admission::Allow);
            breaker.record_success();
        }
        (0..FAILURE_THRESHOLD).for_each(|_| breaker.record_failure(START, 1.0));
        assert_eq!(breaker.admit(START), Admission::Wait(INITIAL_BACKOFF));
        assert_eq!(breaker.open_since(), Some(START));
    }

    #[test]
    fn after_the_delay_there_is_one_probe_and_an_answer_closes_it() {
        let breaker = open_breaker();
        let now = later(START, INITIAL_BACKOFF);
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert_eq!(breaker.admit(now), Admission::Wait(PROBE_TIMEOUT));
        breaker.record_success();
        assert_eq!((breaker.admit(now), breaker.open_since()), (Admission::Allow, None));
    }

    #[test]
    fn each_probe_that_fails_doubles_the_delay_up_to_the_maximum() {
        let breaker = open_breaker();
        let mut now = START;
        let mut delays = Vec::new();
        for _ in 0..8 {
            let Admission::Wait(delay) = breaker.admit(now) else { panic!("it does not wait") };
            delays.push(delay.as_millis());
            now = later(now, delay);
            assert_eq!(breaker.admit(now), Admission::Probe);
            breaker.record_failure(now, 1.0);
        }
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(breaker.open_since(), Some(START));
    }

    #[test]
    fn failures_of_requests_sent_before_it_opened_do_not_lengthen_the_delay() {
        let breaker = open_breaker();
        (0..100).for_each(|_| breaker.record_failure(later(START, INITIAL_BACKOFF / 2), 1.0));
        assert_eq!(breaker.admit(later(START, INITIAL_BACKOFF)), Admission::Probe);
    }

    #[test]
    fn a_probe_that_decides_nothing_makes_room_for_another() {
        let breaker = open_breaker();
        let now = later(START, INITIAL_BACKOFF);
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.release_probe();
        assert_eq!((breaker.admit(now), breaker.open_since()), (Admission::Probe, Some(START)));
    }

    #[test]
    fn a_probe_without_an_outcome_gives_way_to_another() {
        let breaker = open_breaker();
        let sent = later(START, INITIAL_BACKOFF);
        assert_eq!(breaker.admit(sent), Admission::Probe);
        assert!(matches!(breaker.admit(later(sent, PROBE_TIMEOUT - Duration::from_millis(1))), Admission::Wait(_)));
        assert_eq!(breaker.admit(later(sent, PROBE_TIMEOUT)), Admission::Probe);
        assert!(matches!(breaker.admit(later(sent, PROBE_TIMEOUT)), Admission::Wait(_)));
    }

    proptest! {
        #[test]
        fn whatever_happens_no_wait_is_longer_than_the_maximum(steps in prop::collection::vec((0..3_u8, 0..20_000_u64), 0..60)) {
            let breaker = CircuitBreaker::default();
            let mut now = START;
            for (step, passed) in steps {
                now = later(now, Duration::from_millis(passed));
                match step {
                    0 => breaker.record_failure(now, 0.5),
                    1 => breaker.record_success(),
                    _ => {
                        if let Admission::Wait(delay) = breaker.admit(now) {
                            prop_assert!(delay > Duration::ZERO && delay <= MAX_BACKOFF);
                        }
                    }
                }
            }
        }
    }
}
