//! Keeps what strangers can cause from filling the log: so many lines a second, the rest counted.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::model::time::Time;

/// Lines of one second.
const MAX_LINES_PER_SECOND: u32 = 10;

/// How many lines were written in which second, and how many were not.
#[derive(Default)]
pub struct LogLimiter(Mutex<LogWindow>);

#[derive(Default)]
struct LogWindow {
    second: i64,
    written: u32,
    suppressed: u64,
}

impl LogLimiter {
    /// Whether one more line may be written now; then with how many were withheld since the last one.
    pub fn allow(&self, now: Time) -> Option<u64> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.second != now.seconds() {
            second.second = now.seconds();
            second.written = 0;
        }
        if second.written == MAX_LINES_PER_SECOND {
            second.suppressed += 1;
            return None;
        }
        second.written += 1;
        Some(std::mem::take(&mut second.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LogLimiter, MAX_LINES_PER_SECOND};
    use crate::model::time::Time;

    #[test]
    fn lines_over_the_limit_are_suppressed_and_their_count_is_returned_in_the_next_second() {
        let quiet = LogLimiter::default();
        for _ in 0..MAX_LINES_PER_SECOND {
            assert_eq!(quiet.allow(Time::EPOCH), Some(0));
        }
        assert_eq!(quiet.allow(Time::EPOCH), None);
        assert_eq!(quiet.allow(Time::EPOCH), None);
        assert_eq!(quiet.allow(Time::EPOCH.plus(Duration::from_secs(1))), Some(2));
    }
}
