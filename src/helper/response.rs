//! Parses the response: HTTP/1 with `Content-Length`, in chunks, or up to the end of the connection. A response is accepted only when
//! it is complete.

use httparse::{EMPTY_HEADER, Response, Status, parse_chunk_size};

use crate::helper::lookup_error::LookupError;

/// The longest body, in bytes. A hit needs under 12 KiB.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The longest head, in bytes, and what chunks may add to the body.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// The most bytes that are received.
pub const MAX_RESPONSE_BYTES: usize = MAX_BODY_BYTES + MAX_HEAD_BYTES;
const MAX_HEADERS: usize = 64;

/// A complete response.
#[derive(Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    Fixed(usize),
    Chunked,
    UntilClose,
}

/// Parses the bytes received so far. Returns `None` if the response is incomplete; with `ended`, when no more bytes will come, that is
/// an error.
pub fn parse_response(received: &[u8], ended: bool) -> Result<Option<HttpResponse>, LookupError> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut head = Response::new(&mut headers);
    let rest = match head.parse(received) {
        Ok(Status::Complete(length)) => received.get(length..).unwrap_or_default(),
        Ok(Status::Partial) => return incomplete(ended),
        Err(_) => return Err(LookupError::InvalidHttp),
    };
    let status = head.code.ok_or(LookupError::InvalidHttp)?;
    let body = match parse_body_length(status, head.headers)? {
        BodyLength::Fixed(length) if length > MAX_BODY_BYTES => return Err(LookupError::TooLong),
        BodyLength::Fixed(length) => rest.get(..length).map(<[u8]>::to_vec),
        BodyLength::Chunked => decode_chunks(rest)?,
        BodyLength::UntilClose => ended.then(|| rest.to_vec()),
    };
    match body {
        Some(body) if body.len() > MAX_BODY_BYTES => Err(LookupError::TooLong),
        Some(body) => Ok(Some(HttpResponse { status, body })),
        None => incomplete(ended),
    }
}

fn incomplete(ended: bool) -> Result<Option<HttpResponse>, LookupError> {
    if ended { Err(LookupError::Truncated) } else { Ok(None) }
}

/// Returns how the body ends. Refuses a length that is given twice, that is no number, or that is given together with chunks: the end
/// of such a body is ambiguous.
fn parse_body_length(status: u16, headers: &[httparse::Header<'_>]) -> Result<BodyLength, LookupError> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(BodyLength::Fixed(0));
    }
    let mut found = None;
    for header in headers {
        let length = if header.name.eq_ignore_ascii_case("content-length") {
            BodyLength::Fixed(parse_content_length(header.value).ok_or(LookupError::InvalidHttp)?)
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if chunked { BodyLength::Chunked } else { return Err(LookupError::InvalidHttp) }
        } else {
            continue;
        };
        if found.replace(length).is_some() {
            return Err(LookupError::InvalidHttp);
        }
    }
    Ok(found.unwrap_or(BodyLength::UntilClose))
}

fn parse_content_length(value: &[u8]) -> Option<usize> {
    let text = str::from_utf8(value.trim_ascii()).ok()?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Returns the joined chunks, or `None` until the last chunk and the end of the trailers have come.
fn decode_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, LookupError> {
    let mut body = Vec::new();
    loop {
        let Ok(head) = parse_chunk_size(rest) else { return Err(LookupError::InvalidHttp) };
        let Status::Complete((start, size)) = head else { return Ok(None) };
        rest = rest.get(start..).unwrap_or_default();
        if size == 0 {
            return Ok(has_trailers_end(rest).then_some(body));
        }
        let size =
            usize::try_from(size).ok().filter(|size| body.len().saturating_add(*size) <= MAX_BODY_BYTES).ok_or(LookupError::TooLong)?;
        let (Some(chunk), Some(end)) = (rest.get(..size), rest.get(size..size + 2)) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(LookupError::InvalidHttp);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(size + 2..).unwrap_or_default();
    }
}

fn has_trailers_end(rest: &[u8]) -> bool {
    rest.starts_with(b"\r\n") || rest.windows(4).any(|four| four == b"\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HttpResponse, MAX_BODY_BYTES, parse_response};
    use crate::helper::lookup_error::LookupError;

    fn complete(status: u16, body: &str) -> Result<Option<HttpResponse>, LookupError> {
        Ok(Some(HttpResponse { status, body: body.as_bytes().to_vec() }))
    }

    #[test]
    fn a_body_ends_by_its_length_by_its_last_chunk_or_with_the_connection() {
        assert_eq!(parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false), complete(200, "{}"));
        assert_eq!(
            parse_response(b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1;x=y\r\n{\r\n01\r\n}\r\n0\r\n\r\n", false),
            complete(200, "{}")
        );
        assert_eq!(
            parse_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n\r\n", false),
            complete(200, "{}")
        );
        assert_eq!(parse_response(b"HTTP/1.0 404 Not Found\r\n\r\n{}", true), complete(404, "{}"));
        assert_eq!(parse_response(b"HTTP/1.0 404 Not Found\r\n\r\n{}", false), Ok(None));
        assert_eq!(parse_response(b"HTTP/1.1 204 No Content\r\n\r\n", false), complete(204, ""));
    }

    #[test]
    fn an_ambiguous_length_is_refused() {
        for lines in [
            "Content-Length: 2\r\nContent-Length: 2",
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
            "Content-Length: +2",
            "Content-Length: 0x2",
            "Content-Length:",
            "Content-Length: 2, 2",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: gzip, chunked",
        ] {
            let received = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{{}}");
            assert_eq!(parse_response(received.as_bytes(), true), Err(LookupError::InvalidHttp), "{lines}");
        }
    }

    #[test]
    fn a_body_of_the_most_bytes_is_accepted_and_one_byte_more_is_not() {
        let fixed = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
        let chunked = |length: usize| {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
        };
        for received in [fixed(MAX_BODY_BYTES), chunked(MAX_BODY_BYTES)] {
            assert!(matches!(parse_response(received.as_bytes(), false), Ok(Some(whole)) if whole.body.len() == MAX_BODY_BYTES));
        }
        for received in [
            fixed(MAX_BODY_BYTES + 1),
            chunked(MAX_BODY_BYTES + 1),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nffffffffffffffff\r\n".to_owned(),
        ] {
            assert_eq!(parse_response(received.as_bytes(), false), Err(LookupError::TooLong));
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for received in ["SSH-2.0-x\r\n\r\n", "\0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx"] {
            assert_eq!(parse_response(received.as_bytes(), false), Err(LookupError::InvalidHttp), "{received:?}");
        }
    }

    proptest! {
        #[test]
        fn a_response_of_known_length_that_is_cut_anywhere_is_never_complete(at in 0_usize..70, chunks in any::<bool>()) {
            let whole = if chunks {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
            };
            prop_assume!(at < whole.len());
            prop_assert_eq!(parse_response(&whole.as_bytes()[..at], false), Ok(None));
            prop_assert_eq!(parse_response(&whole.as_bytes()[..at], true), Err(LookupError::Truncated));
        }

        #[test]
        fn no_bytes_panic_the_parser(received in proptest::collection::vec(any::<u8>(), 0..300), chunked in any::<bool>(), ended in any::<bool>()) {
            let mut all = if chunked { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec() } else { Vec::new() };
            all.extend(received);
            let _ = parse_response(&all, ended);
        }
    }
}
