//! Looking up one key: the question as it is spelled, and what counts as an answer to it.

use std::path::Path;
use std::time::Duration;

use crate::client::answer::Answer;
use crate::client::arguments::NAME;
use crate::client::exchange::exchange;
use crate::client::unanswered::Unanswered;
use crate::model::key::decode_blob;
use crate::wire::authorized_keys::{Hit, is_miss, message};

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may log in, under this id.
    Hit(Hit),
    /// It is nobody's.
    Miss,
}

/// Asks the daemon at `socket` about `key`: the Base64 of a blob, padded or not, or a whole public line.
pub fn look_up(socket: &Path, key: &str, within: Duration) -> Result<Verdict, Unanswered> {
    let base64 = bare(key);
    let Some(blob) = decode_blob(base64) else {
        // Not the Base64 of a blob: it is no key, so nobody has it.
        return Ok(Verdict::Miss);
    };
    let answer = exchange(socket, question(base64).as_bytes(), within)?;
    judge(&answer, &blob)
}

fn judge(answer: &Answer, blob: &[u8]) -> Result<Verdict, Unanswered> {
    match answer.status {
        200 => Hit::read(&answer.body, blob).map(Verdict::Hit).map_err(Unanswered::Wrong),
        404 if is_miss(&answer.body) => Ok(Verdict::Miss),
        status => Err(Unanswered::status(status, message(&answer.body))),
    }
}

/// The Base64 alone, of a whole line too.
fn bare(key: &str) -> &str {
    let mut words = key.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    words.next().unwrap_or(first)
}

/// The request, for text that is Base64: three of its letters mean something else in a query.
fn question(base64: &str) -> String {
    let encoded = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!(
        "GET /api/v4/internal/authorized_keys?key={encoded} HTTP/1.1\r\nHost: sidegate\r\nUser-Agent: {NAME}/{}\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Verdict, bare, look_up, question};

    #[test]
    fn a_key_is_asked_for_by_its_encoded_base64() {
        let request = question("AA+/==");
        assert!(request.starts_with("GET /api/v4/internal/authorized_keys?key=AA%2B%2F%3D%3D HTTP/1.1\r\nHost: sidegate\r\n"), "{request}");
        assert!(request.ends_with("\r\nConnection: close\r\n\r\n"), "{request}");
    }

    #[test]
    fn a_whole_line_is_taken_for_its_blob() {
        assert_eq!(bare("AAAA"), "AAAA");
        assert_eq!(bare(" ssh-ed25519  AAAA zoë@laptop"), "AAAA");
    }

    #[test]
    fn what_is_no_key_is_nobody_s_without_asking() {
        for text in ["not base64!", "A", "&key=AAAA", "AAAA\u{0}"] {
            let verdict = look_up(Path::new("/nonexistent/socket"), text, Duration::from_secs(5));
            assert_eq!(verdict, Ok(Verdict::Miss), "{text:?}");
        }
    }
}
