//! Answers a question about a key or a user in front of a GitLab whose mirror is followed.
//!
//! What the followed directory has is given while it is fresh. While it is stale the GitLab is asked first, and the directory's yes is given
//! if it fails, or after a little if it is slow ([`hedge`](crate::sidecar::hedge)). What the directory does not have is asked of the GitLab
//! also while it is fresh, since a key may have been added a moment ago: within the host's budget, beyond which the directory's no
//! counts while it is fresh. Where the directory has expired or was never loaded, this host answers as in front of any GitLab
//! ([`kept_answer`]).
//!
//! A no of the GitLab about what the directory has counts until the GitLab says yes again: the feed of a mirror proves the mirror's last
//! look, and not that nothing was removed since. The use of such a key is reported, so that the mirror looks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::api::request::RequestTime;
use crate::api::response_headers::mark_local;
use crate::model::clock;
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::sidecar::denials::{DeniedSubject, Holder};
use crate::sidecar::hedge::{HedgedOutcome, denied_holder, give_held_yes_meanwhile, wait_limit};
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::kept_answer::{self, Asking};
use crate::sidecar::local_answer::{LocalAnswer, mark_by_age};
use crate::sidecar::local_view::LocalView;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{Decision, DecisionKind};

/// A question about a key or a user, to the directory and to the GitLab.
pub struct FollowedQuestion<L> {
    /// Looks it up in the directory.
    pub look_up: L,
    /// The question to the GitLab.
    pub question: KeptQuestion,
}

/// What the directory says, and what follows from it.
enum Verdict {
    /// It says yes, and is fresh.
    Give(Response, Holder),
    /// It says yes: the GitLab is asked. The yes may be given after so long, or not at all as long as the GitLab's no counts.
    Known(Holder, Option<Duration>),
    /// It does not have it.
    Missing,
    /// Nothing may be answered from it.
    Unusable,
}

/// Answers from the directory where that is allowed, else as the GitLab does.
pub async fn answer<L>(state: &Arc<SidecarState>, kept: &KeptService, followed: FollowedQuestion<L>, time: RequestTime) -> Response
where
    L: Fn(&LocalView) -> LocalAnswer,
{
    let view = state.local_view(FreshnessClass::Keys, time).await;
    let age = view.age;
    let verdict = followed.judge(state, &view);
    drop(view);
    match verdict {
        Verdict::Give(response, holder) => {
            state.usage.record_key(holder.key, time);
            mark_local(response, age)
        }
        Verdict::Known(holder, wait) => followed.ask_about_known(state, kept, holder, wait, time).await,
        Verdict::Missing => followed.ask_about_missing(state, kept, time).await,
        Verdict::Unusable => kept_answer::answer(state, kept, followed.question, time).await,
    }
}

impl<L: Fn(&LocalView) -> LocalAnswer> FollowedQuestion<L> {
    fn judge(&self, state: &SidecarState, view: &LocalView) -> Verdict {
        match (self.look_up)(view) {
            LocalAnswer::Yes(response, holder) => match self.is_denied(state, holder) {
                false if view.is_fresh() => Verdict::Give(response, holder),
                false => Verdict::Known(holder, Some(wait_limit(state, view, FreshnessClass::Keys))),
                true => Verdict::Known(holder, None),
            },
            LocalAnswer::No(_) => Verdict::Missing,
            LocalAnswer::Unavailable if view.view.is_some() => Verdict::Missing,
            LocalAnswer::Unavailable => Verdict::Unusable,
        }
    }

    /// Returns whether the GitLab has denied what the directory grants, and not said yes since.
    fn is_denied(&self, state: &SidecarState, holder: Holder) -> bool {
        state.denials.denies(|| self.question.query.digest(), holder, None)
    }

    /// Asks the GitLab about what the directory has.
    async fn ask_about_known(
        &self,
        state: &Arc<SidecarState>,
        kept: &KeptService,
        holder: Holder,
        wait: Option<Duration>,
        time: RequestTime,
    ) -> Response {
        kept.answers.wait_until_open().await;
        let question = Arc::new(self.question.clone());
        match kept.answers.find(&question, time) {
            // The GitLab's own word, and younger than the directory's.
            Found::Fresh(held) => return kept_answer::give_fresh(kept, &question, held),
            Found::GivenBack(held) => return kept_answer::give_back(kept, &question, held),
            Found::Unknown(age) => return kept_answer::give_unknown(kept, &question, age),
            Found::Stale(_) | Found::Nothing => {}
        }
        let given = AtomicBool::new(false);
        let asking = ask_and_note_denial(Arc::clone(state), Arc::clone(&question), holder);
        let outcome = match give_held_yes_meanwhile(state, asking, wait, &given, || self.held_yes(state)).await {
            HedgedOutcome::Held(response) => return response,
            HedgedOutcome::Asked(outcome) => outcome,
        };
        if matches!(outcome, QueryOutcome::Failed(_))
            && let Some(response) = self.held_yes(state)
        {
            return response;
        }
        kept_answer::give_outcome(state, kept, &question, outcome)
    }

    /// Answers yes by what the directory says at this moment.
    fn held_yes(&self, state: &SidecarState) -> Option<Response> {
        let time = RequestTime::now();
        let view = state.current_view(FreshnessClass::Keys, time);
        let LocalAnswer::Yes(response, holder) = (self.look_up)(&view) else { return None };
        if self.is_denied(state, holder) {
            return None;
        }
        state.usage.record_key(holder.key, time);
        Some(mark_by_age(response, &view))
    }

    /// Asks the GitLab about what the directory does not have. Beyond the budget, the directory's no counts while it is fresh.
    async fn ask_about_missing(self, state: &Arc<SidecarState>, kept: &KeptService, time: RequestTime) -> Response {
        let asked = kept_answer::answer_within(state, kept, self.question, time, Asking::Budgeted).await;
        let error = match asked {
            Ok(response) => return response,
            Err(error) => error,
        };
        let view = state.current_view(FreshnessClass::Keys, RequestTime::now());
        match (self.look_up)(&view) {
            LocalAnswer::No(response) if view.may_deny() && view.is_fresh() => mark_local(response, view.age),
            _ => error.query_response(RequestSubject::Login),
        }
    }
}

/// Asks the GitLab, and notes what it says of whom the directory has.
async fn ask_and_note_denial(state: Arc<SidecarState>, question: Arc<KeptQuestion>, holder: Holder) -> QueryOutcome {
    let Some(kept) = &state.kept else { return state.upstream.task_failed() };
    let outcome = kept_answer::ask(&state, kept, Arc::clone(&question), RequestClass::Other).await;
    if let QueryOutcome::Decided(decision) = &outcome {
        note_decision(&state, &question, decision, holder);
    }
    outcome
}

fn note_decision(state: &SidecarState, question: &KeptQuestion, decision: &Decision, holder: Holder) {
    let denied = denied_holder(&question.query.kind, decision, holder);
    let subjects = [DeniedSubject::Question(question.query.digest())].into_iter().chain(denied);
    match decision.kind {
        DecisionKind::Yes => state.denials.lift(subjects),
        DecisionKind::No => {
            let endpoint = question.query.kind.name();
            tracing::info!(endpoint, "GitLab denies {endpoint}, which its mirror's feed has; it is asked each time until it says yes");
            state.denials.record(subjects, clock::boot_time(), state.config.replica.read().exchange_proven_at);
            state.usage.record_denied_key(holder.key, RequestTime::now());
        }
        DecisionKind::Rejected => {}
    }
}
