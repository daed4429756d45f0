//! The records of a generation that have a field which breaks its grammar. They are kept, so that the digest holds, and answer nothing.
//!
//! Files that bring one are refused; stores of earlier versions may have some, and a primary of an earlier version may send some. They are
//! counted when a whole generation is read, and with each change from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::model::entry::Entry;
use crate::model::path_grammar::check_segment;
use crate::model::record::Record;
use crate::model::record_grammar::{self, GrammarError};
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// How many records are named.
const MAX_NAMED: usize = 10;

/// How many records break their grammar, and some of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvalidRecords {
    count: u64,
    named: BTreeMap<SortKey, String>,
}

impl InvalidRecords {
    /// Returns how many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the alarm's text, which names the first of them; `None` if there are none.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        let named: Vec<&str> = self.named.values().map(String::as_str).collect();
        let named = named.join(", ");
        (self.count > 0).then(|| {
            format!("{} records break the grammar of a field and answer nothing: {named}; apply a file that corrects them", self.count)
        })
    }

    /// Counts a record that is added, if it breaks its grammar.
    pub fn add(&mut self, entry: &Entry) {
        let Some(Err(error)) = entry.record().map(|record| record_grammar::check(record)) else { return };
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.insert(entry.sort_key().clone(), describe(entry, &error));
        }
    }

    /// Counts a record that is removed, if it breaks its grammar.
    pub fn remove(&mut self, entry: &Entry) {
        if entry.record().is_some_and(|record| record_grammar::check(record).is_err()) {
            self.count = self.count.saturating_sub(1);
            self.named.remove(entry.sort_key());
        }
    }

    /// Counts a stored record, if it breaks its grammar. Keys and users, which are many, are parsed only if they may.
    pub fn add_stored(&mut self, record: StoredRecord<'_>) -> Result<(), StoreError> {
        if may_be_invalid(record) {
            self.add(&parse_entry(record.text)?);
        }
        Ok(())
    }
}

fn describe(entry: &Entry, error: &GrammarError) -> String {
    let identity = match entry.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => Cow::from(format!("key {} ({})", key.id, key.key.fingerprint())),
        _ => Cow::from(RecordIdentity::from_entry(entry).to_string()),
    };
    format!("{identity}: {error}")
}

/// Returns whether a stored record may break its grammar, by its canonical text alone.
fn may_be_invalid(record: StoredRecord<'_>) -> bool {
    match record.kind() {
        "member" | "share" | "deploy_grant" | "agent" => false,
        "key" => !record.text.contains(r#","user_id":"#) && !record.text.contains(r#","deploy":true"#),
        "user" => {
            let name = record.text.split_once(r#","username":""#).and_then(|(_, rest)| rest.split_once('"'));
            name.is_none_or(|(name, _)| check_segment(name).is_err())
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::InvalidRecords;
    use crate::model::entry::Entry;
    use crate::model::record_strategy;
    use crate::store::pages::stored_record::StoredRecord;

    proptest! {
        #[test]
        fn a_stored_record_counts_as_a_parsed_one_does(record in record_strategy::record()) {
            let entry = Entry::from_record(record).unwrap();
            let (mut parsed, mut stored) = (InvalidRecords::default(), InvalidRecords::default());
            parsed.add(&entry);
            stored.add_stored(StoredRecord { text: entry.text(), foreign: false }).unwrap();
            prop_assert_eq!(&parsed, &stored);
            parsed.remove(&entry);
            prop_assert_eq!(parsed, InvalidRecords::default());
        }
    }
}
