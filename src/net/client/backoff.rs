//! Exponential back-off: the delay before the next try doubles after each failure up to a maximum, and is jittered, so that a
//! fleet of hosts does not come back at one moment. Pure: the jitter is an argument.

use std::time::Duration;

/// The delays between the tries of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Creates a back-off whose first delay is at most `initial` and whose longest is at most `max`.
    #[must_use]
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, failures: 0 }
    }

    /// Starts again with the first delay, after a success.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the delay after one more failure: between half of its step and the whole, by a `jitter` from 0 to 1.
    #[must_use]
    pub fn next_delay(&mut self, jitter: f64) -> Duration {
        let step = self.initial.saturating_mul(2_u32.saturating_pow(self.failures.min(20))).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let jitter = if jitter >= 0.0 { jitter.min(1.0) } else { 0.0 };
        step.mul_f64(f64::midpoint(1.0, jitter))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Backoff;

    #[test]
    fn delays_double_up_to_the_maximum_and_restart_after_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        let delays: Vec<_> = (0..5).map(|_| backoff.next_delay(1.0)).collect();
        assert_eq!(delays, [second, 2 * second, 4 * second, 5 * second, 5 * second]);
        backoff.reset();
        assert_eq!(backoff.next_delay(0.0), second / 2);
    }

    proptest! {
        #[test]
        fn a_delay_is_between_half_of_its_step_and_the_whole_whatever_the_jitter(jitter in any::<f64>()) {
            let step = Duration::from_secs(15);
            let delay = Backoff::new(step, step).next_delay(jitter);
            prop_assert!(delay >= step / 2 && delay <= step);
        }
    }
}
