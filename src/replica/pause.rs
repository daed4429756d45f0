//! Pauses between tries: doubled after each failure, and jittered, so that a fleet does not come back as one.

use std::time::Duration;

/// The pauses of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pauses {
    /// Between `first` and `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// It went well: the next pause is the first again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait. `jitter` is from 0 to 1; a pause is between half of its step and all of it.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let step = self.first.saturating_mul(2_u32.saturating_pow(self.failures.min(20))).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pauses;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let second = Duration::from_secs(1);
        let mut pauses = Pauses::new(second, 5 * second);
        let waited: Vec<_> = (0..5).map(|_| pauses.next(1.0)).collect();
        assert_eq!(waited, [second, 2 * second, 4 * second, 5 * second, 5 * second]);
        pauses.reset();
        assert_eq!(pauses.next(0.0), second / 2);
    }
}
