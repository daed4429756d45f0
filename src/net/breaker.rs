//! When to stop asking a primary that fails, and when to try again. Pure: time is an argument.
//!
//! Closed, everything is asked. After [`FAILURES`] failures in a row it opens: nothing is asked for a pause, then one probe. A probe
//! that fails doubles the pause; one that is not heard of for [`PROBE_TIME`] is given up, and the next asker is the probe. Any answer
//! closes it, whoever asked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::time::BootTime;

/// So many failures in a row open the breaker.
pub const FAILURES: u32 = 3;
/// The first pause; with jitter it is between half of this and this.
pub const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long a probe may be out before another takes its place.
pub const PROBE_TIME: Duration = Duration::from_secs(5);

/// What the breaker says to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Leave {
    /// Ask.
    Ask,
    /// Ask: you are the one probe.
    Probe,
    /// Do not ask before this much time has passed.
    Wait(Duration),
}

/// The breaker. Opens after some failures in a row, waits with doubled and jittered pauses, lets one probe through.
pub struct Breaker {
    phase: Mutex<Phase>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { since: BootTime, until: BootTime, pause: Duration, probe: Option<BootTime> },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { phase: Mutex::new(Phase::Closed { failures: 0 }) }
    }
}

impl Breaker {
    /// Asks for leave.
    pub fn leave(&self, now: BootTime) -> Leave {
        match &mut *self.phase() {
            Phase::Closed { .. } => Leave::Ask,
            Phase::Open { probe: Some(sent), .. } if now.since(*sent) < PROBE_TIME => {
                Leave::Wait(PROBE_TIME.saturating_sub(now.since(*sent)))
            }
            Phase::Open { until, .. } if now < *until => Leave::Wait(until.since(now)),
            Phase::Open { probe, .. } => {
                *probe = Some(now);
                Leave::Probe
            }
        }
    }

    /// The primary answered.
    pub fn succeeded(&self) {
        *self.phase() = Phase::Closed { failures: 0 };
    }

    /// It was not asked after all, or what it said says nothing of how it is: the next may be the probe.
    pub fn undecided(&self) {
        if let Phase::Open { probe, .. } = &mut *self.phase() {
            *probe = None;
        }
    }

    /// It failed: a connect, an overrun, a failed answer. `jitter` is from 0 to 1.
    pub fn failed(&self, now: BootTime, jitter: f64) {
        let mut phase = self.phase();
        *phase = match *phase {
            Phase::Closed { failures } if failures + 1 < FAILURES => Phase::Closed { failures: failures + 1 },
            Phase::Closed { .. } => {
                let until = later(now, jittered(FIRST_PAUSE, jitter));
                Phase::Open { since: now, until, pause: FIRST_PAUSE, probe: None }
            }
            Phase::Open { since, pause, probe: Some(_), .. } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                Phase::Open { since, until: later(now, jittered(pause, jitter)), pause, probe: None }
            }
            // Asked before it opened: says nothing that is not known, and a crowd of them must not lengthen the pause.
            open @ Phase::Open { probe: None, .. } => open,
        };
    }

    /// Since when it is open.
    #[must_use]
    pub fn open_since(&self) -> Option<BootTime> {
        match *self.phase() {
            Phase::Closed { .. } => None,
            Phase::Open { since, .. } => Some(since),
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between half of the pause and the pause, so that a fleet does not come back at one moment.
fn jittered(pause: Duration, jitter: f64) -> Duration {
    let jitter = if jitter >= 0.0 { jitter.min(1.0) } else { 0.0 };
    pause.mul_f64(f64::midpoint(1.0, jitter))
}

fn later(now: BootTime, pause: Duration) -> BootTime {
    BootTime(now.0.saturating_add(pause))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Breaker, FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Leave, PROBE_TIME, jittered, later};
    use crate::model::time::BootTime;

    const START: BootTime = BootTime(Duration::from_secs(1000));

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        (0..FAILURES).for_each(|_| breaker.failed(START, 1.0));
        breaker
    }

    #[test]
    fn failures_open_it_only_in_a_row() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            (1..FAILURES).for_each(|_| breaker.failed(START, 1.0));
            assert_eq!(breaker.leave(START), Leave::Ask);
            breaker.succeeded();
        }
        (0..FAILURES).for_each(|_| breaker.failed(START, 1.0));
        assert_eq!(breaker.leave(START), Leave::Wait(FIRST_PAUSE));
        assert_eq!(breaker.open_since(), Some(START));
    }

    #[test]
    fn after_the_pause_there_is_one_probe_and_an_answer_closes_it() {
        let breaker = opened();
        let now = later(START, FIRST_PAUSE);
        assert_eq!(breaker.leave(now), Leave::Probe);
        assert_eq!(breaker.leave(now), Leave::Wait(PROBE_TIME));
        breaker.succeeded();
        assert_eq!((breaker.leave(now), breaker.open_since()), (Leave::Ask, None));
    }

    #[test]
    fn each_probe_that_fails_doubles_the_pause_up_to_the_longest() {
        let breaker = opened();
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Leave::Wait(pause) = breaker.leave(now) else { panic!("it is not waiting") };
            pauses.push(pause.as_millis());
            now = later(now, pause);
            assert_eq!(breaker.leave(now), Leave::Probe);
            breaker.failed(now, 1.0);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(breaker.open_since(), Some(START));
    }

    #[test]
    fn failures_of_those_who_asked_before_it_opened_do_not_lengthen_the_pause() {
        let breaker = opened();
        (0..100).for_each(|_| breaker.failed(later(START, FIRST_PAUSE / 2), 1.0));
        assert_eq!(breaker.leave(later(START, FIRST_PAUSE)), Leave::Probe);
    }

    #[test]
    fn a_probe_that_decides_nothing_makes_room_for_another() {
        let breaker = opened();
        let now = later(START, FIRST_PAUSE);
        assert_eq!(breaker.leave(now), Leave::Probe);
        breaker.undecided();
        assert_eq!((breaker.leave(now), breaker.open_since()), (Leave::Probe, Some(START)));
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_gives_way() {
        let breaker = opened();
        let sent = later(START, FIRST_PAUSE);
        assert_eq!(breaker.leave(sent), Leave::Probe);
        assert!(matches!(breaker.leave(later(sent, PROBE_TIME - Duration::from_millis(1))), Leave::Wait(_)));
        assert_eq!(breaker.leave(later(sent, PROBE_TIME)), Leave::Probe);
        assert!(matches!(breaker.leave(later(sent, PROBE_TIME)), Leave::Wait(_)));
    }

    proptest! {
        #[test]
        fn a_pause_is_between_its_half_and_itself_whatever_the_jitter(jitter in any::<f64>()) {
            let pause = jittered(LONGEST_PAUSE, jitter);
            prop_assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE);
        }

        #[test]
        fn whatever_happens_it_is_never_waited_for_longer_than_the_longest_pause(steps in prop::collection::vec((0..3_u8, 0..20_000_u64), 0..60)) {
            let breaker = Breaker::default();
            let mut now = START;
            for (step, passed) in steps {
                now = later(now, Duration::from_millis(passed));
                match step {
                    0 => breaker.failed(now, 0.5),
                    1 => breaker.succeeded(),
                    _ => {
                        if let Leave::Wait(pause) = breaker.leave(now) {
                            prop_assert!(pause > Duration::ZERO && pause <= LONGEST_PAUSE);
                        }
                    }
                }
            }
        }
    }
}
