//! One question with all that its rules look at: who asks, what for, under which settings, at which time.

use std::sync::Arc;

use crate::model::directory::{Directory, Fault};
use crate::model::question::{Action, Changes, Question};
use crate::model::record::Settings;
use crate::model::time::Time;
use crate::model::verdict::Actor;
use crate::rules::actor::identify;
use crate::rules::repository::{Sought, find};

/// What is to be decided. Found once; every rule reads it and none changes it.
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct Case<'a> {
    pub directory: &'a dyn Directory,
    pub question: &'a Question,
    pub now: Time,
    pub settings: Arc<Settings>,
    pub actor: Actor,
    pub sought: Sought,
}

impl<'a> Case<'a> {
    /// Reads what the question names.
    pub fn of(directory: &'a dyn Directory, question: &'a Question, now: Time) -> Result<Self, Fault> {
        let settings = directory.settings()?;
        let actor = identify(directory, &question.claimant)?;
        let sought = find(directory, question.gl_repository.as_deref(), question.project.as_deref())?;
        Ok(Self { directory, question, now, settings, actor, sought })
    }

    /// Whether this is a push.
    #[must_use]
    pub fn pushes(&self) -> bool {
        self.question.action == Action::ReceivePack
    }

    /// Whether the changes are known: the second question of a push, which Gitaly asks.
    #[must_use]
    pub const fn is_the_hook(&self) -> bool {
        matches!(self.question.changes, Changes::Real(_))
    }
}
