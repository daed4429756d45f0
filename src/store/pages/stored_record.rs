//! A record as a page and the journal hold it: its canonical text, in a page behind one byte that says whether all of it is understood.

use crate::model::entry::Entry;
use crate::store::error::StoreError;

/// A record in a page: one byte that says whether it is foreign, and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    /// The record's canonical text, one JSON object.
    pub text: &'a str,
    /// Whether it has a kind or a field that this program does not know.
    pub foreign: bool,
}

impl<'a> StoredRecord<'a> {
    /// Reads a value of a page.
    pub fn decode(value: &'a [u8]) -> Result<Self, StoreError> {
        match value.split_first() {
            Some((&mark @ (0 | 1), text)) => {
                let text = std::str::from_utf8(text).map_err(|error| StoreError(error.to_string()))?;
                Ok(Self { text, foreign: mark == 1 })
            }
            _ => Err(StoreError("a record without its mark".to_owned())),
        }
    }

    /// Returns the value of a page.
    pub fn encode(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.text.len() + 1);
        value.push(u8::from(self.foreign));
        value.extend_from_slice(self.text.as_bytes());
        value
    }

    /// Returns the value of `kind`, the first field.
    pub fn kind(self) -> &'a str {
        let rest = self.text.strip_prefix("{\"kind\":\"");
        rest.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
    }
}

/// Parses the text of a stored record. A failure is damage: only records that parse are ever written.
pub fn parse_entry(text: &str) -> Result<Entry, StoreError> {
    Entry::parse(text).map_err(|error| StoreError(format!("a record that cannot be read any more: {error}")))
}
