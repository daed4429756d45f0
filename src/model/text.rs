//! Text that may be printed anywhere: UTF-8 without a control byte.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Text without a byte below 0x20 and without 0x7f. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(Box<str>);

/// The text has a control byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("text with the control byte 0x{byte:02x} at offset {offset}")]
pub struct ControlByte {
    /// The control byte.
    pub byte: u8,
    /// Its offset in bytes from the start.
    pub offset: usize,
}

impl Text {
    /// Returns the text as a string slice.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refuses text with a byte below 0x20, or 0x7f.
pub fn check_control_bytes(text: &str) -> Result<(), ControlByte> {
    match text.bytes().position(|byte| byte < 0x20 || byte == 0x7f) {
        Some(offset) => Err(ControlByte { byte: text.as_bytes()[offset], offset }),
        None => Ok(()),
    }
}

impl TryFrom<String> for Text {
    type Error = ControlByte;

    fn try_from(text: String) -> Result<Self, ControlByte> {
        check_control_bytes(&text)?;
        Ok(Self(text.into_boxed_str()))
    }
}

impl TryFrom<&str> for Text {
    type Error = ControlByte;

    fn try_from(text: &str) -> Result<Self, ControlByte> {
        text.to_owned().try_into()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.into_string()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{ControlByte, Text};

    #[test]
    fn text_refuses_each_control_byte_and_says_where() {
        assert_eq!(Text::try_from("a\nb"), Err(ControlByte { byte: b'\n', offset: 1 }));
        assert_eq!(Text::try_from("\u{7f}"), Err(ControlByte { byte: 0x7f, offset: 0 }));
        assert_eq!(Text::try_from("Zoë, “x”").as_deref(), Ok("Zoë, “x”"));
    }
}
