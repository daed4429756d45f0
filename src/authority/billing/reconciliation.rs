//! Reconciliations to come: one for each namespace, the last that was told. (server.md 2.14)
//!
//! ```text
//! reconciliation/<namespace>   the reconciliation
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::authority::billing::declared::Declared;
use crate::authority::refusal::Refusal;
use crate::model::day::Day;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

const PREFIX: &[u8] = b"reconciliation/";

/// One as it was told; what is missing was told as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
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

impl Told {
    /// Reads one.
    pub fn read(declared: &mut Declared<'_>) -> Self {
        declared.must_have(&["next_reconciliation_date", "display_alert_from"]);
        Self { next_reconciliation_date: declared.day("next_reconciliation_date"), display_alert_from: declared.day("display_alert_from") }
    }

    /// As it is kept; or what is wrong with it.
    pub fn judged(self, now: Time) -> Result<Reconciliation, Vec<&'static str>> {
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
pub fn keep(ledger: &Ledger, told: BTreeMap<Id, Reconciliation>) -> Result<(), Refusal> {
    ledger.update(|ledger| {
        let mut writes = Writes::default();
        for (namespace, mut reconciliation) in told {
            if let Some(before) = ledger.read(&place(namespace))? {
                reconciliation.created_at = serde_json::from_slice::<Reconciliation>(&before)?.created_at;
            }
            writes.entries.push((place(namespace), Some(serde_json::to_vec(&reconciliation)?)));
        }
        Ok((writes, ()))
    })
}

/// Takes one away, on disk when it returns; 404 if there is none. Blocks.
pub fn remove(ledger: &Ledger, namespace: Id) -> Result<(), Refusal> {
    ledger.update(|ledger| match ledger.read(&place(namespace))? {
        Some(_) => Ok((Writes { entries: vec![(place(namespace), None)] }, ())),
        None => Err(Refusal::not_found("")),
    })
}

/// How many there are.
pub fn count(ledger: &Ledger) -> Result<usize, Damage> {
    Ok(ledger.scan(PREFIX)?.len())
}

fn place(namespace: Id) -> Vec<u8> {
    [PREFIX, &namespace.bytes()].concat()
}
