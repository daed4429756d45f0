//! Keeps refused requests from filling the log: so many lines per second, the rest is counted.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::model::time::Time;

/// The lines of one second.
const MAX_LINES_PER_SECOND: u32 = 10;

/// Counts the lines of the present second, and those that were suppressed.
#[derive(Default)]
pub struct LogLimiter(Mutex<LogWindow>);

#[derive(Default)]
struct LogWindow {
    second: i64,
    written: u32,
    suppressed: u64,
}

impl LogLimiter {
    /// Returns how many lines were suppressed since the last one, if one more may be written now.
    pub fn allow(&self, now: Time) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != now.seconds() {
            window.second = now.seconds();
            window.written = 0;
        }
        if window.written == MAX_LINES_PER_SECOND {
            window.suppressed += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LogLimiter, MAX_LINES_PER_SECOND};
    use crate::model::time::Time;

    #[test]
    fn lines_over_the_limit_are_suppressed_and_their_count_is_returned_in_the_next_second() {
        let limiter = LogLimiter::default();
        for _ in 0..MAX_LINES_PER_SECOND {
            assert_eq!(limiter.allow(Time::EPOCH), Some(0));
        }
        assert_eq!(limiter.allow(Time::EPOCH), None);
        assert_eq!(limiter.allow(Time::EPOCH), None);
        assert_eq!(limiter.allow(Time::EPOCH.plus(Duration::from_secs(1))), Some(2));
    }
}
