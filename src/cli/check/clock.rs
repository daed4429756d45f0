//! Is the clock of this host right, as far as it can be judged: not before this program was written, and not far from the primary's.

use std::time::Duration;

use crate::cli::check::findings::Findings;
use crate::cli::units::duration_text;
use crate::model::time::Time;

/// 2026-01-01 in seconds since 1970: this program is younger, so an earlier clock is wrong.
const EARLIEST_PLAUSIBLE_TIME: i64 = 1_767_225_600;
/// A token of a host whose clock is further away is refused.
const TOKEN_LEEWAY: Duration = Duration::from_secs(60);
/// A clock that is kept right is never this far away.
const USUAL_DIFFERENCE: Duration = Duration::from_secs(5);

/// Judges the year of a clock.
pub fn check_year(now: Time, found: &mut Findings) {
    if now.seconds() < EARLIEST_PLAUSIBLE_TIME {
        let remedy = "set the time (`timedatectl`), and keep it right with systemd-timesyncd or chrony";
        found.fail(format!("clock: it says {now}, so tokens and expiry dates cannot be judged"), remedy);
    }
}

/// Judges how far this host's clock is from that of `other`, which said its time while this host's clock went from `before` to `after`.
pub fn check_difference(other: &str, before: Time, theirs: Time, after: Time, found: &mut Findings) {
    // The time of a header has whole seconds.
    let difference = before.since(theirs.plus(Duration::from_secs(1))).max(theirs.since(after));
    let text = format!("clock: it is {} away from that of {other}", duration_text(difference.as_secs()));
    let remedy = "keep both clocks right with systemd-timesyncd or chrony (`timedatectl`)";
    if difference >= TOKEN_LEEWAY {
        found.fail(format!("{text}, which refuses tokens from a minute away"), remedy);
    } else if difference >= USUAL_DIFFERENCE {
        found.warn(text, remedy);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{check_difference, check_year};
    use crate::cli::check::findings::{Findings, Level};
    use crate::model::time::Time;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_from_before_this_program_is_an_error() {
        let level = |now: &str| {
            let mut found = Findings::default();
            check_year(time(now), &mut found);
            found.count(Level::Error)
        };
        assert_eq!(["1970-01-01T00:00:01Z", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"].map(level), [1, 1, 0]);
    }

    #[test]
    fn a_difference_counts_beyond_the_time_that_the_question_took_and_the_second_of_the_header() {
        let judged = |seconds: i64| {
            let before = time("2026-11-28T12:00:00Z");
            let theirs = Time::from_milliseconds(before.seconds() * 1000 + seconds * 1000).unwrap();
            let mut found = Findings::default();
            check_difference("the primary", before, theirs, before.plus(Duration::from_secs(2)), &mut found);
            (found.count(Level::Error), found.count(Level::Warning))
        };
        for (seconds, expected) in
            [(0, (0, 0)), (6, (0, 0)), (-5, (0, 0)), (7, (0, 1)), (-6, (0, 1)), (61, (0, 1)), (62, (1, 0)), (-60, (0, 1)), (-61, (1, 0))]
        {
            assert_eq!(judged(seconds), expected, "{seconds}");
        }
    }
}
