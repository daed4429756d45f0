//! Durations, sizes, instants and counts as a person reads them.

use crate::model::time::Time;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// From here on days are counted.
const LAST_HOUR: u64 = 2 * DAY;

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
        HOUR..LAST_HOUR => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

/// Returns a duration of less than a second in milliseconds, and a longer one as [`duration_text`] does.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval of at most 30 days, read from JSON")]
pub fn interval_text(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { duration_text(seconds.round() as u64) }
}

/// Returns a count of bytes in its largest unit, as `12 MiB`.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}

/// Returns an instant to the second, as `2026-01-31 12:00:00 UTC`.
#[must_use]
pub fn time_text(time: Time) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(second)) => format!("{day} {second} UTC"),
        _ => text,
    }
}

/// Returns an instant with how long ago it was, as `2026-01-31 12:00:00 UTC (3 min 20 s ago)`.
#[must_use]
pub fn since_text(time: Time, now: Time) -> String {
    format!("{} ({} ago)", time_text(time), duration_text(now.since(time).as_secs()))
}

/// Returns a count with its noun, as `1 host` and `2 hosts`.
#[must_use]
pub fn count_text(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::{bytes_text, count_text, duration_text, interval_text, since_text, time_text};
    use crate::model::time::Time;

    #[test]
    fn bytes_instants_and_counts_are_shown_as_a_person_reads_them() {
        let texts = [0, 1023, 1024, 12 << 20, (1 << 30) + (512 << 20)].map(bytes_text);
        assert_eq!(texts, ["0 B", "1023 B", "1 KiB", "12 MiB", "1.5 GiB"]);
        let [then, now]: [Time; 2] = ["2026-01-31T12:00:00.500Z", "2026-01-31T12:03:20.700Z"].map(|text| text.parse().unwrap());
        assert_eq!(time_text(then), "2026-01-31 12:00:00 UTC");
        assert_eq!(since_text(then, now), "2026-01-31 12:00:00 UTC (3 min 20 s ago)");
        assert_eq!([0, 1, 2].map(|count| count_text(count, "host")), ["0 hosts", "1 host", "2 hosts"]);
    }

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
            (86_400, "24 h"),
            (172_800, "2 d"),
            (183_600, "2 d 3 h"),
        ] {
            assert_eq!(duration_text(seconds), text);
        }
        assert_eq!((interval_text(0.1), interval_text(30.0), interval_text(21_600.0)), ("100 ms".into(), "30 s".into(), "6 h".into()));
    }
}
