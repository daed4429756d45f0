//! When to stop asking a primary that fails, and when to try again. Pure: time is an argument.
//!
//! Closed, everything is asked. After [`FAILURES`] failures in a row it opens: nothing is asked for a pause, then one probe. A probe
//! that fails doubles the pause; one that is not heard of for [`PROBE_TIME`] is given up, and the next asker is the probe. Any answer
//! closes it, whoever asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::time::BootTime;

/// So many failures in a row open the breaker.
pub const FAILURE_THRESHOLD: u32 = 3;
/// The first pause; with jitter it is between half of this and this.
pub const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// The longest pause.
pub const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long a probe may be out before another takes its place.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the breaker says to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// Ask.
    Allow,
    /// Ask: you are the one probe.
    Probe,
    /// Do not ask before this much time has passed.
    Wait(Duration),
}

/// The breaker. Opens after some failures in a row, waits with doubled and jittered pauses, lets one probe through.
pub struct CircuitBreaker {
    state: Mutex<BreakerState>,
}

#[derive(Clone, Copy, Debug)]
enum BreakerState {
    Closed { failures: u32 },
    Open { since: BootTime, retry_at: BootTime, backoff: Duration, probe_sent_at: Option<BootTime> },
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { state: Mutex::new(BreakerState::Closed { failures: 0 }) }
    }
}

impl CircuitBreaker {
    /// Asks for leave.
    pub fn admit(&self, now: BootTime) -> Admission {
        match &mut *self.state() {
            BreakerState::Closed { .. } => Admission::Allow,
            BreakerState::Open { probe_sent_at: Some(sent), .. } if now.since(*sent) < PROBE_TIMEOUT => {
                Admission::Wait(PROBE_TIMEOUT.saturating_sub(now.since(*sent)))
            }
            BreakerState::Open { retry_at: until, .. } if now < *until => Admission::Wait(until.since(now)),
            BreakerState::Open { probe_sent_at: probe, .. } => {
                *probe = Some(now);
                Admission::Probe
            }
        }
    }

    /// The primary answered.
    pub fn record_success(&self) {
        *self.state() = BreakerState::Closed { failures: 0 };
    }

    /// It was not asked after all, or what it said says nothing of how it is: the next may be the probe.
    pub fn release_probe(&self) {
        if let BreakerState::Open { probe_sent_at: probe, .. } = &mut *self.state() {
            *probe = None;
        }
    }

    /// It failed: a connect, an overrun, a failed answer. `jitter` is from 0 to 1.
    pub fn record_failure(&self, now: BootTime, jitter: f64) {
        let mut phase = self.state();
        *phase = match *phase {
            BreakerState::Closed { failures } if failures + 1 < FAILURE_THRESHOLD => BreakerState::Closed { failures: failures + 1 },
            BreakerState::Closed { .. } => {
                let until = saturating_add(now, with_jitter(INITIAL_BACKOFF, jitter));
                BreakerState::Open { since: now, retry_at: until, backoff: INITIAL_BACKOFF, probe_sent_at: None }
            }
            BreakerState::Open { since, backoff: pause, probe_sent_at: Some(_), .. } => {
                let pause = (pause * 2).min(MAX_BACKOFF);
                BreakerState::Open { since, retry_at: saturating_add(now, with_jitter(pause, jitter)), backoff: pause, probe_sent_at: None }
            }
            // Asked before it opened: says nothing that is not known, and a crowd of them must not lengthen the pause.
            open @ BreakerState::Open { probe_sent_at: None, .. } => open,
        };
    }

    /// Since when it is open.
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

/// Between half of the pause and the pause, so that a fleet does not come back at one moment.
fn with_jitter(pause: Duration, jitter: f64) -> Duration {
    let jitter = if jitter >= 0.0 { jitter.min(1.0) } else { 0.0 };
    pause.mul_f64(f64::midpoint(1.0, jitter))
}

fn saturating_add(now: BootTime, pause: Duration) -> BootTime {
    BootTime(now.0.saturating_add(pause))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Admission, CircuitBreaker, FAILURE_THRESHOLD, INITIAL_BACKOFF, MAX_BACKOFF, PROBE_TIMEOUT, saturating_add, with_jitter};
    use crate::model::time::BootTime;

    const START: BootTime = BootTime(Duration::from_secs(1000));

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
    fn after_the_pause_there_is_one_probe_and_an_answer_closes_it() {
        let breaker = open_breaker();
        let now = saturating_add(START, INITIAL_BACKOFF);
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert_eq!(breaker.admit(now), Admission::Wait(PROBE_TIMEOUT));
        breaker.record_success();
        assert_eq!((breaker.admit(now), breaker.open_since()), (Admission::Allow, None));
    }

    #[test]
    fn each_probe_that_fails_doubles_the_pause_up_to_the_longest() {
        let breaker = open_breaker();
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Admission::Wait(pause) = breaker.admit(now) else { panic!("it is not waiting") };
            pauses.push(pause.as_millis());
            now = saturating_add(now, pause);
            assert_eq!(breaker.admit(now), Admission::Probe);
            breaker.record_failure(now, 1.0);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(breaker.open_since(), Some(START));
    }

    #[test]
    fn failures_of_those_who_asked_before_it_opened_do_not_lengthen_the_pause() {
        let breaker = open_breaker();
        (0..100).for_each(|_| breaker.record_failure(saturating_add(START, INITIAL_BACKOFF / 2), 1.0));
        assert_eq!(breaker.admit(saturating_add(START, INITIAL_BACKOFF)), Admission::Probe);
    }

    #[test]
    fn a_probe_that_decides_nothing_makes_room_for_another() {
        let breaker = open_breaker();
        let now = saturating_add(START, INITIAL_BACKOFF);
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.release_probe();
        assert_eq!((breaker.admit(now), breaker.open_since()), (Admission::Probe, Some(START)));
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_gives_way() {
        let breaker = open_breaker();
        let sent = saturating_add(START, INITIAL_BACKOFF);
        assert_eq!(breaker.admit(sent), Admission::Probe);
        assert!(matches!(breaker.admit(saturating_add(sent, PROBE_TIMEOUT - Duration::from_millis(1))), Admission::Wait(_)));
        assert_eq!(breaker.admit(saturating_add(sent, PROBE_TIMEOUT)), Admission::Probe);
        assert!(matches!(breaker.admit(saturating_add(sent, PROBE_TIMEOUT)), Admission::Wait(_)));
    }

    proptest! {
        #[test]
        fn a_pause_is_between_its_half_and_itself_whatever_the_jitter(jitter in any::<f64>()) {
            let pause = with_jitter(MAX_BACKOFF, jitter);
            prop_assert!(pause >= MAX_BACKOFF / 2 && pause <= MAX_BACKOFF);
        }

        #[test]
        fn whatever_happens_it_is_never_waited_for_longer_than_the_longest_pause(steps in prop::collection::vec((0..3_u8, 0..20_000_u64), 0..60)) {
            let breaker = CircuitBreaker::default();
            let mut now = START;
            for (step, passed) in steps {
                now = saturating_add(now, Duration::from_millis(passed));
                match step {
                    0 => breaker.record_failure(now, 0.5),
                    1 => breaker.record_success(),
                    _ => {
                        if let Admission::Wait(pause) = breaker.admit(now) {
                            prop_assert!(pause > Duration::ZERO && pause <= MAX_BACKOFF);
                        }
                    }
                }
            }
        }
    }
}
