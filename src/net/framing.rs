//! Where one request ends and the next begins, seen in the bytes as they arrive.
//!
//! hyper takes two equal lengths for one and drops a length that stands beside `chunked` before anybody sees it. Both are how requests
//! are smuggled past a front server, and both are to be refused, so the heads are also looked at here: nothing else is parsed, and what is
//! malformed is left to hyper. Pure.

use std::io::BufRead;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Head,
    Body(u64),
    /// A chunked body: nothing is followed after it, so the connection must not be kept.
    Chunked,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguous {
    /// More than one `Content-Length`.
    TwoLengths,
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding,
    /// A `Transfer-Encoding` other than one `chunked`.
    Encoding,
}

impl Ambiguous {
    /// For the person who reads the answer.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::TwoLengths => "the request has more than one Content-Length",
            Self::LengthAndEncoding => "the request has both Content-Length and Transfer-Encoding",
            Self::Encoding => "the only Transfer-Encoding accepted is one chunked",
        }
    }
}

/// What one connection has brought so far.
pub struct Framing {
    within: Within,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    begun: bool,
    lengths: u32,
    length: u64,
    encodings: u32,
    chunked: bool,
    heads: u64,
    ambiguous: Option<(u64, Ambiguous)>,
}

impl Framing {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            within: Within::Head,
            line: Vec::new(),
            begun: false,
            lengths: 0,
            length: 0,
            encodings: 0,
            chunked: false,
            heads: 0,
            ambiguous: None,
        }
    }

    /// The first request that must be refused: the how-manieth of its connection, from 1, and why.
    #[must_use]
    pub fn ambiguous(&self) -> Option<(u64, Ambiguous)> {
        self.ambiguous
    }

    /// The how-manieth request of its connection has a body of which bytes have yet to arrive.
    #[must_use]
    pub fn awaits_body_of(&self) -> Option<u64> {
        matches!(self.within, Within::Body(_)).then_some(self.heads)
    }

    /// Whether a request has begun that has not wholly arrived, as far as is known.
    #[must_use]
    pub fn is_amid_request(&self) -> bool {
        self.within != Within::Head || self.begun || !self.line.is_empty()
    }

    /// More bytes have arrived.
    pub fn saw(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.within {
                Within::Chunked => return,
                Within::Body(left) => {
                    let now = (*left).min(bytes.len() as u64);
                    *left -= now;
                    if *left == 0 {
                        self.within = Within::Head;
                    }
                    bytes = bytes.get(usize::try_from(now).unwrap_or(usize::MAX)..).unwrap_or_default();
                }
                Within::Head => bytes = self.saw_head(bytes),
            }
        }
    }

    fn saw_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        let long = rest.skip_until(b'\n').unwrap_or(bytes.len());
        let (upto, rest) = bytes.split_at(long);
        let Some(end) = upto.strip_suffix(b"\n") else {
            self.line.extend_from_slice(upto);
            return rest;
        };
        if self.line.is_empty() {
            self.saw_line(end);
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(end);
            self.saw_line(&line);
        }
        rest
    }

    fn saw_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None if self.begun => self.saw_head_end(),
            // Empty lines before a request are allowed.
            None => {}
            Some(b'c' | b'C') if self.begun => {
                if let Some(value) = value_of(line, b"content-length") {
                    self.lengths += 1;
                    self.length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
                }
            }
            Some(b't' | b'T') if self.begun => {
                if let Some(value) = value_of(line, b"transfer-encoding") {
                    self.encodings += 1;
                    self.chunked = value.eq_ignore_ascii_case(b"chunked");
                }
            }
            Some(_) => self.begun = true,
        }
    }

    fn saw_head_end(&mut self) {
        self.heads += 1;
        let ambiguous = match (self.lengths, self.encodings) {
            (2.., _) => Some(Ambiguous::TwoLengths),
            (1, 1..) => Some(Ambiguous::LengthAndEncoding),
            (_, 2..) => Some(Ambiguous::Encoding),
            (_, 1) if !self.chunked => Some(Ambiguous::Encoding),
            _ => None,
        };
        if self.ambiguous.is_none() {
            self.ambiguous = ambiguous.map(|ambiguous| (self.heads, ambiguous));
        }
        self.within = match (self.encodings, self.length) {
            (1.., _) => Within::Chunked,
            (0, 0) => Within::Head,
            (0, length) => Within::Body(length),
        };
        (self.begun, self.lengths, self.length, self.encodings, self.chunked) = (false, 0, 0, 0, false);
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (field, value) = line.split_at_checked(name.len())?;
    if !field.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(value.strip_prefix(b":")?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Ambiguous, Framing};

    fn all(bytes: &[u8]) -> Framing {
        let mut framing = Framing::new();
        framing.saw(bytes);
        framing
    }

    #[test]
    fn two_lengths_are_seen_whether_equal_or_not() {
        for second in ["5", "6"] {
            let framing = all(format!("POST / HTTP/1.1\r\ncontent-length: 5\r\nX: y\r\nCONTENT-LENGTH:{second}\r\n\r\n").as_bytes());
            assert_eq!(framing.ambiguous(), Some((1, Ambiguous::TwoLengths)));
        }
    }

    #[test]
    fn a_length_beside_an_encoding_is_seen_in_either_order() {
        for head in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"] {
            let framing = all(format!("POST / HTTP/1.1\r\n{head}\r\n\r\n").as_bytes());
            assert_eq!(framing.ambiguous(), Some((1, Ambiguous::LengthAndEncoding)), "{head}");
        }
    }

    #[test]
    fn an_encoding_other_than_chunked_is_seen() {
        for head in ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\nTransfer-Encoding: chunked"] {
            assert_eq!(all(format!("POST / HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).ambiguous(), Some((1, Ambiguous::Encoding)), "{head}");
        }
    }

    #[test]
    fn a_body_that_looks_like_a_head_is_no_head() {
        let body = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let framing = all(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        assert_eq!(framing.ambiguous(), None);
        assert!(!framing.is_amid_request());
    }

    #[test]
    fn the_second_of_two_requests_is_named() {
        let framing =
            all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nok\r\nGET / HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(framing.ambiguous(), Some((2, Ambiguous::TwoLengths)));
    }

    #[test]
    fn a_request_that_has_not_arrived_is_amid() {
        for part in [
            "G",
            "GET / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1234",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(all(part.as_bytes()).is_amid_request(), "{part:?}");
        }
        let body = |bytes: &str| {
            all(format!("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n{bytes}").as_bytes()).awaits_body_of()
        };
        assert_eq!((body(""), body("1234"), body("12345"), body("12345GET /")), (Some(2), Some(2), None, None));
        for whole in ["", "\r\n", "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345"] {
            assert!(!all(whole.as_bytes()).is_amid_request(), "{whole:?}");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(cuts in proptest::collection::vec(any::<u8>(), 0..6)) {
            let bytes = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nTE: x\r\n\r\nabcPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
            let mut framing = Framing::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(usize::from(cut).min(rest.len()));
                framing.saw(now);
                rest = later;
            }
            framing.saw(rest);
            assert_eq!(framing.ambiguous(), Some((2, Ambiguous::LengthAndEncoding)));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes).is_amid_request();
        }
    }
}
