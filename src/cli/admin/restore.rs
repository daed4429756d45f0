//! `sidegate admin restore`: a primary's store from a backup, while the primary is stopped.

use std::fs::File;
use std::path::Path;

use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{print_line, print_warning};
use crate::model::clock;
use crate::primary::backup::restore::{Restored, restore};
use crate::primary::backup::revoked_since::RevokedSince;
use crate::primary::directory::revocations::Revocation;
use crate::store::files::folder::FileError;
use crate::store::generations::generation::StoreOptions;

/// How the store is opened while it is built: nothing is answered from it.
const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 64 << 20, record_cache_entries: 1_024 };

/// Restores `backup` as the store in `store`. The primary must not run.
pub fn run(backup: &Path, store: &Path) -> CommandResult {
    let file = File::open(backup).map_err(|error| CommandError::with_context(&backup.display().to_string(), error))?;
    let restored = restore(&file, store, OPTIONS, clock::wall_time());
    let restored = restored
        .map_err(|error| CommandError(format!("nothing was restored from {} to {}: {error}", backup.display(), store.display())))?;
    let Restored { header, counts, replaced, unfinished, since } = restored;
    if unfinished.is_none() {
        print_line(&format!(
            "restored {} records and {} private entries, as they were at {} (seq {}), to {}",
            counts.records,
            counts.private_entries,
            header.made_at,
            header.seq,
            store.display()
        ));
        if let Some(replaced) = &replaced {
            print_line(&format!("the store before is in {}; remove it once you are sure", replaced.display()));
        }
    }
    print_revoked_since(&since, &header.made_at.to_string());
    if let Some(error) = unfinished {
        return Err(under_way(&error, replaced.as_deref()));
    }
    print_line("start the primary: it has a new epoch, and every host takes a whole snapshot");
    Ok(Completion::Complete)
}

/// Returns what is said where the switch has begun and cannot be finished now.
fn under_way(error: &FileError, replaced: Option<&Path>) -> CommandError {
    let before = replaced.map(|folder| format!("; the store before is in {}", folder.display())).unwrap_or_default();
    CommandError(format!(
        "the restore is under way and not finished: {error}. Once that is mended, the next start of the primary, or this command again, finishes \
         it{before}"
    ))
}

/// Says what was revoked after the backup, or that nobody here can say all of it.
fn print_revoked_since(since: &RevokedSince, made_at: &str) {
    match since {
        RevokedSince::Known(revoked) => {
            print_carried_over(revoked);
            if revoked.is_empty() {
                print_line("the store before has nothing as revoked that the backup has not");
            }
        }
        RevokedSince::Unknown { carried_over, reason } => {
            print_carried_over(carried_over);
            if let Some(reason) = reason {
                print_warning(&format!("the store before does not say all that was revoked: {reason}"));
            }
            let other = if carried_over.is_empty() { "" } else { " and is not named here" };
            print_warning(&format!(
                "what was revoked after {made_at}{other} is not revoked in this store. Before you start the primary, read `the operator revoked` \
                 and `the operator blocked` in its log since then, and have the commands ready: hosts take the restored directory as soon as \
                 it runs"
            ));
        }
    }
}

fn print_carried_over(revoked: &[Revocation]) {
    for revocation in revoked {
        print_line(&format!("revoked since the backup, and revoked in the restored store too: {revocation}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::under_way;
    use crate::store::files::folder::FileError;

    #[test]
    fn what_is_under_way_is_not_called_undone() {
        let error = FileError::invalid(Path::new("/store/restoring"), "it cannot be moved");
        let said = under_way(&error, Some(Path::new("/store/replaced-x"))).0;
        assert!(said.starts_with("the restore is under way") && !said.contains("nothing was restored"), "{said}");
        for part in ["/store/restoring: it cannot be moved", "the next start of the primary", "the store before is in /store/replaced-x"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
