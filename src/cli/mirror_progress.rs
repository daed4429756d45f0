//! What a mirror says of itself while it runs: the status line of systemd, and in the log how far a walk has come, more often on a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use crate::cli::status::mirror::verdict;
use crate::mirror::state::MirrorState;
use crate::net::notify;

/// How often it is looked how the mirror does.
const INTERVAL: Duration = Duration::from_secs(2);
/// So many intervals pass between two lines of the log while a walk is under way, and between two of the status while only numbers change.
const INTERVALS_OF_LINES: u32 = 30;
/// The same of the log where somebody watches.
const INTERVALS_OF_TERMINAL: u32 = 5;

/// Says it for as long as it is polled.
pub async fn report(state: &MirrorState) {
    let mut interval = tokio::time::interval(INTERVAL);
    let mut log = Pace::new(if std::io::stderr().is_terminal() { INTERVALS_OF_TERMINAL } else { INTERVALS_OF_LINES });
    let mut status = Pace::new(INTERVALS_OF_LINES);
    let mut said = None;
    loop {
        interval.tick().await;
        let summary = state.summary();
        let verdict = verdict(&summary);
        if log.is_due(summary["full_walk"]["under_way"].is_object()) {
            tracing::info!("{verdict}");
        }
        // Each line waits for systemd to read it, so there are few.
        let matters = Some((summary["serves_feed"].clone(), summary["alarms"].as_array().map(Vec::len)));
        if status.is_due(true) || matters != said {
            notify::status(&verdict);
            said = matters;
        }
    }
}

/// When another line is due.
struct Pace {
    every: u32,
    intervals: u32,
}

impl Pace {
    const fn new(every: u32) -> Self {
        Self { every, intervals: 0 }
    }

    /// Counts an interval in which there is something to say, and returns whether a line is due.
    const fn is_due(&mut self, has_news: bool) -> bool {
        let intervals = if has_news { self.intervals + 1 } else { 0 };
        let is_due = intervals >= self.every;
        self.intervals = if is_due { 0 } else { intervals };
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn a_line_is_due_every_so_many_intervals_and_only_while_there_is_something_to_say() {
        let mut progress = Pace::new(3);
        let due: Vec<bool> = [true, true, true, true, true, false, true, true, true].map(|walking| progress.is_due(walking)).to_vec();
        assert_eq!(due, [false, false, true, false, false, false, false, false, true]);
    }
}
