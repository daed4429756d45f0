//! Looks up one key: the request, and which responses are a verdict.

use std::path::Path;
use std::time::Duration;

use crate::helper::arguments::PROGRAM_NAME;
use crate::helper::exchange::exchange;
use crate::helper::lookup_error::LookupError;
use crate::helper::response::HttpResponse;
use crate::model::key::decode_blob;
use crate::wire::authorized_keys::{AuthorizedKey, is_key_not_found};
use crate::wire::http::message::parse_message;

/// The verdict about a key.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum KeyVerdict {
    /// The key may log in, under this id.
    Hit(AuthorizedKey),
    /// The key belongs to nobody.
    Miss,
}

/// Asks the daemon at `socket` about `key`: the Base64 of a blob, padded or not, or a whole public key line.
pub fn look_up_key(socket: &Path, key: &str, timeout: Duration) -> Result<KeyVerdict, LookupError> {
    let base64 = base64_part(key);
    let Some(blob) = decode_blob(base64) else {
        // Not the Base64 of a blob, so not a key.
        return Ok(KeyVerdict::Miss);
    };
    let response = exchange(socket, format_request(base64).as_bytes(), timeout)?;
    interpret_response(&response, &blob)
}

fn interpret_response(response: &HttpResponse, blob: &[u8]) -> Result<KeyVerdict, LookupError> {
    match response.status {
        200 => AuthorizedKey::parse(&response.body, blob).map(KeyVerdict::Hit).map_err(LookupError::InvalidHit),
        404 if is_key_not_found(&response.body) => Ok(KeyVerdict::Miss),
        status => Err(LookupError::from_status(status, parse_message(&response.body))),
    }
}

/// Returns the Base64 of a key, also out of a whole public key line.
pub fn base64_part(key: &str) -> &str {
    let mut words = key.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    words.next().unwrap_or(first)
}

/// Returns the request. Three letters of Base64 have another meaning in a query, so they are encoded.
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
    fn the_request_has_the_key_as_encoded_base64() {
        let request = format_request("AA+/==");
        assert!(request.starts_with("GET /api/v4/internal/authorized_keys?key=AA%2B%2F%3D%3D HTTP/1.1\r\nHost: sidegate\r\n"), "{request}");
        assert!(request.ends_with("\r\nConnection: close\r\n\r\n"), "{request}");
    }

    #[test]
    fn a_whole_line_is_reduced_to_its_base64() {
        assert_eq!(base64_part("AAAA"), "AAAA");
        assert_eq!(base64_part(" ssh-ed25519  AAAA zoë@laptop"), "AAAA");
    }

    #[test]
    fn an_invalid_key_is_a_miss_without_a_request() {
        for text in ["not base64!", "A", "&key=AAAA", "AAAA\u{0}"] {
            let verdict = look_up_key(Path::new("/nonexistent/socket"), text, Duration::from_secs(5));
            assert_eq!(verdict, Ok(KeyVerdict::Miss), "{text:?}");
        }
    }
}
