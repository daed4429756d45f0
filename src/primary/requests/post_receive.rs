//! `POST internal/post_receive`: a push is written; what is its author told? (server.md 2.9)
//!
//! Nobody known and no repository are no reason to refuse: the push is done.

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::access_decision::{Actor, Repository};
use crate::model::directory::Directory as _;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::directory::unpublished;
use crate::primary::pushes::messages;
use crate::primary::pushes::reference_counter::{self, Decrement};
use crate::primary::state::PrimaryState;
use crate::rules::{actor, post_receive as rules, repository};
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;
use crate::wire::post_receive as spelled;

/// Counts the push down and answers with the messages.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let pushed = spelled::parse_request(&request.params)?;
    let (store, now) = (state.store.clone(), request.time.wall);
    let body = run_blocking(move || {
        let directory = store.directory();
        let repository = repository::find_repository(&directory, Some(&pushed.gl_repository), None)?.repository;
        let broadcasts = unpublished::broadcasts(store.private_store())?;
        let mut messages = rules::build_messages(&pushed, repository.as_ref(), &*directory.settings()?, &broadcasts, now);
        let actor = actor::resolve_actor(&directory, &pushed.claimed_actor)?;
        let taken = finish_push(store.private_store(), &pushed.gl_repository, &actor, repository.as_ref(), now);
        let decreased = taken.is_ok();
        match taken {
            Ok(waiting) => waiting.into_iter().for_each(|text| messages.add_basic(text)),
            Err(damage) => tracing::error!(%damage, "the end of a push could not be counted"),
        }
        Ok::<_, ApiError>(spelled::encode_response(&messages, decreased))
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body))
}

/// Counts the push down and takes what waits for this person's push to this repository, which is shown once: both, or nothing. Blocks.
fn finish_push(
    ledger: &PrivateStore,
    word: &str,
    actor: &Actor,
    repository: Option<&Repository>,
    now: Time,
) -> Result<Vec<String>, StoreError> {
    let (decreased, waiting) = ledger.update(|ledger| {
        let (mut writes, decreased) = reference_counter::prepare_decrement(ledger, word, now)?;
        let mut waiting = Vec::new();
        if let (Actor::User(user, _), Some(repository)) = (actor, repository) {
            let (gone, texts) = messages::prepare_take(ledger, user.id, &repository.gl_repository(), now)?;
            writes.entries.extend(gone.entries);
            waiting = texts;
        }
        Ok::<_, StoreError>((writes, (decreased, waiting)))
    })?;
    if decreased == Decrement::BelowZero {
        tracing::warn!(gl_repository = word, "a push ended that was not counted when it began, or more than ten minutes ago");
    }
    Ok(waiting)
}
