//! Durations as a person reads them.

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Returns a duration in its two largest units, as `3 min 20 s`.
#[must_use]
pub fn duration_text(seconds: u64) -> String {
    let two = |large: u64, large_name: &str, small: u64, small_name: &str| match seconds % large / small {
        0 => format!("{} {large_name}", seconds / large),
        rest => format!("{} {large_name} {rest} {small_name}", seconds / large),
    };
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => two(MINUTE, "min", 1, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

/// Returns a duration of less than a second in milliseconds, and a longer one as [`duration_text`] does.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval of at most 30 days, read from JSON")]
pub fn interval_text(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { duration_text(seconds.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::{duration_text, interval_text};

    #[test]
    fn a_duration_is_shown_in_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h"),
            (21_720, "6 h 2 min"),
            (86_400, "1 d"),
            (183_600, "2 d 3 h"),
        ] {
            assert_eq!(duration_text(seconds), text);
        }
        assert_eq!((interval_text(0.1), interval_text(30.0), interval_text(21_600.0)), ("100 ms".into(), "30 s".into(), "6 h".into()));
    }
}
