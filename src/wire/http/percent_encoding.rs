//! Percent-encoding, strictly: two hex digits after each `%`, and UTF-8 once decoded. Libraries ignore such errors.

use std::borrow::Cow;

/// What a `+` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlusSign {
    /// A space, as in a query and a form.
    Space,
    /// Itself, as in a path.
    Literal,
}

/// Why text is not percent-encoded as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentDecodeError {
    /// A `%` without two hex digits after it.
    #[error("a `%` without two hex digits after it")]
    InvalidEscape,
    /// Not UTF-8 once decoded.
    #[error("not UTF-8 once decoded")]
    InvalidUtf8,
}

/// Decodes once.
pub fn percent_decode(text: &str, plus: PlusSign) -> Result<Cow<'_, str>, PercentDecodeError> {
    let plus_is_space = plus == PlusSign::Space;
    if !text.bytes().any(|byte| byte == b'%' || (plus_is_space && byte == b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => match (rest.next().and_then(hex_digit_value), rest.next().and_then(hex_digit_value)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(PercentDecodeError::InvalidEscape),
            },
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| PercentDecodeError::InvalidUtf8)
}

fn hex_digit_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{PercentDecodeError, PlusSign, percent_decode};

    #[test]
    fn what_is_encoded_is_decoded_once() {
        assert_eq!(percent_decode("a%20b%c3%AB+%252F", PlusSign::Literal).as_deref(), Ok("a bë+%2F"));
        assert_eq!(percent_decode("a+b%2B", PlusSign::Space).as_deref(), Ok("a b+"));
    }

    #[test]
    fn half_an_escape_and_half_a_letter_are_refused() {
        for wrong in ["%", "%4", "%4g", "%g4", "a%", "%+1", "%%41"] {
            assert_eq!(percent_decode(wrong, PlusSign::Literal), Err(PercentDecodeError::InvalidEscape), "{wrong}");
        }
        for wrong in ["%ff", "%C0%AE", "%ed%a0%80"] {
            assert_eq!(percent_decode(wrong, PlusSign::Literal), Err(PercentDecodeError::InvalidUtf8), "{wrong}");
        }
    }
}
