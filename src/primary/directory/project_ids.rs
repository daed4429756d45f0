//! The ids of projects that pushes create: no id is given twice, whatever was removed, restored or imported meanwhile.
//!
//! The private store has the highest id that this store ever held or gave (`seen/project`), written before the commit that it belongs to.
//! A backup does not know the ids that were given after it, so a new epoch, which follows a restore, leaves a gap: a million ids and a
//! random number more, since one backup may be restored twice.

use http::StatusCode;

use crate::api::error::ApiError;
use crate::model::id::Id;
use crate::primary::credentials::random::random_bytes;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// The key of the highest id that a project ever had here.
const HIGHEST_SEEN_KEY: &[u8] = b"seen/project";
/// The key under which earlier versions kept the id of the last project that a push created.
const LAST_CREATED_KEY: &[u8] = b"last/project";
/// How many ids at least a new epoch leaves out.
pub const EPOCH_GAP: u64 = 1_000_000;

/// A write to the private store: a key and its new value.
type Write = (Vec<u8>, Option<Vec<u8>>);

/// Returns an id that no project ever had here, and the write that remembers that it was given.
pub fn prepare_next(directory: &Generation, private_store: &PrivateStore) -> Result<(Id, Write), ApiError> {
    let highest = highest_seen(directory, private_store)?;
    let none_left = |_| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("Could not create project: no id is left after {highest}"));
    let id = Id::try_from(highest.saturating_add(1)).map_err(none_left)?;
    Ok((id, highest_seen_write(id.number())))
}

/// Remembers the ids of the directory, which a commit may remove, and the highest of a file that is about to be applied. Blocks.
pub fn remember(directory: &Generation, private_store: &PrivateStore, highest_of_file: Option<Id>) -> Result<(), ApiError> {
    let highest = highest_seen(directory, private_store)?.max(highest_of_file.map_or(0, Id::number));
    if highest > read(private_store, HIGHEST_SEEN_KEY)? {
        write(private_store, highest)?;
    }
    Ok(())
}

/// Leaves the gap of a new epoch; returns the id after which projects are numbered from now on. Blocks.
pub fn leave_gap(directory: &Generation, private_store: &PrivateStore) -> Result<u64, ApiError> {
    let random = u64::from(u32::from_be_bytes(random_bytes()?) >> 2);
    let highest = highest_seen(directory, private_store)?;
    // Whoever numbers projects up to the end of the range gets none by a push; the gap must not take the rest of it.
    let after = match highest.saturating_add(EPOCH_GAP).saturating_add(random) {
        after if Id::try_from(after).is_ok() => after,
        _ => highest,
    };
    write(private_store, after)?;
    Ok(after)
}

fn highest_seen(directory: &Generation, private_store: &PrivateStore) -> Result<u64, ApiError> {
    let remembered = read(private_store, HIGHEST_SEEN_KEY)?.max(read(private_store, LAST_CREATED_KEY)?);
    Ok(remembered.max(directory.highest_project_id()?.map_or(0, Id::number)))
}

fn read(private_store: &PrivateStore, key: &[u8]) -> Result<u64, ApiError> {
    let bytes = private_store.read(key)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    Ok(bytes.map_or(0, u64::from_be_bytes))
}

fn write(private_store: &PrivateStore, id: u64) -> Result<(), ApiError> {
    Ok(private_store.write(PrivateWrites { entries: vec![highest_seen_write(id)] })?)
}

fn highest_seen_write(id: u64) -> Write {
    (HIGHEST_SEEN_KEY.to_vec(), Some(id.to_be_bytes().to_vec()))
}
