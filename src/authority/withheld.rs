//! The records of the directory file that are never published, in the ledger; and how they change together with the others,
//! although the ledger and the directory are two databases.
//!
//! ```text
//! withheld/<place>   one record, in its canonical form
//! withheld-intent    what an apply is about to change here, and the number of the commit that it goes with
//! ```
//! An apply that changes both writes its intent first, then commits the directory, then does what it intended and takes the
//! intent away, in one batch. A crash before the commit leaves an intent whose commit there is not: the next start drops it.
//! A crash after it leaves one whose commit there is: the next start does it. Between the commit and the end a reader may
//! for a moment see the new directory with the old policies. An apply that changes only one of the two needs no intent.

use serde::{Deserialize, Serialize};

use crate::model::change::Head;
use crate::model::id::Id;
use crate::model::withheld::{Broadcast, PolicyConfiguration, ScanExecutionPolicy, Withheld};
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

const PREFIX: &[u8] = b"withheld/";
const INTENT: &[u8] = b"withheld-intent";

/// By their places: the new texts, or that they go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes(pub Vec<(Vec<u8>, Option<String>)>);

#[derive(Serialize, Deserialize)]
struct Intent {
    /// The number of the last commit before the one that this goes with.
    after: u64,
    changes: Changes,
}

/// All of them, in the order of their places.
pub fn all(ledger: &Ledger) -> Result<Vec<Withheld>, Damage> {
    ledger.scan(PREFIX)?.into_iter().map(|(_, text)| read(&text)).collect()
}

/// The scan policies of a project.
pub fn policies(ledger: &Ledger, project: Id) -> Result<Vec<ScanExecutionPolicy>, Damage> {
    let of = |record| match record {
        Withheld::ScanExecutionPolicy(policy) if policy.project_id == project => Some(policy),
        _ => None,
    };
    Ok(all(ledger)?.into_iter().filter_map(of).collect())
}

/// The configurations of a project's scans.
pub fn configurations(ledger: &Ledger, project: Id) -> Result<Vec<PolicyConfiguration>, Damage> {
    let of = |record| match record {
        Withheld::PolicyConfiguration(configuration) if configuration.project_id == project => Some(configuration),
        _ => None,
    };
    Ok(all(ledger)?.into_iter().filter_map(of).collect())
}

/// The broadcasts, whatever their time, lowest id first.
pub fn broadcasts(ledger: &Ledger) -> Result<Vec<Broadcast>, Damage> {
    let of = |record| match record {
        Withheld::Broadcast(broadcast) => Some(broadcast),
        _ => None,
    };
    Ok(all(ledger)?.into_iter().filter_map(of).collect())
}

/// Changes them, where the directory does not change with them. Blocks.
pub fn write(ledger: &Ledger, changes: Changes) -> Result<(), Damage> {
    ledger.write(Writes { entries: changes.entries() })
}

/// Says what is to change with the next commit of the directory. Blocks.
pub fn intend(ledger: &Ledger, head: &Head, changes: Changes) -> Result<(), Damage> {
    let intent = serde_json::to_vec(&Intent { after: head.seq, changes }).map_err(|error| Damage(error.to_string()))?;
    ledger.write(Writes { entries: vec![(INTENT.to_vec(), Some(intent))] })
}

/// Does what was intended: the commit is made. Blocks.
pub fn fulfil(ledger: &Ledger) -> Result<(), Damage> {
    resolve(ledger, |_| true)
}

/// Does what was intended if its commit was made, else drops it; asked with a head that is on disk. Blocks.
pub fn settle(ledger: &Ledger, head: &Head) -> Result<(), Damage> {
    resolve(ledger, |intent| head.seq > intent.after)
}

fn resolve(ledger: &Ledger, was_committed: impl FnOnce(&Intent) -> bool) -> Result<(), Damage> {
    ledger.update(|ledger| {
        let mut writes = Writes::default();
        if let Some(intent) = ledger.read(INTENT)? {
            let intent: Intent = serde_json::from_slice(&intent).map_err(|error| Damage(format!("an intent of an apply: {error}")))?;
            if was_committed(&intent) {
                writes.entries = intent.changes.entries();
            }
            writes.entries.push((INTENT.to_vec(), None));
        }
        Ok((writes, ()))
    })
}

impl Changes {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn entries(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.0.into_iter().map(|(place, text)| ([PREFIX, &place].concat(), text.map(String::into_bytes))).collect()
    }
}

fn read(text: &[u8]) -> Result<Withheld, Damage> {
    let damage = |reason: String| Damage(format!("a record that is not published cannot be read again: {reason}"));
    let text = std::str::from_utf8(text).map_err(|error| damage(error.to_string()))?;
    Withheld::parse(text).map_err(|error| damage(error.to_string()))
}
