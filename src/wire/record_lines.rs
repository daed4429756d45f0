//! Records out of JSON Lines, one line in memory at a time: each with the number of its line, none longer than the bound.

use std::io::{self, BufRead, Read as _};

use crate::model::record::{NotARecord, Record};
use crate::model::withheld::Withheld;
use crate::wire::directory::Refused;

/// The longest line, in bytes; a namespace with thousands of addresses needs less.
pub const LINE_BYTES: usize = 1 << 20;

/// A record of a directory file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filed {
    /// One that followers have too.
    Published(Record),
    /// One that the primary keeps for itself.
    Withheld(Withheld),
}

impl Filed {
    /// Reads one line. A kind that is neither is refused as an unknown one.
    pub fn parse(line: &str) -> Result<Self, NotARecord> {
        match Record::parse(line) {
            Ok(record) => Ok(Self::Published(record)),
            Err(_) if Withheld::claims(line) => Withheld::parse(line).map(Self::Withheld),
            Err(unlike) => Err(unlike),
        }
    }
}

/// The records of a directory file with their lines, counted from 1. Blank lines are passed over. Ends after what it refuses.
pub struct RecordLines<R> {
    file: R,
    line: usize,
    raw: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> RecordLines<R> {
    /// From a reader at the start of a file.
    pub const fn new(file: R) -> Self {
        Self { file, line: 0, raw: Vec::new(), ended: false }
    }

    fn advance(&mut self) -> Result<Option<(usize, Filed)>, Refused> {
        while self.next_line().map_err(|error| Refused::Unread { line: self.line, error })? {
            let line = self.line;
            if self.raw.len() > LINE_BYTES {
                return Err(Refused::Long { line });
            }
            let text = std::str::from_utf8(&self.raw).map_err(|_| Refused::NotText { line })?.trim();
            if !text.is_empty() {
                return Filed::parse(text).map(|record| Some((line, record))).map_err(|reason| Refused::Line { line, reason });
            }
        }
        Ok(None)
    }

    /// Reads up to a line feed, which is dropped, or as far as a line may reach and a little on; false at the end.
    fn next_line(&mut self) -> io::Result<bool> {
        self.raw.clear();
        self.line += 1;
        let within = &mut self.file.by_ref().take(LINE_BYTES as u64 + 2);
        if within.read_until(b'\n', &mut self.raw)? == 0 {
            return Ok(false);
        }
        self.raw.pop_if(|last| *last == b'\n');
        Ok(true)
    }
}

impl<R: BufRead> Iterator for RecordLines<R> {
    type Item = Result<(usize, Filed), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES, RecordLines};

    const SETTINGS: &str = r#"{"kind":"settings"}"#;

    fn read(file: &[u8]) -> Vec<Result<usize, String>> {
        RecordLines::new(file).map(|item| item.map(|(line, _)| line).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn blank_lines_are_passed_over_and_counted() {
        assert_eq!(read(format!("\n{SETTINGS}\r\n  \n\t{SETTINGS}").as_bytes()), [Ok(2), Ok(4)]);
    }

    #[test]
    fn what_is_refused_names_its_line_and_ends_the_reading() {
        let file = [SETTINGS.as_bytes(), b"\n\"\xff\"\n", SETTINGS.as_bytes()].concat();
        assert_eq!(read(&file), [Ok(1), Err("line 2: it is not UTF-8".to_owned())]);
    }

    #[test]
    fn a_line_is_bounded() {
        let padded = |length: usize| format!("{SETTINGS}{}", " ".repeat(length - SETTINGS.len()));
        assert_eq!(read(padded(LINE_BYTES).as_bytes()), [Ok(1)]);
        assert_eq!(read(format!("{}\n{SETTINGS}", padded(LINE_BYTES)).as_bytes()), [Ok(1), Ok(2)]);
        for end in ["", "\n"] {
            let message = read(format!("{}{end}", padded(LINE_BYTES + 1)).as_bytes()).remove(0).unwrap_err();
            assert!(message.starts_with("line 1: a line is at most 1048576 bytes"), "{message}");
        }
    }
}
