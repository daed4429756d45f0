//! One record as feed, snapshot and store carry it: its exact bytes, its place, and as much of it as is understood.
//!
//! A newer primary may send kinds and fields that this program does not know. Their bytes are kept so that the digest
//! holds; what is understood of them answers keys and names; deciding access asks the primary.

use std::sync::Arc;

use crate::model::order::Place;
use crate::model::record::{NotARecord, Record};

/// One record with its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    place: Place,
    text: Arc<str>,
    record: Option<Arc<Record>>,
    foreign: bool,
}

impl Entry {
    /// A record of our own, in its canonical form.
    pub fn of(record: Record) -> Result<Self, serde_json::Error> {
        let text = record.canonical()?.into();
        Ok(Self { place: record.place(), text, record: Some(Arc::new(record)), foreign: false })
    }

    /// Reads a record of the feed, keeping its bytes. Unknown kinds and fields are kept and marked foreign; everything
    /// else is as strict as [`Record::parse`].
    pub fn read(text: &str) -> Result<Self, NotARecord> {
        let record = Record::parse(text)?;
        Ok(Self { place: record.place(), text: text.into(), record: Some(Arc::new(record)), foreign: false })
    }

    /// Where it stands, and its identity.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Its bytes: one JSON object on one line, without a line feed. What the digest sums.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is understood of it; `None` for a kind that is not known.
    #[must_use]
    pub const fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Whether it is of an unknown kind or has unknown fields.
    #[must_use]
    pub const fn foreign(&self) -> bool {
        self.foreign
    }
}
