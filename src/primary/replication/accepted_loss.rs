//! The operator's confirmation that a large loss is intended. It is given once, and written at the end of every snapshot while it is
//! valid, so that no host's loss guard refuses the snapshot.

use std::time::Duration;

use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// For how long the confirmation is valid. A host that connects later refuses its snapshot until it is given again.
const VALIDITY: Duration = Duration::from_secs(24 * 3600);

const STORE_KEY: &[u8] = b"accept-loss";

/// Gives the confirmation, and returns until when it is valid. Blocks.
pub fn accept(private_store: &PrivateStore, now: Time) -> Result<Time, StoreError> {
    let until = now.plus(VALIDITY);
    private_store.write(PrivateWrites { entries: vec![(STORE_KEY.to_vec(), Some(until.to_string().into_bytes()))] })?;
    Ok(until)
}

/// Returns until when the confirmation is valid, if it is now.
pub fn accepted_until(private_store: &PrivateStore, now: Time) -> Result<Option<Time>, StoreError> {
    let until = private_store.read(STORE_KEY)?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse::<Time>().ok());
    Ok(until.filter(|until| now < *until))
}
