//! Projects that are about to be created: the id and the repository's path that a push was given before its repository is created, so that
//! a retry, also one after a crash, creates the same repository and not another one.
//!
//! ```text
//! reserved/<full path in lower case>   the id, the path on the storage, and until when
//! ```
//! A reservation is consumed before its project is committed, so whatever is here was never a project's: a project that is removed again
//! leaves nothing by which a later push could get its repository. It ends without a project 24 h after its last use, where more than
//! [`MAX_RESERVED`] are made and its repository is not being created at that moment, when a directory file names its id or a higher one, and with a new epoch. Its repository is then left at
//! Gitaly, empty and under a path that is never given again.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::error::ApiError;
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::primary::credentials::random::random_bytes;
use crate::primary::directory::project_ids;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// How many reservations there are at most; for one more the oldest ends whose repository is not being created.
pub const MAX_RESERVED: usize = 1_000;
/// For how long a reservation waits for a retry.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

const KEY_PREFIX: &[u8] = b"reserved/";

/// What is reserved for a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedProject {
    /// The id of the project.
    pub id: Id,
    /// The path of its repository on the storage.
    pub relative_path: String,
    until: Time,
}

/// Returns what is reserved for a path, and reserves an id and a path on the storage if nothing is. Call it under the directory's writer;
/// on disk when it returns. `None` if all places are taken by projects of which `is_under_way` says that they are being created. Blocks.
pub fn reserve(
    directory: &Generation,
    private_store: &PrivateStore,
    path: &str,
    now: Time,
    is_under_way: impl Fn(Id) -> bool,
) -> Result<Option<ReservedProject>, ApiError> {
    private_store.update(|private_store| {
        let own_key = store_key(path);
        let mut writes = PrivateWrites::default();
        let mut table = load(private_store)?;
        table.retain(|(key, reserved)| {
            let valid = now < reserved.until;
            if !valid {
                writes.entries.push((key.clone(), None));
            }
            valid
        });
        let own = table.iter().find(|(key, _)| *key == own_key).map(|(_, reserved)| reserved.clone());
        let until = now.plus(RESERVATION_LIFETIME);
        let reserved = match own {
            Some(own) if directory.project(own.id)?.is_none() => ReservedProject { until, ..own },
            _ => {
                let Some(given_up) = oldest_beyond_limit(table, &own_key, is_under_way) else { return Ok((writes, None)) };
                writes.entries.extend(given_up.into_iter().map(|key| (key, None)));
                let (id, write) = project_ids::prepare_next(directory, private_store)?;
                writes.entries.push(write);
                ReservedProject { id, relative_path: random_storage_path()?, until }
            }
        };
        writes.entries.push((own_key, Some(encode(&reserved)?)));
        Ok((writes, Some(reserved)))
    })
}

/// Ends the reservation of a path if it is still this one, and returns whether it was. Call it under the directory's writer, before the
/// project is committed; on disk when it returns. Blocks.
pub fn consume(private_store: &PrivateStore, path: &str, reserved: &ReservedProject) -> Result<bool, StoreError> {
    let key = store_key(path);
    private_store.update(|private_store| {
        let stored = private_store.read(&key)?.map(|value| decode(&value)).transpose()?;
        let same = stored.is_some_and(|stored| stored.id == reserved.id && stored.relative_path == reserved.relative_path);
        let entries = if same { vec![(key.clone(), None)] } else { Vec::new() };
        Ok((PrivateWrites { entries }, same))
    })
}

/// Ends every reservation of an id up to this one: a directory file may give it to a project of its own. Blocks.
pub fn release_up_to(private_store: &PrivateStore, highest: Option<Id>) -> Result<(), StoreError> {
    match highest {
        Some(highest) => release_where(private_store, |reserved| reserved.id <= highest),
        None => Ok(()),
    }
}

/// Ends every reservation. Blocks.
pub fn release_all(private_store: &PrivateStore) -> Result<(), StoreError> {
    release_where(private_store, |_| true)
}

/// Ends the reservations that nobody came back for. Blocks.
pub fn remove_expired(private_store: &PrivateStore, now: Time) -> Result<(), StoreError> {
    release_where(private_store, |reserved| reserved.until <= now)
}

/// Returns how many reservations there are.
pub fn count(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn release_where(private_store: &PrivateStore, ends: impl Fn(&ReservedProject) -> bool) -> Result<(), StoreError> {
    private_store.update(|private_store| {
        let ended = load(private_store)?.into_iter().filter(|(_, reserved)| ends(reserved)).map(|(key, _)| (key, None));
        Ok((PrivateWrites { entries: ended.collect() }, ()))
    })
}

/// Returns the keys of the oldest reservations that leave no place for one more; `None` if too few may end.
fn oldest_beyond_limit(
    mut table: Vec<(Vec<u8>, ReservedProject)>,
    own_key: &[u8],
    is_under_way: impl Fn(Id) -> bool,
) -> Option<Vec<Vec<u8>>> {
    table.retain(|(key, _)| key != own_key);
    let beyond = (table.len() + 1).saturating_sub(MAX_RESERVED);
    table.retain(|(_, reserved)| !is_under_way(reserved.id));
    table.sort_by_key(|(_, reserved)| reserved.until);
    (table.len() >= beyond).then(|| table.into_iter().take(beyond).map(|(key, _)| key).collect())
}

/// Returns a new path on a storage, in the form of GitLab's hashed storage. It is random and not computed from the id, so that no store
/// that gives an id again, because it was restored, gives away the repository of the project that had it.
fn random_storage_path() -> Result<String, ApiError> {
    let mut hex = String::with_capacity(64);
    for byte in random_bytes::<32>()? {
        let _infallible = write!(hex, "{byte:02x}");
    }
    Ok(format!("@hashed/{}/{}/{hex}.git", &hex[..2], &hex[2..4]))
}

fn load(private_store: &PrivateStore) -> Result<Vec<(Vec<u8>, ReservedProject)>, StoreError> {
    private_store.scan_prefix(KEY_PREFIX)?.into_iter().map(|(key, value)| Ok((key, decode(&value)?))).collect()
}

fn store_key(path: &str) -> Vec<u8> {
    [KEY_PREFIX, path.to_ascii_lowercase().as_bytes()].concat()
}

fn decode(value: &[u8]) -> Result<ReservedProject, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError(format!("a reserved project: {error}")))
}

fn encode(reserved: &ReservedProject) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(reserved).map_err(|error| StoreError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        MAX_RESERVED, RESERVATION_LIFETIME, ReservedProject, consume, count, random_storage_path, release_all, release_up_to,
        remove_expired,
    };
    use crate::api::error::ApiError;
    use crate::model::id::Id;
    use crate::model::time::Time;
    use crate::store::generations::generation::{Generation, StoreOptions};
    use crate::store::primary::primary_store::PrimaryStore;
    use crate::store::primary::private_store::PrivateStore;

    fn reserve(directory: &Generation, private_store: &PrivateStore, path: &str, now: Time) -> Result<ReservedProject, ApiError> {
        super::reserve(directory, private_store, path, now, |_| false).map(Option::unwrap)
    }

    fn with_store(check: impl FnOnce(&PrimaryStore)) {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 };
        check(&PrimaryStore::open(folder.path(), options).unwrap());
    }

    #[test]
    fn a_path_keeps_its_reservation_in_whatever_case_it_is_written_until_it_is_consumed_once() {
        with_store(|store| {
            let (directory, private_store) = (store.directory(), store.private_store());
            let first = reserve(&directory, private_store, "bob/mine", Time::EPOCH).unwrap();
            let other = reserve(&directory, private_store, "bob/other", Time::EPOCH).unwrap();
            assert!(first.id < other.id && first.relative_path != other.relative_path, "{first:?} {other:?}");
            let again = reserve(&directory, private_store, "bob/MINE", Time::EPOCH).unwrap();
            assert_eq!((again.id, &again.relative_path), (first.id, &first.relative_path));
            assert!(!consume(private_store, "bob/mine", &other).unwrap(), "another's");
            assert!(consume(private_store, "bob/mine", &first).unwrap());
            assert!(!consume(private_store, "bob/mine", &first).unwrap(), "twice");
            let next = reserve(&directory, private_store, "bob/mine", Time::EPOCH).unwrap();
            assert!(next.id > other.id && next.relative_path != first.relative_path, "{next:?}");
        });
    }

    #[test]
    fn a_reservation_ends_a_day_after_its_last_use() {
        with_store(|store| {
            let (directory, private_store) = (store.directory(), store.private_store());
            let first = reserve(&directory, private_store, "bob/mine", Time::EPOCH).unwrap();
            let later = Time::EPOCH.plus(RESERVATION_LIFETIME - Duration::from_millis(1));
            let used = reserve(&directory, private_store, "bob/mine", later).unwrap();
            assert_eq!(used.id, first.id);
            remove_expired(private_store, Time::EPOCH.plus(RESERVATION_LIFETIME)).unwrap();
            assert_eq!(count(private_store).unwrap(), 1, "it was used a moment before");
            let next = reserve(&directory, private_store, "bob/mine", later.plus(RESERVATION_LIFETIME)).unwrap();
            assert!(next.id > first.id && next.relative_path != first.relative_path, "{next:?}");
            remove_expired(private_store, later.plus(RESERVATION_LIFETIME * 2)).unwrap();
            assert_eq!(count(private_store).unwrap(), 0);
        });
    }

    #[test]
    fn of_more_reservations_than_the_limit_the_oldest_end() {
        with_store(|store| {
            let (directory, private_store) = (store.directory(), store.private_store());
            let at = |number: usize| Time::EPOCH.plus(Duration::from_secs(number as u64));
            let path = |number: usize| format!("bob/p{number}");
            let all: Vec<_> =
                (0..=MAX_RESERVED).map(|number| reserve(&directory, private_store, &path(number), at(number)).unwrap()).collect();
            assert_eq!(count(private_store).unwrap(), MAX_RESERVED);
            assert!(!consume(private_store, &path(0), &all[0]).unwrap(), "the oldest");
            assert!(consume(private_store, &path(1), &all[1]).unwrap());
            assert!(consume(private_store, &path(MAX_RESERVED), &all[MAX_RESERVED]).unwrap());
        });
    }

    #[test]
    fn a_reservation_whose_repository_is_being_created_is_not_given_up_for_others() {
        with_store(|store| {
            let (directory, private_store) = (store.directory(), store.private_store());
            let first = reserve(&directory, private_store, "zoe/first", Time::EPOCH).unwrap();
            let later = Time::EPOCH.plus(Duration::from_secs(1));
            let reserve_beside = |path: &str, is_under_way: &dyn Fn(Id) -> bool| {
                super::reserve(&directory, private_store, path, later, is_under_way).unwrap()
            };
            for number in 0..=MAX_RESERVED {
                assert!(reserve_beside(&format!("bob/p{number}"), &|id| id == first.id).is_some());
            }
            assert_eq!(count(private_store).unwrap(), MAX_RESERVED);
            assert_eq!(reserve_beside("eve/one", &|_| true), None, "all are being created");
            assert!(reserve_beside("zoe/first", &|_| true).is_some_and(|again| again.id == first.id));
            assert!(consume(private_store, "zoe/first", &first).unwrap(), "the oldest");
        });
    }

    #[test]
    fn a_file_with_the_id_or_a_higher_one_and_a_new_epoch_end_reservations() {
        with_store(|store| {
            let (directory, private_store) = (store.directory(), store.private_store());
            let [low, high] = ["bob/low", "bob/high"].map(|path| reserve(&directory, private_store, path, Time::EPOCH).unwrap());
            release_up_to(private_store, None).unwrap();
            assert_eq!(count(private_store).unwrap(), 2);
            release_up_to(private_store, Some(low.id)).unwrap();
            assert!(!consume(private_store, "bob/low", &low).unwrap());
            assert_eq!(count(private_store).unwrap(), 1);
            release_all(private_store).unwrap();
            assert!(!consume(private_store, "bob/high", &high).unwrap());
        });
    }

    #[test]
    fn a_repository_path_has_the_form_of_hashed_storage_and_no_two_are_equal() {
        let (one, other) = (random_storage_path().unwrap(), random_storage_path().unwrap());
        let hex = one.rsplit('/').next().and_then(|name| name.strip_suffix(".git")).unwrap();
        assert_eq!(one, format!("@hashed/{}/{}/{hex}.git", &hex[..2], &hex[2..4]));
        assert!(hex.len() == 64 && one != other, "{one} {other}");
    }
}
