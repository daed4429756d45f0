//! How much agents were used: sums since the store was made, and sets whose members count once.
//!
//! Members are ids of people, agents or projects that the directory has; others are passed over, so that what KAS sends
//! cannot grow without a bound.

use std::collections::BTreeMap;

use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::store::generation::{Damage, Generation};
use crate::store::ledger::{Ledger, Writes};
use crate::wire::kubernetes::Usage;

const COUNTS: &[u8] = b"kubernetes/count/";
const MEMBERS: &[u8] = b"kubernetes/member/";

/// Counts it all, on disk when it returns. Blocks.
pub fn count(ledger: &Ledger, directory: &Generation, usage: &Usage) -> Result<(), Damage> {
    ledger.update(|ledger| {
        let mut writes = Writes::default();
        for (name, more) in &usage.counts {
            let place = [COUNTS, name.as_bytes()].concat();
            let sum = number(ledger.read(&place)?.as_deref()).saturating_add(*more);
            writes.entries.push((place, Some(sum.to_be_bytes().to_vec())));
        }
        for (name, members) in &usage.unique {
            for id in members {
                let place = [MEMBERS, name.as_bytes(), b"/", &id.bytes()].concat();
                if known(directory, name, *id)? && ledger.read(&place)?.is_none() {
                    writes.entries.push((place, Some(Vec::new())));
                }
            }
        }
        Ok((writes, ()))
    })
}

/// The sums, and how many members each set has, by name.
pub fn counted(ledger: &Ledger) -> Result<BTreeMap<String, u64>, Damage> {
    let mut counted = BTreeMap::new();
    for (key, value) in ledger.scan(COUNTS)? {
        counted.insert(text(&key[COUNTS.len()..]), number(Some(&value)));
    }
    for (key, _) in ledger.scan(MEMBERS)? {
        // A slash and eight bytes of an id stand behind the name.
        let name = key.get(MEMBERS.len()..key.len().saturating_sub(9)).unwrap_or_default();
        *counted.entry(text(name)).or_default() += 1;
    }
    Ok(counted)
}

fn known(directory: &Generation, name: &str, id: Id) -> Result<bool, Damage> {
    let unread = |fault: crate::model::directory::Fault| Damage(fault.to_string());
    if name.contains("users") {
        return Ok(directory.user(id).map_err(unread)?.is_some());
    }
    if name.contains("agents") {
        return Ok(directory.agent(id)?.is_some());
    }
    Ok(directory.project(id).map_err(unread)?.is_some())
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
