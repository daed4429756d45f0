//! The records of a directory file in JSON Lines, read one line at a time, each with its line number and within a length limit.

use std::io::{self, BufRead, Read as _};

use crate::model::record::{InvalidRecord, Record};
use crate::model::unpublished::UnpublishedRecord;

/// The longest line, in bytes; a namespace with thousands of addresses is shorter.
pub const MAX_RECORD_LINE_BYTES: usize = 1 << 20;

/// Why a directory file is refused. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryFileError {
    /// A line that is not a record.
    #[error("line {line}: {reason}")]
    InvalidRecord {
        /// The number of the line.
        line: usize,
        /// What is wrong; names the field.
        reason: InvalidRecord,
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

/// Iterates over the records of a directory file with their line numbers, counted from 1. Skips blank lines; ends after an error.
pub struct RecordLines<R> {
    reader: R,
    line_number: usize,
    buffer: Vec<u8>,
    finished: bool,
}

impl<R: BufRead> RecordLines<R> {
    /// Starts reading at the beginning of a file.
    pub const fn new(file: R) -> Self {
        Self { reader: file, line_number: 0, buffer: Vec::new(), finished: false }
    }

    fn next_record(&mut self) -> Result<Option<(usize, DirectoryRecord)>, DirectoryFileError> {
        while self.read_raw_line().map_err(|error| DirectoryFileError::ReadFailed { line: self.line_number, error })? {
            let line = self.line_number;
            if self.buffer.len() > MAX_RECORD_LINE_BYTES {
                return Err(DirectoryFileError::LineTooLong { line });
            }
            let text = std::str::from_utf8(&self.buffer).map_err(|_| DirectoryFileError::NotUtf8 { line })?.trim();
            if !text.is_empty() {
                return DirectoryRecord::parse(text)
                    .map(|record| Some((line, record)))
                    .map_err(|reason| DirectoryFileError::InvalidRecord { line, reason });
            }
        }
        Ok(None)
    }

    /// Reads up to a line feed, which is dropped, or a little more than the longest line; returns false at the end.
    fn read_raw_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.line_number += 1;
        let limited = &mut self.reader.by_ref().take(MAX_RECORD_LINE_BYTES as u64 + 2);
        if limited.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(false);
        }
        self.buffer.pop_if(|last| *last == b'\n');
        Ok(true)
    }
}

impl<R: BufRead> Iterator for RecordLines<R> {
    type Item = Result<(usize, DirectoryRecord), DirectoryFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let next = self.next_record().transpose();
        self.finished = !matches!(next, Some(Ok(_)));
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
    fn what_is_refused_names_its_line_and_ends_the_reading() {
        let file = [SETTINGS.as_bytes(), b"\n\"\xff\"\n", SETTINGS.as_bytes()].concat();
        assert_eq!(read(&file), [Ok(1), Err("line 2: it is not UTF-8".to_owned())]);
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
    }
}
