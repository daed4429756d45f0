//! Packs of minutes: a purchase enters a namespace once, however often it is told; packs move as a whole. (server.md 2.14)
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
/// Most characters of a purchase's id.
const MAX_PURCHASE_CHARS: usize = 50;

/// A pack as it was told; what is missing was told as nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackParams {
    expires_at: Option<Day>,
    number_of_minutes: Option<i64>,
    purchase_xid: Option<Text>,
}

/// A pack that can be kept.
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
    /// Reads one.
    pub fn parse(declared: &mut ValidatedParams<'_>) -> Self {
        declared.require(&["number_of_minutes", "expires_at", "purchase_xid"]);
        Self {
            expires_at: declared.day("expires_at"),
            number_of_minutes: declared.integer("number_of_minutes"),
            purchase_xid: declared.text("purchase_xid"),
        }
    }

    /// The pack, if it can be kept.
    #[must_use]
    pub fn validate(self, now: Time) -> Option<MinutePack> {
        let purchase_xid = self.purchase_xid.filter(|xid| xid.chars().count() <= MAX_PURCHASE_CHARS)?;
        let number_of_minutes = self.number_of_minutes.filter(|count| (1..=i64::from(i32::MAX)).contains(count))?;
        Some(MinutePack { purchase_xid, minutes: StoredMinutes { expires_at: self.expires_at?, number_of_minutes, told_at: now } })
    }
}

/// Keeps those that are new, all or none, on disk when it returns; gives for each told what is kept of it. Blocks.
pub fn insert_packs(private_store: &PrivateStore, namespace: Id, packs: Vec<MinutePack>) -> Result<Vec<Value>, ApiError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        let mut kept = Vec::with_capacity(packs.len());
        let mut new: std::collections::HashMap<Text, StoredMinutes> = std::collections::HashMap::new();
        for MinutePack { purchase_xid, minutes } in packs {
            let place = store_key(namespace, &purchase_xid);
            let known = match new.get(&purchase_xid) {
                Some(minutes) => Some(minutes.clone()),
                None => private_store.read(&place)?.map(|bytes| serde_json::from_slice(&bytes)).transpose()?,
            };
            let minutes = match known {
                Some(known) => known,
                None => {
                    writes.entries.push((place, Some(serde_json::to_vec(&minutes)?)));
                    new.insert(purchase_xid.clone(), minutes.clone());
                    minutes
                }
            };
            kept.push(json!({
                "namespace_id": namespace,
                "expires_at": minutes.expires_at,
                "number_of_minutes": minutes.number_of_minutes,
                "purchase_xid": purchase_xid,
            }));
        }
        Ok((writes, kept))
    })
}

/// Moves all packs, on disk when it returns; gives how many. A purchase that the target has already stays as it is there. Blocks.
pub fn move_packs(private_store: &PrivateStore, from: Id, to: Id) -> Result<usize, StoreError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        let packs = private_store.scan_prefix(&namespace_prefix(from))?;
        let moved = packs.len();
        for (place, value) in packs {
            let target = [&namespace_prefix(to), place.get(namespace_prefix(from).len()..).unwrap_or_default()].concat();
            if private_store.read(&target)?.is_none() {
                writes.entries.push((target, Some(value)));
            }
            writes.entries.push((place, None));
        }
        Ok((writes, moved))
    })
}

/// How many there are.
pub fn count_packs(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn namespace_prefix(namespace: Id) -> Vec<u8> {
    [KEY_PREFIX, &namespace.bytes()].concat()
}

fn store_key(namespace: Id, purchase_xid: &str) -> Vec<u8> {
    [&namespace_prefix(namespace), purchase_xid.as_bytes()].concat()
}
