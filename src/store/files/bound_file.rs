//! The largest bound that the primary has confirmed to this store: for how many seconds it may be answered from without the primary.
//!
//! Two lines, as the age file: the values in JSON, and the SHA-256 of that line, so that a flipped digit makes no bound larger.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;
use crate::store::files::atomic_file;
use crate::store::files::folder::FileError;

/// What the primary has confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedBound {
    /// The random id of the store that it was confirmed to: the primary knows another store as another host.
    pub instance: String,
    /// The bound, in seconds.
    pub max_stale: u64,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadedBound {
    /// This was confirmed.
    Saved(SavedBound),
    /// There is no file.
    Missing,
    /// The file cannot be read, or is damaged.
    Damaged,
}

impl SavedBound {
    /// Reads the file.
    #[must_use]
    pub fn load(path: &Path) -> LoadedBound {
        let text = match atomic_file::read(path) {
            Ok(Some(text)) => text,
            Ok(None) => return LoadedBound::Missing,
            Err(_) => return LoadedBound::Damaged,
        };
        let lines = text.strip_suffix('\n').and_then(|text| text.split_once('\n'));
        let whole = lines.filter(|(line, digest)| digest.parse() == Ok(Digest::of(line.as_bytes())));
        whole.and_then(|(line, _)| serde_json::from_str(line).ok()).map_or(LoadedBound::Damaged, LoadedBound::Saved)
    }

    /// Replaces the file; it is on disk when this returns.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        let line = serde_json::to_string(self).map_err(|error| FileError::io(path)(error.into()))?;
        atomic_file::replace(path, format!("{line}\n{}\n", Digest::of(line.as_bytes())).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{LoadedBound, SavedBound};

    #[test]
    fn what_was_saved_is_loaded_and_a_file_that_is_damaged_anywhere_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confirmed-bound");
        assert_eq!(SavedBound::load(&path), LoadedBound::Missing);
        let saved = SavedBound { instance: "i".to_owned(), max_stale: 86_400 };
        saved.save(&path).unwrap();
        assert_eq!(SavedBound::load(&path), LoadedBound::Saved(saved));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for damaged in [&flipped[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                assert_eq!(SavedBound::load(&path), LoadedBound::Damaged, "byte {at}");
            }
        }
    }
}
