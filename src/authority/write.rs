//! Committing to the directory: one act at a time, off the answering threads, counted, and with one line in the log.
//!
//! The store has one writer at a time as well. The turn here is longer: an apply judges a whole file against the directory
//! and then writes, and nothing may be written between.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::refusal::Refusal;
use crate::model::change::{Change, Head};
use crate::model::entry::Entry;
use crate::store::generation::{Damage, Generation};

/// The turn to write.
pub struct Writing<'a> {
    house: &'a Authority,
    _turn: MutexGuard<'a, ()>,
}

/// Waits for the turn to write. Blocks.
pub fn writing(house: &Authority) -> Writing<'_> {
    Writing { house, _turn: house.turn.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// Decides on the directory as it stands and commits what was decided, with no other writer between. On disk when it returns; without
/// changes nothing is committed, and the head is the present one. `what` names the act in the log.
pub async fn commit<T: Send + 'static>(
    house: &Arc<Authority>,
    what: &'static str,
    decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), Refusal> + Send + 'static,
) -> Result<(Head, T), Refusal> {
    let house = Arc::clone(house);
    blocking(move || writing(&house).commit(what, decide)).await
}

impl Writing<'_> {
    /// As [`commit`]. Blocks.
    pub fn commit<T>(
        &self,
        what: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), Refusal>,
    ) -> Result<(Head, T), Refusal> {
        let (head, (changes, told)) = self.house.store.commit(|directory| {
            let (changes, told) = decide(directory)?;
            let count = changes.len();
            Ok::<_, Refusal>((changes, (count, told)))
        })?;
        if changes > 0 {
            self.wrote(what, &head, changes as u64);
        }
        Ok((head, told))
    }

    /// A whole new directory, in the order of a snapshot. Blocks.
    pub fn replace<E: From<Damage>>(&self, what: &'static str, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Head, E> {
        let head = self.house.store.replace(entries)?;
        self.wrote(what, &head, head.state.count);
        Ok(head)
    }

    fn wrote(&self, what: &'static str, head: &Head, changes: u64) {
        self.house.counters.commits.inc();
        tracing::info!(what, seq = head.seq, changes, records = head.state.count, "a commit");
    }
}
