//! How much memory the parameters of a body take at most while and after it is decoded, found by counting characters, without decoding it.
//!
//! An object in JSON takes seventy times its length: a body of 16 MiB would take more than a gigabyte. So memory is reserved before a body
//! is decoded, and a body that would take too much never is. A text is counted as a text, so the changes of a large push weigh what they
//! are. The figures are those of `serde_json` with names in their order; `tests/decoded_size.rs` compares them with what is allocated.

use serde_json::Value;

/// The forms of a body that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON value.
    Json,
    /// Pairs of name and value, URL-encoded.
    Form,
    /// Parts, which are not decoded.
    Multipart,
    /// Any other.
    Unknown,
}

impl BodyFormat {
    /// Returns the format that a `Content-Type` says; a form without one.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Self {
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        match () {
            () if is("application/json") => Self::Json,
            () if media_type.is_empty() || is("application/x-www-form-urlencoded") => Self::Form,
            () if is("multipart/form-data") => Self::Multipart,
            () => Self::Unknown,
        }
    }
}

/// What one allocation takes beside the bytes that were asked for.
const ALLOCATION: usize = 32;
/// A list is given places for four values by its first one.
const LIST: usize = 4 * size_of::<Value>() + ALLOCATION;
/// A list that grows is twice its items, beside its former self.
const LIST_ITEM: usize = 3 * size_of::<Value>();
/// A member of an object: its hash, its name, its value.
const MEMBER_PLACE: usize = size_of::<u64>() + size_of::<String>() + size_of::<Value>();
/// An object is given places for up to four members by its first one, and an index of them.
const OBJECT: usize = 4 * MEMBER_PLACE + 4 * INDEX_PLACE + 2 * ALLOCATION;
/// A member's place in the index.
const INDEX_PLACE: usize = 2 * size_of::<usize>();
/// An object that grows is twice its members, beside its former self; so is its index.
const MEMBER: usize = 3 * MEMBER_PLACE + 4 * INDEX_PLACE;

/// A body of at most so many bytes is not counted but estimated.
pub const MAX_ESTIMATED_BYTES: usize = 1 << 10;
/// The most that one byte of a body takes decoded, on average over the body.
const MAX_BYTES_PER_BYTE: usize = 192;

/// Returns an upper bound on the memory that decoding a body takes besides its own bytes, in bytes. A small body is estimated, since
/// counting it would cost more than decoding it.
#[must_use]
pub fn max_decoded_bytes(format: BodyFormat, body: &[u8]) -> usize {
    match format {
        BodyFormat::Json | BodyFormat::Form if body.len() <= MAX_ESTIMATED_BYTES => body.len() * MAX_BYTES_PER_BYTE,
        BodyFormat::Json => count_json(body),
        BodyFormat::Form => count_form(body),
        BodyFormat::Multipart | BodyFormat::Unknown => 0,
    }
}

fn count_json(body: &[u8]) -> usize {
    let (mut bytes, mut longest_escaped) = (0_usize, 0);
    let mut rest = body.iter();
    while let Some(byte) = rest.next() {
        bytes = bytes.saturating_add(match byte {
            b'{' => OBJECT,
            b'[' => LIST,
            b':' => MEMBER,
            b',' => LIST_ITEM,
            b'"' => {
                let text = skip_text(&mut rest);
                longest_escaped = longest_escaped.max(if text.escaped { text.bytes } else { 0 });
                text.bytes + ALLOCATION
            }
            _ => 0,
        });
    }
    // Escapes are resolved in a buffer that grows to twice the longest text.
    bytes.saturating_add(longest_escaped.saturating_mul(2)).saturating_add(ALLOCATION)
}

/// A text as it stands in JSON.
struct JsonText {
    bytes: usize,
    escaped: bool,
}

/// Passes over a text up to its closing quote, or to the end of the body.
fn skip_text(rest: &mut std::slice::Iter<'_, u8>) -> JsonText {
    let (before, mut escaped) = (rest.len(), false);
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => {
                escaped = true;
                rest.next();
            }
            _ => {}
        }
    }
    JsonText { bytes: before - rest.len(), escaped }
}

/// Counts the names in brackets as objects, however they are encoded, and each text twice: as it was decoded, and as it is kept.
fn count_form(body: &[u8]) -> usize {
    let mut bytes = body.len().saturating_mul(2).saturating_add(OBJECT + MEMBER);
    for (index, byte) in body.iter().enumerate() {
        bytes = bytes.saturating_add(match byte {
            b'&' => MEMBER + LIST_ITEM + 3 * ALLOCATION,
            b'[' => OBJECT + MEMBER + ALLOCATION,
            b'%' if matches!(body.get(index + 1..index + 3), Some([b'5', b'b' | b'B'])) => OBJECT + MEMBER + ALLOCATION,
            _ => 0,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{BodyFormat, MAX_ESTIMATED_BYTES, max_decoded_bytes};

    fn json(text: &str) -> usize {
        max_decoded_bytes(BodyFormat::Json, text.as_bytes())
    }

    #[test]
    fn the_changes_of_a_push_weigh_what_they_are() {
        let lines = |ending: &str| format!("0000 1111 refs/heads/[x],{{y}}:z{ending}").repeat(100_000);
        let (plain, escaped) = (lines(""), lines("\\n"));
        let object = |changes: &str| format!("{{\"key_id\":1,\"changes\":\"{changes}\"}}");
        assert!((plain.len()..plain.len() + 4096).contains(&json(&object(&plain))));
        assert!((3 * escaped.len()..3 * escaped.len() + 4096).contains(&json(&object(&escaped))));
        let form = format!("key_id=1&changes={}", lines("%0A").replace(['[', '&'], ""));
        assert!(max_decoded_bytes(BodyFormat::Form, form.as_bytes()) < 2 * form.len() + 4096);
    }

    #[test]
    fn a_text_ends_at_its_quote_and_nowhere_else() {
        let padding = "x".repeat(MAX_ESTIMATED_BYTES);
        let weight = |end: &str| json(&format!("{{\"a\":\"{padding}{end}"));
        assert!(weight(r#"\n",[,{"#) > weight(r#"n\",[,{"#), "an escaped quote does not end it");
        assert!(weight(r#"\\",[,{"#) > weight(r#"\\\",[,{"#), "an escaped backslash escapes no quote");
    }

    #[test]
    fn objects_lists_and_names_weigh_many_times_their_length() {
        for shape in ["{\"\":1},", "[1],", "1,", "\"\\u0000\","] {
            let body = format!("{{\"a\":[{}0]}}", shape.repeat(10_000));
            assert!(json(&body) > 10 * body.len(), "{shape}");
        }
        for shape in ["a[b]=&", "a%5Bb%5d=&", "a&"] {
            let body = shape.repeat(1_000);
            assert!(max_decoded_bytes(BodyFormat::Form, body.as_bytes()) > 50 * body.len(), "{shape}");
        }
    }

    #[test]
    fn the_format_is_what_the_content_type_says() {
        for (content_type, format) in [
            (None, BodyFormat::Form),
            (Some(""), BodyFormat::Form),
            (Some("application/x-www-form-urlencoded"), BodyFormat::Form),
            (Some("Application/JSON; charset=utf-8"), BodyFormat::Json),
            (Some("multipart/form-data; boundary=x"), BodyFormat::Multipart),
            (Some("application/json-seq"), BodyFormat::Unknown),
        ] {
            assert_eq!(BodyFormat::of(content_type), format, "{content_type:?}");
        }
    }
}
