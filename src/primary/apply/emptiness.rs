//! A file that is the whole directory and is empty by accident: cut short, or written by an export that failed. It would log everybody out,
//! and in a small directory no share of a loss says so.

use crate::api::error::ApiError;
use crate::primary::apply::plan::ApplySummary;
use crate::primary::apply::staged_file::StagedFile;

/// What a file has none of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emptiness {
    has_records: bool,
    has_users: bool,
    has_keys: bool,
}

impl Emptiness {
    /// Returns what the file has none of as it was written: before revocations are held against it.
    #[must_use]
    pub fn of(staged: &StagedFile) -> Self {
        Self {
            has_records: !staged.records.is_empty() || !staged.unpublished.is_empty(),
            has_users: staged.has_users,
            has_keys: !staged.key_ids.is_empty(),
        }
    }

    /// Returns why the file is refused as the whole directory, if the directory has what the file has none of; says how to confirm it.
    #[must_use]
    pub fn refusal(self, summary: &ApplySummary) -> Option<ApiError> {
        let existing = |kind: &str| summary.kinds.get(kind).map_or(0, |counts| counts.existing);
        let (users, keys) = (existing("user"), existing("key"));
        let what = if !self.has_records {
            "This file has no records, and with --prune it would remove the whole directory.".to_owned()
        } else if !self.has_users && users > 0 {
            format!("This file has no users, and with --prune it would remove all {users} of the directory.")
        } else if !self.has_keys && keys > 0 {
            format!("This file has no keys, and with --prune it would remove all {keys} of the directory.")
        } else {
            return None;
        };
        Some(ApiError::conflict(format!(
            "{what} Nothing was applied. If the file was cut short, write it again; to add its records to the directory leave out --prune; \
             if it is meant, say --accept-loss."
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::Emptiness;
    use crate::primary::apply::plan::{ApplySummary, KindCounts};

    fn refusal(has: [bool; 3], users: u64, keys: u64) -> Option<String> {
        let counts = |existing| KindCounts { existing, ..KindCounts::default() };
        let summary = ApplySummary { kinds: [("user", counts(users)), ("key", counts(keys))].into() };
        let [has_records, has_users, has_keys] = has;
        Emptiness { has_records, has_users, has_keys }.refusal(&summary).map(|error| error.message)
    }

    #[test]
    fn a_whole_directory_without_records_users_or_keys_is_refused_with_the_remedy() {
        for (has, users, keys, begins) in [
            ([false, false, false], 0, 0, "This file has no records"),
            ([true, false, true], 1, 1, "This file has no users, and with --prune it would remove all 1"),
            ([true, true, false], 1, 2, "This file has no keys, and with --prune it would remove all 2"),
        ] {
            let said = refusal(has, users, keys).unwrap();
            assert!(said.starts_with(begins) && said.ends_with("say --accept-loss."), "{said}");
        }
        for (has, users, keys) in [([true, false, false], 0, 0), ([true, true, false], 5, 0), ([true, true, true], 5, 5)] {
            assert_eq!(refusal(has, users, keys), None);
        }
    }
}
