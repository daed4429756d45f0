//! `POST internal/post_receive`: a push is written; what is its author told? (server.md 2.9)
//!
//! Nobody known and no repository are no reason to refuse: the push is done.

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::references::{self, Decreased};
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::{messages, withheld};
use crate::model::directory::Directory as _;
use crate::model::push::{Messages, Pushed};
use crate::model::time::Time;
use crate::model::verdict::{Actor, Repository};
use crate::net::message::Reply;
use crate::rules::{actor, post_receive as rules, repository};
use crate::store::ledger::Ledger;
use crate::store::primary::PrimaryStore;
use crate::wire::post_receive as spelled;

/// Counts the push down and answers with the messages.
pub async fn post_receive(house: &Arc<Authority>, call: Call) -> Answered {
    let pushed = spelled::read(&call.params)?;
    let (store, now) = (house.store.clone(), call.now);
    let body = blocking(move || {
        let decreased = count_down(store.ledger(), &pushed.gl_repository, now);
        let messages = told(&store, &pushed, now)?;
        Ok::<_, Refusal>(spelled::answered(&messages, decreased))
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, body))
}

fn count_down(ledger: &Ledger, gl_repository: &str, now: Time) -> bool {
    match references::decrease(ledger, gl_repository, now) {
        Ok(Decreased::To(_)) => true,
        Ok(Decreased::BelowZero) => {
            tracing::warn!(gl_repository, "a push ended that was not counted when it began, or more than ten minutes ago");
            true
        }
        Err(damage) => {
            tracing::error!(%damage, "the end of a push could not be counted");
            false
        }
    }
}

fn told(store: &PrimaryStore, pushed: &Pushed, now: Time) -> Result<Messages, Refusal> {
    let directory = store.directory();
    let repository = repository::find(&directory, Some(&pushed.gl_repository), None)?.repository;
    let broadcasts = withheld::broadcasts(store.ledger())?;
    let mut messages = rules::messages(pushed, repository.as_ref(), &*directory.settings()?, &broadcasts, now);
    let actor = actor::identify(&directory, &pushed.claimant)?;
    for text in waiting(store.ledger(), &actor, repository.as_ref(), now)? {
        messages.basic(text);
    }
    Ok(messages)
}

/// What waits for this person's push to this repository; it is gone then, so that it is shown once.
fn waiting(ledger: &Ledger, actor: &Actor, repository: Option<&Repository>, now: Time) -> Result<Vec<String>, Refusal> {
    match (actor, repository) {
        (Actor::User(user, _), Some(repository)) => Ok(messages::take(ledger, user.id, &repository.word(), now)?),
        _ => Ok(Vec::new()),
    }
}
