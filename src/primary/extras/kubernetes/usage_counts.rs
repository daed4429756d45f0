//! How much cluster agents are used: sums since the store was created, and sets whose members count once.
//!
//! Members are ids of users, agents or projects that exist in the directory; others are ignored, so that what KAS sends cannot grow
//! without a bound.

use std::collections::BTreeMap;

use crate::model::directory::{Directory as _, DirectoryError};
use crate::model::id::Id;
use crate::primary::user_data::{SET_MEMBER_PREFIX, is_set_of_users, user_exists};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::kubernetes::UsageMetrics;

const COUNT_KEY_PREFIX: &[u8] = b"kubernetes/count/";

/// Adds what KAS reports, on disk when it returns. Blocks.
pub fn add_usage(store: &PrimaryStore, usage: &UsageMetrics) -> Result<(), StoreError> {
    store.private_store().update(|private_store| {
        // Read here, so that nobody who is removed meanwhile is counted afterwards.
        let directory = store.directory();
        let mut writes = PrivateWrites::default();
        for (name, count) in &usage.counts {
            let key = [COUNT_KEY_PREFIX, name.as_bytes()].concat();
            let sum = decode_count(private_store.read(&key)?.as_deref()).saturating_add(*count);
            writes.entries.push((key, Some(sum.to_be_bytes().to_vec())));
        }
        for (name, members) in &usage.unique {
            for id in members {
                let key = [SET_MEMBER_PREFIX, name.as_bytes(), b"/", &id.bytes()].concat();
                if member_exists(&directory, name, *id)? && private_store.read(&key)?.is_none() {
                    writes.entries.push((key, Some(Vec::new())));
                }
            }
        }
        Ok((writes, ()))
    })
}

/// Returns the sums, and how many members each set has, by name.
pub fn load_totals(private_store: &PrivateStore) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut totals = BTreeMap::new();
    for (key, value) in private_store.scan_prefix(COUNT_KEY_PREFIX)? {
        totals.insert(decode_name(&key[COUNT_KEY_PREFIX.len()..]), decode_count(Some(&value)));
    }
    for (key, _) in private_store.scan_prefix(SET_MEMBER_PREFIX)? {
        // The name is followed by a slash and the eight bytes of an id.
        let name = key.get(SET_MEMBER_PREFIX.len()..key.len().saturating_sub(9)).unwrap_or_default();
        *totals.entry(decode_name(name)).or_default() += 1;
    }
    Ok(totals)
}

fn member_exists(directory: &Generation, name: &str, id: Id) -> Result<bool, StoreError> {
    let store_error = |error: DirectoryError| StoreError(error.to_string());
    if is_set_of_users(name) {
        return user_exists(directory, id);
    }
    if name.contains("agents") {
        return Ok(directory.agent(id)?.is_some());
    }
    Ok(directory.project(id).map_err(store_error)?.is_some())
}

fn decode_count(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn decode_name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
