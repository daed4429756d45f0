//! Looking up one key: the question as it is spelled, and what counts as an answer to it.

use std::path::Path;
use std::time::Duration;

use crate::helper::arguments::PROGRAM_NAME;
use crate::helper::exchange::exchange;
use crate::helper::lookup_error::LookupError;
use crate::helper::response::HttpResponse;
use crate::model::key::decode_blob;
use crate::wire::authorized_keys::{AuthorizedKey, is_key_not_found, parse_message};

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum KeyVerdict {
    /// It may log in, under this id.
    Hit(AuthorizedKey),
    /// It is nobody's.
    Miss,
}

/// Asks the daemon at `socket` about `key`: the Base64 of a blob, padded or not, or a whole public line.
pub fn look_up_key(socket: &Path, key: &str, within: Duration) -> Result<KeyVerdict, LookupError> {
    let base64 = base64_part(key);
    let Some(blob) = decode_blob(base64) else {
        // Not the Base64 of a blob: it is no key, so nobody has it.
        return Ok(KeyVerdict::Miss);
    };
    let answer = exchange(socket, format_request(base64).as_bytes(), within)?;
    interpret_response(&answer, &blob)
}

fn interpret_response(answer: &HttpResponse, blob: &[u8]) -> Result<KeyVerdict, LookupError> {
    match answer.status {
        200 => AuthorizedKey::parse(&answer.body, blob).map(KeyVerdict::Hit).map_err(LookupError::InvalidHit),
        404 if is_key_not_found(&answer.body) => Ok(KeyVerdict::Miss),
        status => Err(LookupError::from_status(status, parse_message(&answer.body))),
    }
}

/// The Base64 alone, of a whole line too.
fn base64_part(key: &str) -> &str {
    let mut words = key.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    words.next().unwrap_or(first)
}

/// The request, for text that is Base64: three of its letters mean something else in a query.
fn format_request(base64: &str) -> String {
    let encoded = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!(
        "GET /api/v4/internal/authorized_keys?key={encoded} HTTP/1.1\r\nHost: sidegate\r\nUser-Agent: {PROGRAM_NAME}/{}\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{KeyVerdict, base64_part, format_request, look_up_key};

    #[test]
    fn a_key_is_asked_for_by_its_encoded_base64() {
        let request = format_request("AA+/==");
        assert!(request.starts_with("GET /api/v4/internal/authorized_keys?key=AA%2B%2F%3D%3D HTTP/1.1\r\nHost: sidegate\r\n"), "{request}");
        assert!(request.ends_with("\r\nConnection: close\r\n\r\n"), "{request}");
    }

    #[test]
    fn a_whole_line_is_taken_for_its_blob() {
        assert_eq!(base64_part("AAAA"), "AAAA");
        assert_eq!(base64_part(" ssh-ed25519  AAAA zoë@laptop"), "AAAA");
    }

    #[test]
    fn what_is_no_key_is_nobody_s_without_asking() {
        for text in ["not base64!", "A", "&key=AAAA", "AAAA\u{0}"] {
            let verdict = look_up_key(Path::new("/nonexistent/socket"), text, Duration::from_secs(5));
            assert_eq!(verdict, Ok(KeyVerdict::Miss), "{text:?}");
        }
    }
}
