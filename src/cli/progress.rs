//! How far a command is that sends or receives much: bytes, rate and time left, on standard error. On a terminal a bar; elsewhere, where the
//! operator asked for it, a line now and then.

use std::io::{self, IsTerminal as _, Read, Write};
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::clock;
use crate::model::time::BootTime;

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Shows how much of something was transferred. Dropped, it leaves nothing on a terminal.
pub struct Progress {
    /// What is done to the bytes: `sent`, `received`.
    verb: &'static str,
    total: Option<u64>,
    done: u64,
    began: BootTime,
    shown: Shown,
}

enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines { last: BootTime },
}

impl Progress {
    /// Begins to show it: on a terminal always, elsewhere if it is `wanted`. `total`: how many bytes there will be, if that is known.
    #[must_use]
    pub fn begin(verb: &'static str, total: Option<u64>, wanted: bool) -> Self {
        let began = clock::boot_time();
        let shown = match (io::stderr().is_terminal(), wanted) {
            (true, _) => Shown::Bar(bar(verb, total)),
            (false, true) => Shown::Lines { last: began },
            (false, false) => Shown::Nothing,
        };
        Self { verb, total, done: 0, began, shown }
    }

    /// Counts bytes.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.set_position(self.done),
            Shown::Lines { last } => {
                let now = clock::boot_time();
                if now.since(*last) >= LINE_INTERVAL {
                    *last = now;
                    write_line(&format_progress(self.verb, self.done, self.total, now.since(self.began)));
                }
            }
        }
    }

    /// Says that all bytes are transferred, and what is waited for now, if anything is.
    pub fn finish(&mut self, next: Option<&'static str>) {
        let line = format_progress(self.verb, self.done, Some(self.done), clock::boot_time().since(self.began));
        match (&self.shown, next) {
            (Shown::Nothing, _) => {}
            (Shown::Bar(bar), Some(next)) => {
                bar.set_style(ProgressStyle::default_spinner());
                bar.enable_steady_tick(Duration::from_millis(200));
                bar.set_message(next);
            }
            (Shown::Bar(bar), None) => bar.finish_and_clear(),
            (Shown::Lines { .. }, next) => {
                write_line(&line);
                next.into_iter().for_each(write_line);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(verb: &'static str, total: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::with_draw_target(Some(total), target), "{msg} {bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left")
        }
        None => (ProgressBar::with_draw_target(None, target), "{spinner} {msg} {bytes}, {bytes_per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_message(verb)
}

/// Returns one line: how much, of how much, how fast, and how long it will take.
fn format_progress(verb: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1000) / millis;
    let rate_text = HumanBytes(rate);
    match total {
        Some(total) if total > done => {
            let left = HumanDuration(Duration::from_secs((total - done) / rate.max(1)));
            format!(
                "{verb} {} of {} ({} %), {rate_text}/s, {left} left",
                HumanBytes(done),
                HumanBytes(total),
                done.saturating_mul(100) / total
            )
        }
        _ => format!("{verb} {}, {rate_text}/s", HumanBytes(done)),
    }
}

fn write_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Reads, and shows how far it is.
pub struct ProgressReader<R> {
    source: R,
    progress: Progress,
    next: Option<&'static str>,
}

impl<R: Read> ProgressReader<R> {
    /// Reads from `source`; `next` is what is waited for once all is read.
    pub const fn new(source: R, progress: Progress, next: Option<&'static str>) -> Self {
        Self { source, progress, next }
    }
}

impl<R: Read> Read for ProgressReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            self.progress.finish(self.next);
        }
        self.progress.add(length as u64);
        Ok(length)
    }
}

/// Writes, and shows how far it is.
pub struct ProgressWriter<W> {
    target: W,
    progress: Progress,
}

impl<W: Write> ProgressWriter<W> {
    /// Writes to `target`.
    pub const fn new(target: W, progress: Progress) -> Self {
        Self { target, progress }
    }
}

impl<W: Write> Write for ProgressWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.target.write(bytes)?;
        self.progress.add(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.progress.finish(None);
        self.target.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::format_progress;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let (mib, second) = (1 << 20, Duration::from_secs(1));
        assert_eq!(
            format_progress("sent", 10 * mib, Some(40 * mib), second),
            "sent 10.00 MiB of 40.00 MiB (25 %), 10.00 MiB/s, 3 seconds left"
        );
        assert_eq!(format_progress("sent", 10 * mib, None, 2 * second), "sent 10.00 MiB, 5.00 MiB/s");
        assert_eq!(format_progress("sent", 10 * mib, Some(10 * mib), 2 * second), "sent 10.00 MiB, 5.00 MiB/s");
        assert_eq!(format_progress("sent", 0, Some(0), Duration::ZERO), "sent 0 B, 0 B/s");
        assert!(format_progress("sent", 0, Some(mib), Duration::ZERO).starts_with("sent 0 B of 1.00 MiB (0 %), 0 B/s, "));
    }
}
