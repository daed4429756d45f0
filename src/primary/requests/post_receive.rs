//! `POST internal/post_receive`: a push is written; which messages does its author get? (server.md 2.9)
//!
//! An unknown actor or repository is no reason to refuse: the push is done.

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
use crate::wire::post_receive;

/// Counts the push down and answers with the messages.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let pushed = post_receive::parse_request(&request.params)?;
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
            Err(error) => tracing::error!(%error, "failed to count the end of a push: {error}"),
        }
        Ok::<_, ApiError>(post_receive::encode_response(&messages, decreased))
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body))
}

/// Counts the push down and takes the messages that wait for this user's push to this repository: both, or nothing. Blocks.
fn finish_push(
    private_store: &PrivateStore,
    gl_repository: &str,
    actor: &Actor,
    repository: Option<&Repository>,
    now: Time,
) -> Result<Vec<String>, StoreError> {
    let (decreased, waiting) = private_store.update(|private_store| {
        let (mut writes, decreased) = reference_counter::prepare_decrement(private_store, gl_repository, now)?;
        let mut waiting = Vec::new();
        if let (Actor::User(user, _), Some(repository)) = (actor, repository) {
            let (gone, texts) = messages::prepare_take(private_store, user.id, &repository.gl_repository(), now)?;
            writes.entries.extend(gone.entries);
            waiting = texts;
        }
        Ok::<_, StoreError>((writes, (decreased, waiting)))
    })?;
    if decreased == Decrement::BelowZero {
        tracing::warn!(
            gl_repository,
            "a push to {gl_repository} ended that was not counted when it began, or began more than ten minutes ago"
        );
    }
    Ok(waiting)
}
