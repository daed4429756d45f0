//! Whom a kept answer about access is not given although it is young enough: who is blocked, or whose key has expired, by the followed
//! directory. They are asked about; a no is the GitLab's to give.

use crate::api::request::RequestTime;
use crate::model::freshness::FreshnessClass;
use crate::model::kept_answer::KeptKind;
use crate::rules::subject_state::is_any_refused;
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::state::SidecarState;

/// Returns what is kept for a question and may be given: nothing about access for whom the followed directory knows as refused.
pub fn find(state: &SidecarState, kept: &KeptService, question: &KeptQuestion, time: RequestTime) -> Found {
    match kept.answers.find(question, time) {
        Found::Fresh(_) | Found::Stale(_) | Found::GivenBack(_) if is_asker_refused(state, kept, question, time) => Found::Nothing,
        found => found,
    }
}

/// Returns whether nothing that is kept may be given to a question about access: the followed directory, unless it is too old to answer
/// anything, refuses who asks. One that cannot be read refuses everybody.
pub fn is_asker_refused(state: &SidecarState, kept: &KeptService, question: &KeptQuestion, time: RequestTime) -> bool {
    let is_asker_refused = is_refused(state, kept, question, time);
    if let Some(mirror) = state.mirror.as_ref().filter(|_| is_asker_refused) {
        mirror.not_given.inc();
    }
    is_asker_refused
}

/// As [`is_asker_refused`], for whoever only looks: it is not counted.
pub fn is_refused(state: &SidecarState, kept: &KeptService, question: &KeptQuestion, time: RequestTime) -> bool {
    if state.mirror.is_none() || !matches!(question.kind, KeptKind::Pull | KeptKind::Push) {
        return false;
    }
    let Some(view) = state.current_view(FreshnessClass::Keys, time).view else { return false };
    let subjects = kept.answers.subjects(question.key);
    let refused = is_any_refused(&*view.directory, question.asker.iter().chain(&subjects), time.wall);
    refused.unwrap_or_else(|error| {
        tracing::error!(%error, "failed to read the followed directory, asking the primary about access: {error}");
        true
    })
}
