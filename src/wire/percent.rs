//! Percent-encoding, strictly: two hex digits after each `%`, and UTF-8 once decoded. Libraries pass over what is wrong.

use std::borrow::Cow;

/// What a `+` means where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// A blank, as in a query and a form.
    Blank,
    /// Itself, as in a path.
    Itself,
}

/// Why text is not percent-encoded as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEncoded {
    /// A `%` without two hex digits after it.
    #[error("a `%` without two hex digits after it")]
    Escape,
    /// Not UTF-8 once decoded.
    #[error("not UTF-8 once decoded")]
    Utf8,
}

/// Decodes once.
pub fn decode(text: &str, plus: Plus) -> Result<Cow<'_, str>, NotEncoded> {
    let blanks = plus == Plus::Blank;
    if !text.bytes().any(|byte| byte == b'%' || (blanks && byte == b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => match (rest.next().and_then(hex), rest.next().and_then(hex)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(NotEncoded::Escape),
            },
            b'+' if blanks => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| NotEncoded::Utf8)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{NotEncoded, Plus, decode};

    #[test]
    fn what_is_encoded_is_decoded_once() {
        assert_eq!(decode("a%20b%c3%AB+%252F", Plus::Itself).as_deref(), Ok("a bë+%2F"));
        assert_eq!(decode("a+b%2B", Plus::Blank).as_deref(), Ok("a b+"));
    }

    #[test]
    fn half_an_escape_and_half_a_letter_are_refused() {
        for wrong in ["%", "%4", "%4g", "%g4", "a%", "%+1", "%%41"] {
            assert_eq!(decode(wrong, Plus::Itself), Err(NotEncoded::Escape), "{wrong}");
        }
        for wrong in ["%ff", "%C0%AE", "%ed%a0%80"] {
            assert_eq!(decode(wrong, Plus::Itself), Err(NotEncoded::Utf8), "{wrong}");
        }
    }
}
