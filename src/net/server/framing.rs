//! Finds ambiguous request framing (request smuggling) in the bytes as they arrive.
//!
//! hyper takes two equal lengths for one and drops a length beside `chunked` before a handler sees it. Both are ways to smuggle requests
//! past a front server, and both must be refused, so the heads are also inspected here. Nothing else is parsed, and malformed requests are
//! left to hyper. Pure.

use std::io::BufRead;

/// The part of a request that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Head,
    Body(u64),
    /// A chunked body. Nothing after it is inspected, so the connection must not be kept.
    Chunked,
}

/// Why a request is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmbiguousFraming {
    /// More than one `Content-Length`.
    DuplicateLength,
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding,
    /// A `Transfer-Encoding` other than one `chunked`.
    UnsupportedEncoding,
}

impl AmbiguousFraming {
    /// Returns the message for the person who reads the response.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::DuplicateLength => "the request has more than one Content-Length",
            Self::LengthAndEncoding => "the request has both Content-Length and Transfer-Encoding",
            Self::UnsupportedEncoding => "the only Transfer-Encoding accepted is one chunked",
        }
    }
}

/// Follows the requests of one connection byte by byte.
pub struct RequestFraming {
    position: Position,
    /// The beginning of a line whose end has not arrived.
    partial_line: Vec<u8>,
    head_started: bool,
    length_headers: u32,
    content_length: u64,
    encoding_headers: u32,
    chunked: bool,
    request_count: u64,
    ambiguity: Option<(u64, AmbiguousFraming)>,
}

impl RequestFraming {
    /// Returns the framing of a connection on which nothing has arrived.
    #[must_use]
    pub fn new() -> Self {
        Self {
            position: Position::Head,
            partial_line: Vec::new(),
            head_started: false,
            length_headers: 0,
            content_length: 0,
            encoding_headers: 0,
            chunked: false,
            request_count: 0,
            ambiguity: None,
        }
    }

    /// Returns the first request that must be refused: its number on the connection, from 1, and why.
    #[must_use]
    pub fn ambiguity(&self) -> Option<(u64, AmbiguousFraming)> {
        self.ambiguity
    }

    /// Returns the number of the request whose body has not wholly arrived.
    #[must_use]
    pub fn request_awaiting_body(&self) -> Option<u64> {
        matches!(self.position, Position::Body(_)).then_some(self.request_count)
    }

    /// Returns whether a request has begun that has not wholly arrived, as far as is known.
    #[must_use]
    pub fn is_mid_request(&self) -> bool {
        self.position != Position::Head || self.head_started || !self.partial_line.is_empty()
    }

    /// Inspects bytes that have arrived.
    pub fn observe(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.position {
                Position::Chunked => return,
                Position::Body(remaining) => {
                    let length = (*remaining).min(bytes.len() as u64);
                    *remaining -= length;
                    if *remaining == 0 {
                        self.position = Position::Head;
                    }
                    bytes = bytes.get(usize::try_from(length).unwrap_or(usize::MAX)..).unwrap_or_default();
                }
                Position::Head => bytes = self.observe_head(bytes),
            }
        }
    }

    fn observe_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        let length = rest.skip_until(b'\n').unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at(length);
        let Some(line) = line.strip_suffix(b"\n") else {
            self.partial_line.extend_from_slice(line);
            return rest;
        };
        if self.partial_line.is_empty() {
            self.observe_line(line);
        } else {
            let mut whole_line = std::mem::take(&mut self.partial_line);
            whole_line.extend_from_slice(line);
            self.observe_line(&whole_line);
        }
        rest
    }

    fn observe_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None if self.head_started => self.finish_head(),
            // Empty lines before a request are allowed.
            None => {}
            Some(b'c' | b'C') if self.head_started => {
                if let Some(value) = header_value(line, b"content-length") {
                    self.length_headers += 1;
                    self.content_length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
                }
            }
            Some(b't' | b'T') if self.head_started => {
                if let Some(value) = header_value(line, b"transfer-encoding") {
                    self.encoding_headers += 1;
                    self.chunked = value.eq_ignore_ascii_case(b"chunked");
                }
            }
            Some(_) => self.head_started = true,
        }
    }

    fn finish_head(&mut self) {
        self.request_count += 1;
        let ambiguity = match (self.length_headers, self.encoding_headers) {
            (2.., _) => Some(AmbiguousFraming::DuplicateLength),
            (1, 1..) => Some(AmbiguousFraming::LengthAndEncoding),
            (_, 2..) => Some(AmbiguousFraming::UnsupportedEncoding),
            (_, 1) if !self.chunked => Some(AmbiguousFraming::UnsupportedEncoding),
            _ => None,
        };
        if self.ambiguity.is_none() {
            self.ambiguity = ambiguity.map(|ambiguity| (self.request_count, ambiguity));
        }
        self.position = match (self.encoding_headers, self.content_length) {
            (1.., _) => Position::Chunked,
            (0, 0) => Position::Head,
            (0, length) => Position::Body(length),
        };
        (self.head_started, self.length_headers, self.content_length, self.encoding_headers, self.chunked) = (false, 0, 0, 0, false);
    }
}

fn header_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (field, value) = line.split_at_checked(name.len())?;
    if !field.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(value.strip_prefix(b":")?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{AmbiguousFraming, RequestFraming};

    fn observe_all(bytes: &[u8]) -> RequestFraming {
        let mut framing = RequestFraming::new();
        framing.observe(bytes);
        framing
    }

    #[test]
    fn two_lengths_are_noticed_whether_equal_or_not() {
        for second in ["5", "6"] {
            let framing =
                observe_all(format!("POST / HTTP/1.1\r\ncontent-length: 5\r\nX: y\r\nCONTENT-LENGTH:{second}\r\n\r\n").as_bytes());
            assert_eq!(framing.ambiguity(), Some((1, AmbiguousFraming::DuplicateLength)));
        }
    }

    #[test]
    fn a_length_beside_an_encoding_is_noticed_in_either_order() {
        for head in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"] {
            let framing = observe_all(format!("POST / HTTP/1.1\r\n{head}\r\n\r\n").as_bytes());
            assert_eq!(framing.ambiguity(), Some((1, AmbiguousFraming::LengthAndEncoding)), "{head}");
        }
    }

    #[test]
    fn an_encoding_other_than_chunked_is_noticed() {
        for head in ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\nTransfer-Encoding: chunked"] {
            assert_eq!(
                observe_all(format!("POST / HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).ambiguity(),
                Some((1, AmbiguousFraming::UnsupportedEncoding)),
                "{head}"
            );
        }
    }

    #[test]
    fn a_body_that_looks_like_a_head_is_no_head() {
        let body = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let framing = observe_all(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        assert_eq!(framing.ambiguity(), None);
        assert!(!framing.is_mid_request());
    }

    #[test]
    fn the_second_of_two_requests_is_named() {
        let framing = observe_all(
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nok\r\nGET / HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n",
        );
        assert_eq!(framing.ambiguity(), Some((2, AmbiguousFraming::DuplicateLength)));
    }

    #[test]
    fn a_request_that_has_not_wholly_arrived_is_noticed() {
        for part in [
            "G",
            "GET / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1234",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(observe_all(part.as_bytes()).is_mid_request(), "{part:?}");
        }
        let body = |bytes: &str| {
            observe_all(format!("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n{bytes}").as_bytes())
                .request_awaiting_body()
        };
        assert_eq!((body(""), body("1234"), body("12345"), body("12345GET /")), (Some(2), Some(2), None, None));
        for whole in ["", "\r\n", "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345"] {
            assert!(!observe_all(whole.as_bytes()).is_mid_request(), "{whole:?}");
        }
    }

    proptest! {
        #[test]
        fn the_sizes_of_the_reads_do_not_matter(cuts in proptest::collection::vec(any::<u8>(), 0..6)) {
            let bytes = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nTE: x\r\n\r\nabcPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
            let mut framing = RequestFraming::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(usize::from(cut).min(rest.len()));
                framing.observe(now);
                rest = later;
            }
            framing.observe(rest);
            assert_eq!(framing.ambiguity(), Some((2, AmbiguousFraming::LengthAndEncoding)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = observe_all(&bytes).is_mid_request();
        }
    }
}
