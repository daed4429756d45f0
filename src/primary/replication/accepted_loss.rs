//! The operator's word that a loss is meant: said once, put at the end of every snapshot for a while, for the whole fleet.

use std::time::Duration;

use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// For how long the word counts. A host that comes later holds its snapshot and asks for it to be said again.
pub const VALIDITY: Duration = Duration::from_secs(24 * 3600);

const STORE_KEY: &[u8] = b"accept-loss";

/// Says it; gives until when it counts. Blocks.
pub fn accept(ledger: &PrivateStore, now: Time) -> Result<Time, StoreError> {
    let until = now.plus(VALIDITY);
    ledger.write(PrivateWrites { entries: vec![(STORE_KEY.to_vec(), Some(until.to_string().into_bytes()))] })?;
    Ok(until)
}

/// Until when it counts, if it does now.
pub fn accepted_until(ledger: &PrivateStore, now: Time) -> Result<Option<Time>, StoreError> {
    let until = ledger.read(STORE_KEY)?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse::<Time>().ok());
    Ok(until.filter(|until| now < *until))
}
