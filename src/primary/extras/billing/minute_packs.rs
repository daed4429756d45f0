//! Packs of minutes: a purchase is stored once for a namespace, however often it is sent; packs are moved all together. (server.md 2.14)
//!
//! ```text
//! minutes/<namespace><purchase>   {"expires_at": day, "number_of_minutes": count, "told_at": time}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::error::ApiError;
use crate::model::day::Day;
use crate::model::id::Id;
use crate::model::text::Text;
use crate::model::time::Time;
use crate::primary::extras::billing::validated_params::ValidatedParams;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const KEY_PREFIX: &[u8] = b"minutes/";
/// The longest id of a purchase, in characters.
const MAX_PURCHASE_CHARS: usize = 50;

/// A pack as it was sent; a field is `None` if it was sent empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackParams {
    expires_at: Option<Day>,
    number_of_minutes: Option<i64>,
    purchase_xid: Option<Text>,
}

/// A valid pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinutePack {
    purchase_xid: Text,
    minutes: StoredMinutes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredMinutes {
    expires_at: Day,
    number_of_minutes: i64,
    told_at: Time,
}

impl PackParams {
    /// Reads the parameters of a pack.
    pub fn parse(params: &mut ValidatedParams<'_>) -> Self {
        params.require(&["number_of_minutes", "expires_at", "purchase_xid"]);
        Self {
            expires_at: params.day("expires_at"),
            number_of_minutes: params.integer("number_of_minutes"),
            purchase_xid: params.text("purchase_xid"),
        }
    }

    /// Returns the pack, if it is valid.
    #[must_use]
    pub fn validate(self, now: Time) -> Option<MinutePack> {
        let purchase_xid = self.purchase_xid.filter(|xid| xid.chars().count() <= MAX_PURCHASE_CHARS)?;
        let number_of_minutes = self.number_of_minutes.filter(|count| (1..=i64::from(i32::MAX)).contains(count))?;
        Some(MinutePack { purchase_xid, minutes: StoredMinutes { expires_at: self.expires_at?, number_of_minutes, told_at: now } })
    }
}

/// Stores the packs that are new, all or none, and returns for each sent one what is stored of it; on disk when it returns. Blocks.
pub fn insert_packs(private_store: &PrivateStore, namespace: Id, packs: Vec<MinutePack>) -> Result<Vec<Value>, ApiError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        let mut stored = Vec::with_capacity(packs.len());
        let mut new: std::collections::HashMap<Text, StoredMinutes> = std::collections::HashMap::new();
        for MinutePack { purchase_xid, minutes } in packs {
            let key = store_key(namespace, &purchase_xid);
            let existing = match new.get(&purchase_xid) {
                Some(minutes) => Some(minutes.clone()),
                None => private_store.read(&key)?.map(|bytes| serde_json::from_slice(&bytes)).transpose()?,
            };
            let minutes = match existing {
                Some(existing) => existing,
                None => {
                    writes.entries.push((key, Some(serde_json::to_vec(&minutes)?)));
                    new.insert(purchase_xid.clone(), minutes.clone());
                    minutes
                }
            };
            stored.push(json!({
                "namespace_id": namespace,
                "expires_at": minutes.expires_at,
                "number_of_minutes": minutes.number_of_minutes,
                "purchase_xid": purchase_xid,
            }));
        }
        Ok((writes, stored))
    })
}

/// Moves all packs of a namespace and returns how many; on disk when it returns. A purchase that the target has already stays as it is
/// there. Blocks.
pub fn move_packs(private_store: &PrivateStore, from: Id, to: Id) -> Result<usize, StoreError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        let packs = private_store.scan_prefix(&namespace_prefix(from))?;
        let moved = packs.len();
        for (key, value) in packs {
            let target = [&namespace_prefix(to), key.get(namespace_prefix(from).len()..).unwrap_or_default()].concat();
            if private_store.read(&target)?.is_none() {
                writes.entries.push((target, Some(value)));
            }
            writes.entries.push((key, None));
        }
        Ok((writes, moved))
    })
}

/// Returns how many packs are stored.
pub fn count_packs(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn namespace_prefix(namespace: Id) -> Vec<u8> {
    [KEY_PREFIX, &namespace.bytes()].concat()
}

fn store_key(namespace: Id, purchase_xid: &str) -> Vec<u8> {
    [&namespace_prefix(namespace), purchase_xid.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{MinutePack, StoredMinutes, insert_packs, move_packs, namespace_prefix};
    use crate::model::time::Time;
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    fn pack(number_of_minutes: i64, xid: &str) -> MinutePack {
        let expires_at = "2022-01-01".parse().unwrap();
        MinutePack { purchase_xid: xid.try_into().unwrap(), minutes: StoredMinutes { expires_at, number_of_minutes, told_at: Time::EPOCH } }
    }

    #[test]
    fn a_moved_purchase_that_the_target_has_already_stays_as_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let (private_store, from, to) = (store.private_store(), 10.try_into().unwrap(), 20.try_into().unwrap());
        insert_packs(private_store, from, vec![pack(1, "a"), pack(2, "b")]).unwrap();
        insert_packs(private_store, to, vec![pack(3, "b")]).unwrap();
        assert_eq!(move_packs(private_store, from, to), Ok(2));
        let stored = private_store.scan_prefix(&namespace_prefix(to)).unwrap().into_iter();
        let minutes: Vec<_> = stored.map(|(_, value)| serde_json::from_slice::<StoredMinutes>(&value).unwrap().number_of_minutes).collect();
        assert_eq!(minutes, [1, 3]);
        assert_eq!(private_store.scan_prefix(&namespace_prefix(from)).unwrap(), []);
    }
}
