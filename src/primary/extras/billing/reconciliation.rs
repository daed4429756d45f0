//! Upcoming reconciliations: one for each namespace, the last that was sent. (server.md 2.14)
//!
//! ```text
//! reconciliation/<namespace>   the reconciliation
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::error::ApiError;
use crate::model::day::Day;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::primary::extras::billing::validated_params::ValidatedParams;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const KEY_PREFIX: &[u8] = b"reconciliation/";

/// A reconciliation as it was sent; a field is `None` if it was sent empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationParams {
    next_reconciliation_date: Option<Day>,
    display_alert_from: Option<Day>,
}

/// A valid reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    next_reconciliation_date: Day,
    display_alert_from: Day,
    created_at: Time,
    updated_at: Time,
}

impl ReconciliationParams {
    /// Reads the parameters of a reconciliation.
    pub fn parse(params: &mut ValidatedParams<'_>) -> Self {
        params.require(&["next_reconciliation_date", "display_alert_from"]);
        Self { next_reconciliation_date: params.day("next_reconciliation_date"), display_alert_from: params.day("display_alert_from") }
    }

    /// Returns the reconciliation, or what is wrong with it.
    pub fn validate(self, now: Time) -> Result<Reconciliation, Vec<&'static str>> {
        match (self.next_reconciliation_date, self.display_alert_from) {
            (Some(next_reconciliation_date), Some(display_alert_from)) => {
                Ok(Reconciliation { next_reconciliation_date, display_alert_from, created_at: now, updated_at: now })
            }
            (next, from) => {
                let next = next.is_none().then_some("Next reconciliation date can't be blank");
                let from = from.is_none().then_some("Display alert from can't be blank");
                Err(next.into_iter().chain(from).collect())
            }
        }
    }
}

/// Stores reconciliations, each of which replaces the previous one of its namespace; on disk when it returns. Blocks.
pub fn upsert(private_store: &PrivateStore, reconciliations: BTreeMap<Id, Reconciliation>) -> Result<(), ApiError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        for (namespace, mut reconciliation) in reconciliations {
            if let Some(previous) = private_store.read(&store_key(namespace))? {
                reconciliation.created_at = serde_json::from_slice::<Reconciliation>(&previous)?.created_at;
            }
            writes.entries.push((store_key(namespace), Some(serde_json::to_vec(&reconciliation)?)));
        }
        Ok((writes, ()))
    })
}

/// Removes the reconciliation of a namespace, on disk when it returns; 404 if there is none. Blocks.
pub fn remove(private_store: &PrivateStore, namespace: Id) -> Result<(), ApiError> {
    private_store.update(|private_store| match private_store.read(&store_key(namespace))? {
        Some(_) => Ok((PrivateWrites { entries: vec![(store_key(namespace), None)] }, ())),
        None => Err(ApiError::not_found("")),
    })
}

/// Returns how many reconciliations are stored.
pub fn count_reconciliations(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn store_key(namespace: Id) -> Vec<u8> {
    [KEY_PREFIX, &namespace.bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Reconciliation, ReconciliationParams, store_key, upsert};
    use crate::model::time::Time;
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    #[test]
    fn a_replaced_reconciliation_keeps_its_time_of_creation() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let (private_store, namespace) = (store.private_store(), 10.try_into().unwrap());
        let later = Time::EPOCH.plus(Duration::from_secs(1));
        for (now, date) in [(Time::EPOCH, "2021-06-13"), (later, "2022-06-13")] {
            let date = Some(date.parse().unwrap());
            let params = ReconciliationParams { next_reconciliation_date: date, display_alert_from: date };
            upsert(private_store, [(namespace, params.validate(now).unwrap())].into()).unwrap();
        }
        let stored = private_store.read(&store_key(namespace)).unwrap().unwrap();
        let stored: Reconciliation = serde_json::from_slice(&stored).unwrap();
        assert_eq!(stored.next_reconciliation_date.to_string(), "2022-06-13");
        assert_eq!((stored.created_at, stored.updated_at), (Time::EPOCH, later));
    }
}
