//! The screen of a status: the verdict first, then what is wrong, then numbers; never more lines than fit on one screen.

use crate::cli::exit_status::Completion;

/// The most lines of a screen.
pub const MOST_LINES: usize = 40;
/// So many lines of numbers are shown at least, however much is wrong.
const NUMBER_LINES: usize = 12;

/// How well a daemon is, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is wrong.
    Well,
    /// It serves, and something is to be looked at.
    Degraded,
    /// What it has is not given any more, or it cannot be reached.
    Away,
}

impl Level {
    /// Returns how the command ends: exit code 0, 1 or 2.
    #[must_use]
    pub const fn completion(self) -> Completion {
        match self {
            Self::Well => Completion::Complete,
            Self::Degraded => Completion::Degraded,
            Self::Away => Completion::Broken,
        }
    }
}

/// How much one finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// An alarm.
    Alarm,
    /// Something that an operator should look at.
    Problem,
    /// Something to know, which is not wrong.
    Note,
}

/// One thing to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What it is, in one line.
    pub text: String,
    /// What to do; `None` where nothing is.
    pub remedy: Option<String>,
}

impl Finding {
    /// Creates a finding.
    pub fn new(weight: Weight, text: impl Into<String>, remedy: Option<&str>) -> Self {
        Self { weight, text: text.into(), remedy: remedy.map(str::to_owned) }
    }

    const fn line_count(&self) -> usize {
        1 + if self.remedy.is_some() { 1 } else { 0 }
    }
}

/// What a status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// How well the daemon is.
    pub level: Level,
    /// The first line.
    pub verdict: String,
    /// What is wrong, and what to know; alarms first.
    pub findings: Vec<Finding>,
    /// Lines of numbers.
    pub numbers: Vec<String>,
}

/// Whether lines are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// They are.
    On,
    /// They are not.
    Off,
}

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

impl Screen {
    /// Returns the lines, at most [`MOST_LINES`]. What does not fit is counted, and `--json` has it.
    #[must_use]
    pub fn lines(&self, colour: Colour) -> Vec<String> {
        let level_colour = match self.level {
            Level::Well => GREEN,
            Level::Degraded => YELLOW,
            Level::Away => RED,
        };
        let mut lines = vec![paint(&one_line(&self.verdict), &[BOLD, level_colour], colour)];
        let (findings, left_out) = self.findings_that_fit();
        for finding in findings {
            lines.push(finding_line(finding, colour));
            lines.extend(finding.remedy.as_ref().map(|remedy| format!("  to do: {}", one_line(remedy))));
        }
        if left_out > 0 {
            lines.push(format!("and {left_out} more to look at: see --json"));
        }
        let room = MOST_LINES - lines.len();
        if self.numbers.len() <= room {
            lines.extend(self.numbers.iter().map(|line| one_line(line)));
        } else {
            lines.extend(self.numbers.iter().take(room - 1).map(|line| one_line(line)));
            lines.push(format!("and {} more lines: see --json", self.numbers.len() - (room - 1)));
        }
        lines
    }

    /// Returns the findings that leave room for the numbers, and how many others there are.
    fn findings_that_fit(&self) -> (&[Finding], usize) {
        let room = MOST_LINES - 1 - self.numbers.len().min(NUMBER_LINES);
        if self.findings.iter().map(Finding::line_count).sum::<usize>() <= room {
            return (&self.findings, 0);
        }
        // One line says what is left out.
        let room = room - 1;
        let mut used = 0;
        let fits = |finding: &&Finding| {
            used += finding.line_count();
            used <= room
        };
        let count = self.findings.iter().take_while(fits).count();
        (&self.findings[..count], self.findings.len() - count)
    }
}

fn finding_line(finding: &Finding, colour: Colour) -> String {
    let text = one_line(&finding.text);
    match finding.weight {
        Weight::Alarm => paint(&text, &[RED], colour),
        Weight::Problem => paint(&text, &[YELLOW], colour),
        Weight::Note => text,
    }
}

fn paint(text: &str, codes: &[&str], colour: Colour) -> String {
    match colour {
        Colour::On => format!("{}{text}{RESET}", codes.concat()),
        Colour::Off => text.to_owned(),
    }
}

/// Returns a text as one line, without bytes that a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Colour, Finding, Level, MOST_LINES, Screen, Weight};

    fn finding() -> impl Strategy<Value = Finding> {
        let weight = prop_oneof![Just(Weight::Alarm), Just(Weight::Problem), Just(Weight::Note)];
        (weight, ".{0,40}", proptest::option::of(".{0,40}"))
            .prop_map(|(weight, text, remedy)| Finding::new(weight, text, remedy.as_deref()))
    }

    proptest! {
        #[test]
        fn a_screen_is_never_more_than_forty_lines_and_says_what_it_leaves_out(
            findings in proptest::collection::vec(finding(), 0..60), numbers in proptest::collection::vec(".{0,40}", 0..80)
        ) {
            let screen = Screen { level: Level::Degraded, verdict: "serving".to_owned(), findings, numbers };
            let plain = screen.lines(Colour::Off);
            prop_assert!(plain.len() <= MOST_LINES, "{} lines", plain.len());
            prop_assert!(plain.iter().all(|line| !line.contains(|character: char| character.is_control())));
            let all = 1 + screen.findings.iter().map(Finding::line_count).sum::<usize>() + screen.numbers.len();
            prop_assert_eq!(all > plain.len(), plain.iter().any(|line| line.starts_with("and ") && line.ends_with("see --json")));
            let numbers = screen.numbers.len().min(super::NUMBER_LINES);
            prop_assert!(numbers == 0 || plain.len() > numbers, "numbers are shown however much is wrong");
            prop_assert_eq!(screen.lines(Colour::On).len(), plain.len());
        }
    }

    #[test]
    fn only_a_coloured_screen_has_colours() {
        let findings = vec![Finding::new(Weight::Alarm, "an alarm", Some("a remedy"))];
        let screen = Screen { level: Level::Away, verdict: "serving".to_owned(), findings, numbers: vec!["a number".to_owned()] };
        assert_eq!(screen.lines(Colour::Off), ["serving", "an alarm", "  to do: a remedy", "a number"]);
        assert_eq!(screen.lines(Colour::On)[0], "\x1b[1m\x1b[31mserving\x1b[0m");
    }
}
