//! Splits a stream of bytes into lines, none longer than a line of the feed may be.

use bytes::{Buf as _, BytesMut};

use crate::wire::directory::feed_lines::MAX_FEED_LINE_BYTES;

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineSplitError {
    /// It is longer than [`MAX_FEED_LINE_BYTES`].
    #[error("a line is longer than {MAX_FEED_LINE_BYTES} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("a line is not UTF-8")]
    NotUtf8,
}

/// Holds the bytes that have arrived and were not yet taken as lines.
#[derive(Default)]
pub struct LineSplitter {
    buffer: BytesMut,
    scanned: usize,
}

impl LineSplitter {
    /// Appends bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next whole line without its line feed; `None` if there is none yet. Empty lines are skipped.
    pub fn next_line(&mut self) -> Result<Option<String>, LineSplitError> {
        while let Some(length) = self.find_line_end()? {
            let line = self.buffer.split_to(length);
            self.buffer.advance(1);
            self.scanned = 0;
            if !line.is_empty() {
                return String::from_utf8(line.to_vec()).map(Some).map_err(|_| LineSplitError::NotUtf8);
            }
        }
        Ok(None)
    }

    /// Whether no bytes of an unfinished line are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn find_line_end(&mut self) -> Result<Option<usize>, LineSplitError> {
        let found = self.buffer.get(self.scanned..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
        let length = found.map(|position| position + self.scanned);
        self.scanned = self.buffer.len();
        match length.unwrap_or(self.buffer.len()) {
            bytes if bytes > MAX_FEED_LINE_BYTES => Err(LineSplitError::TooLong),
            _ => Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LineSplitError, LineSplitter};
    use crate::wire::directory::feed_lines::MAX_FEED_LINE_BYTES;

    fn split_all(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = LineSplitter::default();
        let mut taken = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next_line().unwrap() {
                taken.push(line);
            }
        }
        taken
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_were_cut(words in prop::collection::vec("[a-zé]{0,9}", 0..9), cut in 1_usize..7) {
            let text: String = words.iter().map(|word| format!("{word}\n")).collect();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let whole: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(split_all(&pieces), whole);
        }
    }

    #[test]
    fn a_line_one_past_the_bound_is_refused_before_it_ends() {
        let mut lines = LineSplitter::default();
        lines.push(&vec![b'x'; MAX_FEED_LINE_BYTES]);
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"x");
        assert_eq!(lines.next_line(), Err(LineSplitError::TooLong));
    }

    #[test]
    fn an_incomplete_line_is_detected() {
        let mut lines = LineSplitter::default();
        lines.push(b"a\nb");
        assert_eq!(lines.next_line(), Ok(Some("a".to_owned())));
        assert_eq!((lines.next_line(), lines.is_empty()), (Ok(None), false));
        lines.push(b"\xff\n");
        assert_eq!(lines.next_line(), Err(LineSplitError::NotUtf8));
    }
}
