//! `GET /-/admin/export`: the directory file, in the order of a snapshot, then what is never
//! published. It holds the tokens of Gitalys: keep it at 0600.

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::primary::directory::unpublished;
use crate::primary::line_stream;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// Answers with the file as a stream.
pub async fn handle(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    let store = state.store.clone();
    Ok(line_stream::respond("an export", move || {
        let unpublished_records = unpublished::load_all(store.private_store())?;
        let published = store.directory().entries().map(|entry| entry.map(|entry| entry.text().to_owned()));
        let beside = unpublished_records.into_iter().map(|record| record.canonical().map_err(|error| StoreError(error.to_string())));
        Ok(published.chain(beside))
    }))
}
