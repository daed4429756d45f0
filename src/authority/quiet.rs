//! Keeps what strangers can cause from filling the log: so many lines a second, the rest counted.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::model::time::Time;

/// Lines of one second.
const LINES_A_SECOND: u32 = 10;

/// How many lines were written in which second, and how many were not.
#[derive(Default)]
pub struct Quiet(Mutex<Second>);

#[derive(Default)]
struct Second {
    number: i64,
    written: u32,
    withheld: u64,
}

impl Quiet {
    /// Whether one more line may be written now; then with how many were withheld since the last one.
    pub fn leave(&self, now: Time) -> Option<u64> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.number != now.seconds() {
            second.number = now.seconds();
            second.written = 0;
        }
        if second.written == LINES_A_SECOND {
            second.withheld += 1;
            return None;
        }
        second.written += 1;
        Some(std::mem::take(&mut second.withheld))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LINES_A_SECOND, Quiet};
    use crate::model::time::Time;

    #[test]
    fn beyond_the_bound_lines_are_counted_and_the_next_second_says_how_many() {
        let quiet = Quiet::default();
        for _ in 0..LINES_A_SECOND {
            assert_eq!(quiet.leave(Time::EPOCH), Some(0));
        }
        assert_eq!(quiet.leave(Time::EPOCH), None);
        assert_eq!(quiet.leave(Time::EPOCH), None);
        assert_eq!(quiet.leave(Time::EPOCH.plus(Duration::from_secs(1))), Some(2));
    }
}
