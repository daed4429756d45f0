//! The operator's word that a loss is meant: said once, put at the end of every snapshot for a while, for the whole fleet.

use std::time::Duration;

use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// For how long the word counts. A host that comes later holds its snapshot and asks for it to be said again.
pub const COUNTS: Duration = Duration::from_secs(24 * 3600);

const PLACE: &[u8] = b"accept-loss";

/// Says it; gives until when it counts. Blocks.
pub fn accept(ledger: &Ledger, now: Time) -> Result<Time, Damage> {
    let until = now.plus(COUNTS);
    ledger.write(Writes { entries: vec![(PLACE.to_vec(), Some(until.to_string().into_bytes()))] })?;
    Ok(until)
}

/// Until when it counts, if it does now.
pub fn accepted(ledger: &Ledger, now: Time) -> Result<Option<Time>, Damage> {
    let until = ledger.read(PLACE)?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse::<Time>().ok());
    Ok(until.filter(|until| now < *until))
}
