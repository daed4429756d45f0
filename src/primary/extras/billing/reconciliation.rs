//! Reconciliations to come: one for each namespace, the last that was told. (server.md 2.14)
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

/// One as it was told; what is missing was told as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationParams {
    next_reconciliation_date: Option<Day>,
    display_alert_from: Option<Day>,
}

/// One as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    next_reconciliation_date: Day,
    display_alert_from: Day,
    created_at: Time,
    updated_at: Time,
}

impl ReconciliationParams {
    /// Reads one.
    pub fn parse(declared: &mut ValidatedParams<'_>) -> Self {
        declared.require(&["next_reconciliation_date", "display_alert_from"]);
        Self { next_reconciliation_date: declared.day("next_reconciliation_date"), display_alert_from: declared.day("display_alert_from") }
    }

    /// As it is kept; or what is wrong with it.
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

/// Keeps them all, each in the place of the one before, on disk when it returns. Blocks.
pub fn upsert(private_store: &PrivateStore, told: BTreeMap<Id, Reconciliation>) -> Result<(), ApiError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        for (namespace, mut reconciliation) in told {
            if let Some(before) = private_store.read(&store_key(namespace))? {
                reconciliation.created_at = serde_json::from_slice::<Reconciliation>(&before)?.created_at;
            }
            writes.entries.push((store_key(namespace), Some(serde_json::to_vec(&reconciliation)?)));
        }
        Ok((writes, ()))
    })
}

/// Takes one away, on disk when it returns; 404 if there is none. Blocks.
pub fn remove(private_store: &PrivateStore, namespace: Id) -> Result<(), ApiError> {
    private_store.update(|private_store| match private_store.read(&store_key(namespace))? {
        Some(_) => Ok((PrivateWrites { entries: vec![(store_key(namespace), None)] }, ())),
        None => Err(ApiError::not_found("")),
    })
}

/// How many there are.
pub fn count_reconciliations(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn store_key(namespace: Id) -> Vec<u8> {
    [KEY_PREFIX, &namespace.bytes()].concat()
}
