//! Splits what arrives of a file into lines. Of a line that is longer than any record only the beginning is held.

use crate::wire::directory::record_lines::MAX_RECORD_LINE_BYTES;

/// The beginning of a line that has not arrived whole.
#[derive(Default)]
pub struct LineSplitter {
    rest: Vec<u8>,
}

impl LineSplitter {
    /// Takes what has arrived; gives each whole line to `take`, without its line feed.
    pub fn push(&mut self, chunk: &[u8], mut take: impl FnMut(&[u8])) {
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.append(piece);
            if pieces.peek().is_some() {
                take(&self.rest);
                self.rest.clear();
            }
        }
    }

    /// Gives the last line to `take`, if no line feed has ended it.
    pub fn finish(self, mut take: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            take(&self.rest);
        }
    }

    /// Holds one byte more than a line may have, so that a line that is too long is known as such.
    fn append(&mut self, piece: &[u8]) {
        let room = (MAX_RECORD_LINE_BYTES + 1).saturating_sub(self.rest.len());
        self.rest.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::LineSplitter;
    use crate::wire::directory::record_lines::MAX_RECORD_LINE_BYTES;

    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
        chunks.iter().for_each(|chunk| splitter.push(chunk, |line| lines.push(line.to_vec())));
        splitter.finish(|line| lines.push(line.to_vec()));
        lines
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_arrive(text in "[a\n]{0,60}", size in 1..10_usize) {
            let whole: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(split(&text.as_bytes().chunks(size).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_held() {
        let long = vec![b'a'; MAX_RECORD_LINE_BYTES * 2];
        let lines = split(&[&long, &long, b"\nb"]);
        assert_eq!((lines[0].len(), lines[1].as_slice()), (MAX_RECORD_LINE_BYTES + 1, &b"b"[..]));
    }
}
