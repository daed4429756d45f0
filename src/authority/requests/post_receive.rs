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
use crate::model::time::Time;
use crate::model::verdict::{Actor, Repository};
use crate::net::message::Reply;
use crate::rules::{actor, post_receive as rules, repository};
use crate::store::generation::Damage;
use crate::store::ledger::Ledger;
use crate::wire::post_receive as spelled;

/// Counts the push down and answers with the messages.
pub async fn post_receive(house: &Arc<Authority>, call: Call) -> Answered {
    let pushed = spelled::read(&call.params)?;
    let (store, now) = (house.store.clone(), call.now);
    let body = blocking(move || {
        let directory = store.directory();
        let repository = repository::find(&directory, Some(&pushed.gl_repository), None)?.repository;
        let broadcasts = withheld::broadcasts(store.ledger())?;
        let mut messages = rules::messages(&pushed, repository.as_ref(), &*directory.settings()?, &broadcasts, now);
        let actor = actor::identify(&directory, &pushed.claimant)?;
        let taken = end(store.ledger(), &pushed.gl_repository, &actor, repository.as_ref(), now);
        let decreased = taken.is_ok();
        match taken {
            Ok(waiting) => waiting.into_iter().for_each(|text| messages.basic(text)),
            Err(damage) => tracing::error!(%damage, "the end of a push could not be counted"),
        }
        Ok::<_, Refusal>(spelled::answered(&messages, decreased))
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, body))
}

/// Counts the push down and takes what waits for this person's push to this repository, which is shown once: both, or nothing. Blocks.
fn end(ledger: &Ledger, word: &str, actor: &Actor, repository: Option<&Repository>, now: Time) -> Result<Vec<String>, Damage> {
    let (decreased, waiting) = ledger.update(|ledger| {
        let (mut writes, decreased) = references::decreasing(ledger, word, now)?;
        let mut waiting = Vec::new();
        if let (Actor::User(user, _), Some(repository)) = (actor, repository) {
            let (gone, texts) = messages::taking(ledger, user.id, &repository.word(), now)?;
            writes.entries.extend(gone.entries);
            waiting = texts;
        }
        Ok::<_, Damage>((writes, (decreased, waiting)))
    })?;
    if decreased == Decreased::BelowZero {
        tracing::warn!(gl_repository = word, "a push ended that was not counted when it began, or more than ten minutes ago");
    }
    Ok(waiting)
}
