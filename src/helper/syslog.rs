//! Leaves a line in the system's log when a key could not be looked up: sshd shows nothing of a command's output below `LogLevel DEBUG`, so
//! without it an outage would look like a wrong key there.
//!
//! One datagram to `/dev/log` in the form of RFC 3164, which journald and rsyslog read. It never waits: with a full queue or without a
//! listener the line is lost. Nothing in it is secret; keys are named by their fingerprints.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::helper::arguments::PROGRAM_NAME;
use crate::model::time::Time;

/// Where the system's log listens.
pub const LOG_SOCKET: &str = "/dev/log";
/// `authpriv.err`: the file of authentications on Debian as on Red Hat, where sshd's own lines are.
const PRIORITY: u8 = 10 * 8 + 3;
/// The length of the longest line, in bytes: what RFC 3164 lets a receiver cut off.
const MAX_LINE_BYTES: usize = 1024;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Sends one line to the log at `socket`, without waiting. An error means that the line is lost, which nobody can be told.
pub fn send_line(socket: &Path, text: &str, now: Time, process: u32) -> io::Result<()> {
    let log = UnixDatagram::unbound()?;
    log.set_nonblocking(true)?;
    log.send_to(format_line(text, now, process).as_bytes(), socket).map(drop)
}

/// Returns the datagram. Control characters, which could begin another line, become spaces.
fn format_line(text: &str, now: Time, process: u32) -> String {
    let text = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut line = format!("<{PRIORITY}>{} {PROGRAM_NAME}[{process}]: ", timestamp(now));
    for letter in text {
        if line.len() + letter.len_utf8() > MAX_LINE_BYTES {
            break;
        }
        line.push(letter);
    }
    line
}

/// Returns the time as `Jan  5 12:00:00`, in UTC. journald and, unless told otherwise, rsyslog put their own in its place.
fn timestamp(now: Time) -> String {
    let text = now.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&MONTHS[0]);
    format!("{month} {:>2} {}", part(8, 10).trim_start_matches('0'), part(11, 19))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::{MAX_LINE_BYTES, format_line, send_line};
    use crate::model::time::Time;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn a_line_has_the_form_that_syslog_reads() {
        let line = format_line("no answer\nfake: x", time("2026-11-05T20:45:36Z"), 7);
        assert_eq!(line, "<83>Nov  5 20:45:36 sidegate-authorized-keys[7]: no answer fake: x");
        assert!(format_line("x", time("2026-01-31T01:02:03.999Z"), 7).starts_with("<83>Jan 31 01:02:03 sidegate-"));
    }

    #[test]
    fn a_line_has_at_most_1024_bytes_and_ends_with_a_whole_letter() {
        let long = format_line(&"ë".repeat(2000), time("2026-11-05T20:45:36Z"), 77);
        assert!(long.len() <= MAX_LINE_BYTES && long.len() > MAX_LINE_BYTES - 2, "{}", long.len());
    }

    #[test]
    fn a_full_queue_or_no_listener_loses_the_line_and_waits_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let now = time("2026-11-05T20:45:36Z");
        assert!(send_line(&path, "nobody listens", now, 7).is_err());
        let log = UnixDatagram::bind(&path).unwrap();
        while send_line(&path, "x", now, 7).is_ok() {}
        let mut received = [0; 64];
        let length = log.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"<83>Nov  5 20:45:36 sidegate-authorized-keys[7]: x");
    }
}
