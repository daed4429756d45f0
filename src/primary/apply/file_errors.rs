//! All that is wrong with a directory file, so that its author corrects it once: the first lines of it, and how many more there are.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

/// How many lines are named.
pub const MAX_NAMED: usize = 100;
/// After how many lines no further ones are looked at.
pub const MAX_COUNTED: usize = 100_000;

/// The errors of a file, at most one of each line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileErrors {
    /// The first of them by their lines; 0 for what no line is to blame for.
    named: BTreeMap<usize, String>,
    lines: HashSet<usize>,
}

/// One error, as it is answered.
#[derive(Serialize)]
pub struct FileErrorView<'a> {
    /// The number of the line, from 1; `None` where no line is to blame.
    line: Option<usize>,
    /// What is wrong with it: the line, the field, and what was expected.
    message: &'a str,
}

impl FileErrors {
    /// Adds the error of a line, unless the line has one already: the first one may be the cause of the next.
    pub fn push(&mut self, line: usize, message: String) {
        if self.is_full() || !self.lines.insert(line) {
            return;
        }
        self.named.insert(line, message);
        if self.named.len() > MAX_NAMED {
            self.named.pop_last();
        }
    }

    /// Returns whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns whether so much is wrong that the rest need not be read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lines.len() >= MAX_COUNTED
    }

    /// Returns how many lines are wrong and not named.
    #[must_use]
    pub fn more(&self) -> usize {
        self.lines.len() - self.named.len()
    }

    /// Iterates over those that are named, by their lines.
    pub fn named(&self) -> impl Iterator<Item = FileErrorView<'_>> {
        self.named.iter().map(|(line, message)| FileErrorView { line: (*line > 0).then_some(*line), message })
    }
}

impl fmt::Display for FileErrors {
    /// Writes one error as it is, and several below each other.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(only), 1) = (self.named.values().next(), self.lines.len()) {
            return out.write_str(only);
        }
        write!(out, "{}{} lines are wrong, and nothing was applied:", if self.is_full() { "at least " } else { "" }, self.lines.len())?;
        for message in self.named.values() {
            write!(out, "\n{message}")?;
        }
        match self.more() {
            0 => Ok(()),
            more => write!(out, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FileErrors, MAX_COUNTED, MAX_NAMED};

    fn errors(lines: impl Iterator<Item = usize>) -> FileErrors {
        let mut errors = FileErrors::default();
        lines.for_each(|line| errors.push(line, format!("line {line}: no")));
        errors
    }

    #[test]
    fn one_error_is_said_as_it_is_and_the_first_of_a_line_counts() {
        let mut one = errors(std::iter::once(7));
        one.push(7, "line 7: and that".to_owned());
        assert_eq!((one.to_string().as_str(), one.more(), one.is_empty()), ("line 7: no", 0, false));
    }

    #[test]
    fn the_first_lines_are_named_and_the_others_counted_whatever_their_order() {
        let many = errors((1..=MAX_NAMED + 3).rev());
        let text = many.to_string();
        assert_eq!((many.named().count(), many.more()), (MAX_NAMED, 3));
        assert!(text.starts_with("103 lines are wrong, and nothing was applied:\nline 1: no\nline 2: no\n"), "{text}");
        assert!(text.ends_with("\nline 100: no\nand 3 more"), "{text}");
        assert_eq!(errors(1..=MAX_NAMED).more(), 0);
    }

    #[test]
    fn the_count_is_bounded() {
        let many = errors(1..=MAX_COUNTED + 1);
        assert!(many.is_full() && many.to_string().starts_with("at least 100000 lines are wrong"));
        assert!(!errors(1..=MAX_COUNTED - 1).is_full());
    }
}
