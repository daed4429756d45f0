//! One request with all that the rules look at: the actor, the repository, the settings and the time.

use std::sync::Arc;

use crate::model::access_decision::Actor;
use crate::model::access_request::{Action, AllowedRequest, RefChanges};
use crate::model::directory::{Directory, DirectoryError};
use crate::model::record::Settings;
use crate::model::time::Time;
use crate::rules::actor::resolve_actor;
use crate::rules::repository::{RepositoryLookup, find_repository};

/// The input of every rule. Loaded once, then read only.
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
    /// Loads what the request names.
    pub fn load(directory: &'a dyn Directory, request: &'a AllowedRequest, now: Time) -> Result<Self, DirectoryError> {
        let settings = directory.settings()?;
        let actor = resolve_actor(directory, &request.claimed_actor)?;
        let lookup = find_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())?;
        Ok(Self { directory, request, now, settings, actor, lookup })
    }

    /// Returns whether this is a push.
    #[must_use]
    pub fn is_push(&self) -> bool {
        self.request.action == Action::ReceivePack
    }

    /// Returns whether the changes are listed: then this is the second request of a push, from Gitaly.
    #[must_use]
    pub const fn has_known_changes(&self) -> bool {
        matches!(self.request.changes, RefChanges::Listed(_))
    }
}
