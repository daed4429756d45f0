//! The random id of a store, `instance`, by which the primary tells it from another under the same host's name.
//!
//! Beside it `instance-origin` says which file it was made as. A store that was copied, to another host or back from a backup, gets
//! another id: what the store that it was copied from has acknowledged says nothing about the copy.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::store::files::folder::{FileError, is_storage_full};
use crate::store::files::{atomic_file, origin};

/// Returns the id of the store in `folder`; makes one if there is none, or if the store is a copy. Blocks.
pub fn load_or_create(folder: &Path) -> Result<String, FileError> {
    let (path, origin_path) = (folder.join("instance"), folder.join("instance-origin"));
    if let Some(id) = read_id(&path)? {
        let origin = origin::of(&fs::metadata(&path).map_err(FileError::io(&path))?);
        match atomic_file::read(&origin_path) {
            Ok(Some(known)) if known.trim_end() == origin => return Ok(id),
            Ok(Some(_)) => tracing::warn!(
                "{}: this store is a copy of another, or was restored from a backup: it is another host to the primary from now on",
                folder.display()
            ),
            Ok(None) | Err(_) => {
                save_origin(&origin_path, &origin);
                return Ok(id);
            }
        }
    }
    create(&path, &origin_path)
}

/// Reads the id; `None` if there is none, or it is damaged.
fn read_id(path: &Path) -> Result<Option<String>, FileError> {
    let kept = match atomic_file::read(path) {
        Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => None,
        other => other?,
    };
    Ok(kept.and_then(|text| uuid::Uuid::try_parse(text.trim_end()).ok()).map(|id| id.to_string()))
}

/// Makes an id. In place of a damaged one the primary then counts one store too many, never one too few.
fn create(path: &Path, origin_path: &Path) -> Result<String, FileError> {
    let id = uuid::Uuid::new_v4().to_string();
    match atomic_file::replace(path, format!("{id}\n").as_bytes()) {
        // Without room for a store this process serves by asking the primary, under an id that lasts until it ends.
        Err(FileError::Io { source, .. }) if is_storage_full(&source) => {
            tracing::warn!("{}: {source}; another id is made at the next start, make room on this disk", path.display());
        }
        written => {
            written?;
            save_origin(origin_path, &origin::of(&fs::metadata(path).map_err(FileError::io(path))?));
        }
    }
    Ok(id)
}

/// What cannot be written is written at the next start; after a copy another id is made then.
fn save_origin(path: &Path, origin: &str) {
    if let Err(error) = atomic_file::replace(path, format!("{origin}\n").as_bytes()) {
        tracing::warn!("failed to store which file the store's id is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::load_or_create;

    fn copy(from: &Path, to: &Path) {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }

    #[test]
    fn an_id_is_made_once_and_made_again_only_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_create(folder.path()).unwrap();
        assert_eq!(load_or_create(folder.path()).unwrap(), first);
        for damaged in [&b"half"[..], &[0xff; 5000]] {
            fs::write(folder.path().join("instance"), damaged).unwrap();
            let other = load_or_create(folder.path()).unwrap();
            assert_ne!(other, first);
            assert_eq!(load_or_create(folder.path()).unwrap(), other);
        }
    }

    #[test]
    fn a_copy_of_a_store_gets_an_id_of_its_own_and_the_store_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (store, backup) = (folder.path().join("store"), folder.path().join("backup"));
        fs::create_dir(&store).unwrap();
        let id = load_or_create(&store).unwrap();
        copy(&store, &backup);
        let copied = load_or_create(&backup).unwrap();
        assert_ne!(copied, id);
        assert_eq!((load_or_create(&store).unwrap(), load_or_create(&backup).unwrap()), (id.clone(), copied.clone()));
        fs::remove_dir_all(&store).unwrap();
        copy(&backup, &store);
        let restored = load_or_create(&store).unwrap();
        assert!(restored != id && restored != copied);
    }

    #[test]
    fn the_id_of_a_store_of_an_earlier_version_stays() {
        let folder = tempfile::tempdir().unwrap();
        let id = load_or_create(folder.path()).unwrap();
        fs::remove_file(folder.path().join("instance-origin")).unwrap();
        assert_eq!(load_or_create(folder.path()).unwrap(), id);
        assert_eq!(load_or_create(folder.path()).unwrap(), id);
    }
}
