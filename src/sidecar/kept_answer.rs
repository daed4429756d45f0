//! Answers a question from what is kept, or asks the primary, in front of a primary without a feed.
//!
//! A fresh yes is given. Above its `ttl` the primary is asked, and the yes is given if it fails, or after a little if it is slow
//! ([`hedge`](crate::sidecar::hedge)). Equal questions are asked once, by a task of its own that keeps or takes back what the answer says
//! before anybody sees it: whoever hangs up, the answer counts.
//!
//! In shadow mode the primary is always asked, and what is kept is given in no case.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::api::error::ApiError;
use crate::api::request::RequestTime;
use crate::api::response_headers::{mark_cached, mark_degraded, mark_forwarded, mark_mass_negative};
use crate::model::clock;
use crate::net::message::Response;
use crate::sidecar::hedge::{HedgedOutcome, give_held_yes_meanwhile, hedge_wait};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::found::{Found, HeldAnswer};
use crate::sidecar::kept::metrics::LookupOutcome;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::record::YesOutcome;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::kept::shadow::Shadow;
use crate::sidecar::refused_askers;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::DecisionKind;
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};

/// Whether a question is asked of which nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// It is.
    Always,
    /// Only within this host's budget of questions about what a followed mirror does not have.
    Budgeted,
}

/// Answers a question, from what is kept where that is allowed.
pub async fn answer(state: &Arc<SidecarState>, kept: &KeptService, question: KeptQuestion, time: RequestTime) -> Response {
    let subject = question.request_subject();
    let answered = answer_within(state, kept, question, time, Asking::Always).await;
    answered.unwrap_or_else(|error| error.query_response(subject))
}

/// As [`answer`]; fails for a question beyond the budget, which was not asked.
pub async fn answer_within(
    state: &Arc<SidecarState>,
    kept: &KeptService,
    question: KeptQuestion,
    time: RequestTime,
    asking: Asking,
) -> Result<Response, UpstreamError> {
    kept.answers.wait_until_open().await;
    let question = Arc::new(question);
    let found = refused_askers::find(state, kept, &question, time);
    if let Some(shadow) = &kept.shadow {
        return Ok(ask_and_compare(state, kept, shadow, &question, &found, time).await);
    }
    let outcome = match give_unasked(kept, &question, found) {
        Ok(response) => return Ok(response),
        Err(Some(held)) => match ask_beside_kept_yes(state, kept, &question, held.age).await {
            HedgedOutcome::Held(response) => return Ok(response),
            HedgedOutcome::Asked(outcome) => outcome,
        },
        Err(None) => match ask_of_nothing_kept(state, kept, &question, asking).await {
            Ok(outcome) => outcome,
            Err(found) => return Ok(found),
        },
    };
    match outcome {
        QueryOutcome::Failed(error) if error.cause == FailureCause::TooManyMisses => Err(error),
        outcome => Ok(give_outcome(state, kept, &question, outcome)),
    }
}

/// Gives what may be given without asking; else returns the yes that is too old for that, if there is one.
fn give_unasked(kept: &KeptService, question: &Arc<KeptQuestion>, found: Found) -> Result<Response, Option<HeldAnswer>> {
    match found {
        Found::Fresh(held) => Ok(give_fresh(kept, question, held)),
        Found::GivenBack(held) => Ok(give_back(kept, question, held)),
        Found::Unknown(age) => Ok(give_unknown(kept, question, age)),
        Found::Stale(held) => Err(Some(held)),
        Found::Nothing => Err(None),
    }
}

/// Asks what nothing is kept of. What came meanwhile, by an equal question that has just ended, is given instead, as `Err`.
async fn ask_of_nothing_kept(
    state: &Arc<SidecarState>,
    kept: &KeptService,
    question: &Arc<KeptQuestion>,
    asking: Asking,
) -> Result<QueryOutcome, Response> {
    let asked = Arc::new(question.without_yes());
    let look_again = || match kept.answers.find(question, RequestTime::now()) {
        Found::Stale(_) | Found::Nothing => None,
        found => Some(found),
    };
    let found = match ask_unless(state, kept, Arc::clone(&asked), question.miss_class(), asking, look_again).await {
        Ok(outcome) => return Ok(outcome),
        Err(found) => found,
    };
    if !refused_askers::is_refused(state, kept, question, RequestTime::now())
        && let Ok(response) = give_unasked(kept, question, found)
    {
        return Err(response);
    }
    Ok(ask_as(state, kept, asked, question.miss_class(), asking).await)
}

/// Gives what the primary said, or what is kept where it failed, or where it does not know most keys.
pub fn give_outcome(state: &SidecarState, kept: &KeptService, question: &KeptQuestion, outcome: QueryOutcome) -> Response {
    let now = RequestTime::now();
    if matches!(&outcome, QueryOutcome::Decided(decision) if decision.kind == DecisionKind::No)
        && let Some(held) = kept.answers.given_back(question, now)
        && !refused_askers::is_asker_refused(state, kept, question, now)
    {
        return give_back(kept, question, held);
    }
    if matches!(outcome, QueryOutcome::Failed(_))
        && let Some(response) = give_held(state, kept, question)
    {
        return response;
    }
    give_asked(kept, question, outcome)
}

/// Gives what the primary said, or why it said nothing.
fn give_asked(kept: &KeptService, question: &KeptQuestion, outcome: QueryOutcome) -> Response {
    kept.answers.metrics.count_lookup(question.kind, LookupOutcome::Asked);
    match outcome {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => error.query_response(question.request_subject()),
    }
}

/// Asks as if nothing was kept, and compares the answer with what was found.
async fn ask_and_compare(
    state: &Arc<SidecarState>,
    kept: &KeptService,
    shadow: &Shadow,
    question: &KeptQuestion,
    found: &Found,
    time: RequestTime,
) -> Response {
    let is_known = matches!(found, Found::Fresh(_) | Found::Stale(_));
    let class = if is_known { RequestClass::Other } else { question.miss_class() };
    let outcome = ask(state, kept, Arc::new(question.without_yes()), class).await;
    shadow.compare(question, found, &outcome, time);
    give_asked(kept, question, outcome)
}

pub fn give_fresh(kept: &KeptService, question: &Arc<KeptQuestion>, held: HeldAnswer) -> Response {
    kept.schedule_refresh(question, &held, fastrand::f64());
    kept.answers.metrics.count_lookup(question.kind, LookupOutcome::Fresh);
    response_of(&held)
}

pub fn give_unknown(kept: &KeptService, question: &KeptQuestion, age: Duration) -> Response {
    kept.answers.metrics.count_lookup(question.kind, LookupOutcome::Unknown);
    mark_cached(ApiError::not_found("Key").into_response(), Some(age))
}

/// Gives a yes in place of the no of a primary that does not know most keys.
pub fn give_back(kept: &KeptService, question: &KeptQuestion, held: HeldAnswer) -> Response {
    kept.answers.metrics.count_lookup(question.kind, LookupOutcome::Stale);
    kept.answers.metrics.given_back.inc();
    mark_mass_negative(response_of(&held))
}

fn response_of(held: &HeldAnswer) -> Response {
    let response = match held.body.expand() {
        Some(body) => Response::json(StatusCode::OK, body),
        None => ApiError::internal("a kept answer cannot be decompressed").into_response(),
    };
    mark_cached(response, Some(held.age))
}

/// Gives what is kept at this moment, without the primary's answer.
fn give_held(state: &SidecarState, kept: &KeptService, question: &KeptQuestion) -> Option<Response> {
    let (held, is_fresh) = match refused_askers::find(state, kept, question, RequestTime::now()) {
        Found::Fresh(held) => (held, true),
        Found::Stale(held) => (held, false),
        Found::GivenBack(held) => return Some(give_back(kept, question, held)),
        Found::Unknown(_) | Found::Nothing => return None,
    };
    kept.answers.metrics.count_lookup(question.kind, if is_fresh { LookupOutcome::Fresh } else { LookupOutcome::Stale });
    let response = response_of(&held);
    Some(if is_fresh { response } else { mark_degraded(response) })
}

/// Asks the primary a question to which a yes of this age is kept.
async fn ask_beside_kept_yes(state: &Arc<SidecarState>, kept: &KeptService, question: &Arc<KeptQuestion>, age: Duration) -> HedgedOutcome {
    let given = Arc::new(AtomicBool::new(false));
    let asking = {
        let (state, question, given) = (Arc::clone(state), Arc::clone(question), Arc::clone(&given));
        async move {
            let Some(kept) = &state.kept else { return state.upstream.task_failed() };
            let outcome = ask(&state, kept, question, RequestClass::Other).await;
            if matches!(&outcome, QueryOutcome::Decided(decision) if decision.kind == DecisionKind::No) && given.load(Ordering::SeqCst) {
                state.hedge_metrics.late_denials.inc();
            }
            outcome
        }
    };
    let wait = hedge_wait(state, state.config.freshness_policy.is_hedged(question.kind.freshness_class(), age));
    give_held_yes_meanwhile(state, asking, Some(wait), &given, || give_held(state, kept, question)).await
}

/// Asks the primary, or waits for the answer to an equal question that is under way.
pub async fn ask(state: &Arc<SidecarState>, kept: &KeptService, question: Arc<KeptQuestion>, class: RequestClass) -> QueryOutcome {
    ask_as(state, kept, question, class, Asking::Always).await
}

async fn ask_as(
    state: &Arc<SidecarState>,
    kept: &KeptService,
    question: Arc<KeptQuestion>,
    class: RequestClass,
    asking: Asking,
) -> QueryOutcome {
    match ask_unless(state, kept, question, class, asking, || None::<Infallible>).await {
        Ok(outcome) => outcome,
        Err(never) => match never {},
    }
}

/// As [`ask_as`], unless no equal question is under way and `ready` has something.
async fn ask_unless<T>(
    state: &Arc<SidecarState>,
    kept: &KeptService,
    question: Arc<KeptQuestion>,
    class: RequestClass,
    asking: Asking,
    ready: impl FnOnce() -> Option<T>,
) -> Result<QueryOutcome, T> {
    let flight = (question.key, kept.answers.last_revocation(&question), question.query.time_limit);
    let (asking_state, answers) = (Arc::clone(state), Arc::clone(&kept.answers));
    let ask_first = move || async move {
        // Whoever joins a question under way costs nothing.
        if asking == Asking::Budgeted && !asking_state.admit_miss() {
            return asking_state.upstream.too_many_misses();
        }
        ask_and_record(asking_state, answers, question, class).await
    };
    let outcome = kept.flights.run_unless(flight, ready, ask_first).await?;
    Ok(outcome.unwrap_or_else(|| state.upstream.task_failed()))
}

/// Asks, and keeps or takes back what the answer says. A yes from before a revocation is asked for again, as often as the time limit lets
/// it.
async fn ask_and_record(
    state: Arc<SidecarState>,
    kept: Arc<KeptAnswers>,
    question: Arc<KeptQuestion>,
    class: RequestClass,
) -> QueryOutcome {
    let deadline = Instant::now() + state.upstream.time_limit(&question.query);
    let mut is_overtaken = false;
    loop {
        let asked = kept.begin_question(clock::boot_time());
        let asking = state.upstream.ask_once(&question.query, class);
        // The first try has a time limit of its own, and says itself why there is no answer.
        let outcome = match is_overtaken {
            false => asking.await,
            true => match timeout_at(deadline, asking).await {
                Ok(outcome) => outcome,
                Err(_late) => return state.upstream.access_changed(),
            },
        };
        if let QueryOutcome::Decided(decision) = &outcome {
            match decision.kind {
                DecisionKind::Yes if kept.record_yes(&question, decision, asked, RequestTime::now()) == YesOutcome::Overtaken => {
                    if Instant::now() >= deadline {
                        return state.upstream.access_changed();
                    }
                    is_overtaken = true;
                    continue;
                }
                DecisionKind::No => kept.record_no(&question, decision, asked.proven_at, RequestTime::now()).await,
                DecisionKind::Yes | DecisionKind::Rejected => {}
            }
        }
        return outcome;
    }
}
