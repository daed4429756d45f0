//! The records of a directory file in JSON Lines, read one line at a time, each with its line number and within a length limit.

use std::io::{self, BufRead, Read as _};

use crate::model::record::{InvalidRecord, Record};
use crate::model::unpublished::UnpublishedRecord;
use crate::wire::directory::invalid_line;

/// The longest line, in bytes; a namespace with thousands of addresses is shorter.
pub const MAX_RECORD_LINE_BYTES: usize = 1 << 20;

/// What some editors write before the first character of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a directory file is refused. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryFileError {
    /// A line that is not a record.
    #[error("line {line}: {reason}")]
    InvalidRecord {
        /// The number of the line.
        line: usize,
        /// What is wrong, and what was expected; names the field.
        reason: String,
    },
    /// A line that is longer than any record.
    #[error("line {line}: a line is at most {MAX_RECORD_LINE_BYTES} bytes")]
    LineTooLong {
        /// The number of the line.
        line: usize,
    },
    /// A line that is not UTF-8.
    #[error("line {line}: it is not UTF-8")]
    NotUtf8 {
        /// The number of the line.
        line: usize,
    },
    /// The file could not be read further.
    #[error("line {line}: the file cannot be read: {error}")]
    ReadFailed {
        /// The number of the line.
        line: usize,
        /// The error.
        error: io::Error,
    },
}

impl DirectoryFileError {
    /// Returns the number of the line, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        match self {
            Self::InvalidRecord { line, .. } | Self::LineTooLong { line } | Self::NotUtf8 { line } | Self::ReadFailed { line, .. } => *line,
        }
    }
}

/// A record of a directory file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryRecord {
    /// One that followers get too.
    Published(Record),
    /// One that only the primary has.
    Unpublished(UnpublishedRecord),
}

impl DirectoryRecord {
    /// Parses a line. A kind that is neither is refused as unknown.
    pub fn parse(line: &str) -> Result<Self, InvalidRecord> {
        match Record::parse(line) {
            Ok(record) => Ok(Self::Published(record)),
            Err(_) if UnpublishedRecord::is_unpublished_kind(line) => UnpublishedRecord::parse(line).map(Self::Unpublished),
            Err(error) => Err(error),
        }
    }
}

/// Iterates over the records of a directory file with their line numbers, counted from 1. Skips blank lines and the byte order mark that
/// some editors begin a file with. Goes on after a line that is refused, so that all of them can be said at once; ends where the file cannot
/// be read.
pub struct RecordLines<R> {
    reader: R,
    line_number: usize,
    buffer: Vec<u8>,
    /// Whether the present line was read to its end.
    is_line_read: bool,
    finished: bool,
}

impl<R: BufRead> RecordLines<R> {
    /// Starts reading at the beginning of a file.
    pub const fn new(file: R) -> Self {
        Self { reader: file, line_number: 0, buffer: Vec::new(), is_line_read: true, finished: false }
    }

    fn next_record(&mut self) -> Result<Option<(usize, DirectoryRecord)>, DirectoryFileError> {
        while self.read_raw_line().map_err(|error| DirectoryFileError::ReadFailed { line: self.line_number, error })? {
            let line = self.line_number;
            if self.buffer.len() > MAX_RECORD_LINE_BYTES {
                self.skip_line().map_err(|error| DirectoryFileError::ReadFailed { line, error })?;
                return Err(DirectoryFileError::LineTooLong { line });
            }
            let text = std::str::from_utf8(&self.buffer).map_err(|_| DirectoryFileError::NotUtf8 { line })?;
            let text = if line == 1 { text.trim_start_matches(BYTE_ORDER_MARK) } else { text }.trim();
            if !text.is_empty() {
                return DirectoryRecord::parse(text)
                    .map(|record| Some((line, record)))
                    .map_err(|error| DirectoryFileError::InvalidRecord { line, reason: invalid_line::describe(text, &error) });
            }
        }
        Ok(None)
    }

    /// Reads up to a line feed, which is dropped, or a little more than the longest line; returns false at the end.
    fn read_raw_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.line_number += 1;
        self.is_line_read = true;
        let limited = &mut self.reader.by_ref().take(MAX_RECORD_LINE_BYTES as u64 + 2);
        if limited.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(false);
        }
        self.is_line_read = self.buffer.pop_if(|last| *last == b'\n').is_some();
        Ok(true)
    }

    /// Reads to the end of a line that is too long, a piece at a time.
    fn skip_line(&mut self) -> io::Result<()> {
        while !self.is_line_read {
            self.buffer.clear();
            let piece = &mut self.reader.by_ref().take(MAX_RECORD_LINE_BYTES as u64);
            let is_end = piece.read_until(b'\n', &mut self.buffer)? == 0;
            self.is_line_read = is_end || self.buffer.last() == Some(&b'\n');
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for RecordLines<R> {
    type Item = Result<(usize, DirectoryRecord), DirectoryFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let next = self.next_record().transpose();
        self.finished = matches!(next, None | Some(Err(DirectoryFileError::ReadFailed { .. })));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RECORD_LINE_BYTES, RecordLines};

    const SETTINGS: &str = r#"{"kind":"settings"}"#;

    fn read(file: &[u8]) -> Vec<Result<usize, String>> {
        RecordLines::new(file).map(|item| item.map(|(line, _)| line).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        assert_eq!(read(format!("\n{SETTINGS}\r\n  \n\t{SETTINGS}").as_bytes()), [Ok(2), Ok(4)]);
    }

    #[test]
    fn what_is_refused_names_its_line_and_the_reading_goes_on() {
        let file = [SETTINGS.as_bytes(), b"\n\"\xff\"\n", SETTINGS.as_bytes(), b"\n{}\n", SETTINGS.as_bytes()].concat();
        let said = read(&file);
        assert_eq!((&said[0], &said[1], &said[2], &said[4]), (&Ok(1), &Err("line 2: it is not UTF-8".to_owned()), &Ok(3), &Ok(5)));
        assert!(said[3].as_ref().unwrap_err().starts_with("line 4: ") && said.len() == 5, "{said:?}");
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_are_taken() {
        assert_eq!(read(format!("\u{feff}{SETTINGS}\r\n\r\n{SETTINGS}\r\n").as_bytes()), [Ok(1), Ok(3)]);
        assert!(read(format!("{SETTINGS}\n\u{feff}{SETTINGS}").as_bytes())[1].is_err(), "it begins a file and no other line");
    }

    #[test]
    fn a_line_is_bounded() {
        let padded = |length: usize| format!("{SETTINGS}{}", " ".repeat(length - SETTINGS.len()));
        assert_eq!(read(padded(MAX_RECORD_LINE_BYTES).as_bytes()), [Ok(1)]);
        assert_eq!(read(format!("{}\n{SETTINGS}", padded(MAX_RECORD_LINE_BYTES)).as_bytes()), [Ok(1), Ok(2)]);
        for end in ["", "\n"] {
            let message = read(format!("{}{end}", padded(MAX_RECORD_LINE_BYTES + 1)).as_bytes()).remove(0).unwrap_err();
            assert!(message.starts_with("line 1: a line is at most 1048576 bytes"), "{message}");
        }
        let endless = format!("{}\n{SETTINGS}", padded(3 * MAX_RECORD_LINE_BYTES));
        assert_eq!(read(endless.as_bytes())[1..], [Ok(2)], "the next line is the next record");
    }
}
