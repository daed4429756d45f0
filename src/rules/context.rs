//! One question with all that its rules look at: who asks, what for, under which settings, at which time.

use std::sync::Arc;

use crate::model::access_decision::Actor;
use crate::model::access_request::{Action, AllowedRequest, RefChanges};
use crate::model::directory::{Directory, DirectoryError};
use crate::model::record::Settings;
use crate::model::time::Time;
use crate::rules::actor::resolve_actor;
use crate::rules::repository::{RepositoryLookup, find_repository};

/// What is to be decided. Found once; every rule reads it and none changes it.
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct DecisionContext<'a> {
    pub directory: &'a dyn Directory,
    pub request: &'a AllowedRequest,
    pub now: Time,
    pub settings: Arc<Settings>,
    pub actor: Actor,
    pub lookup: RepositoryLookup,
}

impl<'a> DecisionContext<'a> {
    /// Reads what the question names.
    pub fn load(directory: &'a dyn Directory, request: &'a AllowedRequest, now: Time) -> Result<Self, DirectoryError> {
        let settings = directory.settings()?;
        let actor = resolve_actor(directory, &request.claimed_actor)?;
        let lookup = find_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())?;
        Ok(Self { directory, request, now, settings, actor, lookup })
    }

    /// Whether this is a push.
    #[must_use]
    pub fn is_push(&self) -> bool {
        self.request.action == Action::ReceivePack
    }

    /// Whether the changes are known: the second question of a push, which Gitaly asks.
    #[must_use]
    pub const fn has_known_changes(&self) -> bool {
        matches!(self.request.changes, RefChanges::Listed(_))
    }
}
