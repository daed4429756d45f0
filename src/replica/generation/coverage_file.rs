//! A small file in a generation's folder: which kinds of records its feed publishes. There is none where the feed publishes all of them, as
//! in each generation of before there were others.

use std::path::Path;

use crate::model::coverage::Coverage;
use crate::store::error::StoreError;
use crate::store::files::atomic_file;

const FILE_NAME: &str = "covers";

/// Writes what the generation in `folder` covers. Blocks.
pub fn write(folder: &Path, coverage: &Coverage) -> Result<(), StoreError> {
    if coverage.is_whole() {
        return Ok(());
    }
    let text = serde_json::to_vec(coverage).map_err(|error| StoreError(error.to_string()))?;
    atomic_file::replace(&folder.join(FILE_NAME), &text).map_err(|error| StoreError(error.to_string()))
}

/// Reads what the generation in `folder` covers; nothing, if the file cannot be understood: then nothing is answered from it. Blocks.
#[must_use]
pub fn read(folder: &Path) -> Coverage {
    let path = folder.join(FILE_NAME);
    let read = atomic_file::read(&path).map_err(|error| error.to_string());
    let parsed = read.and_then(|text| text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| error.to_string()));
    match parsed {
        Ok(coverage) => coverage.unwrap_or_default(),
        Err(error) => {
            tracing::error!("{}: {error}; nothing is answered from this store: run `sidegate resync`", path.display());
            Coverage::nothing()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE_NAME, read, write};
    use crate::model::coverage::Coverage;

    #[test]
    fn what_a_generation_covers_is_read_as_it_was_written_and_a_damaged_file_covers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Coverage::default());
        write(folder.path(), &Coverage::default()).unwrap();
        assert!(!folder.path().join(FILE_NAME).exists(), "as in the stores of before");
        write(folder.path(), &Coverage::logins()).unwrap();
        assert_eq!(read(folder.path()), Coverage::logins());
        std::fs::write(folder.path().join(FILE_NAME), "[\"sett").unwrap();
        assert_eq!(read(folder.path()), Coverage::nothing());
    }
}
