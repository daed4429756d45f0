//! Pauses between tries: doubled after each failure, and jittered, so that a fleet does not come back as one.

use std::time::Duration;

/// The pauses of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Between `first` and `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { initial: first, max: longest, failures: 0 }
    }

    /// It went well: the next pause is the first again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait. `jitter` is from 0 to 1; a pause is between half of its step and all of it.
    pub fn next_delay(&mut self, jitter: f64) -> Duration {
        let step = self.initial.saturating_mul(2_u32.saturating_pow(self.failures.min(20))).min(self.max);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn delays_double_up_to_the_maximum_and_restart_after_success() {
        let second = Duration::from_secs(1);
        let mut pauses = Backoff::new(second, 5 * second);
        let waited: Vec<_> = (0..5).map(|_| pauses.next_delay(1.0)).collect();
        assert_eq!(waited, [second, 2 * second, 4 * second, 5 * second, 5 * second]);
        pauses.reset();
        assert_eq!(pauses.next_delay(0.0), second / 2);
    }
}
