//! Asking the primary while this host holds a yes: known people do not wait for a primary that is slow.
//!
//! The question has a task of its own. It is waited for a little, then the held yes is given while the question goes on; its no counts
//! whenever it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::model::clock;
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules::refusal_reason::{RefusedParty, refused_party};
use crate::sidecar::denials::{DeniedSubject, Holder};
use crate::sidecar::local_view::LocalView;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{Decision, DecisionKind, QueryKind};
use crate::sidecar::upstream::query::UpstreamQuery;

/// The outcome of a question that was asked while a yes is held.
pub enum HedgedOutcome {
    /// The primary does not answer, or not in time: the held yes.
    Held(Response),
    /// What the primary said, or why it said nothing.
    Asked(QueryOutcome),
}

/// A question to which this host has a yes.
pub struct KnownQuestion {
    /// The question to the primary.
    pub query: UpstreamQuery,
    /// Whom the yes is about.
    pub holder: Holder,
    /// How long the primary is waited for before the yes is given; `None` if it may not be given while the question is under way.
    pub wait: Option<Duration>,
}

/// Returns how long the primary is waited for before a held yes is given: `hedge` while the proof is younger than ten `ttl`s, else as long
/// as a question may take.
pub fn wait_limit(state: &SidecarState, view: &LocalView, class: FreshnessClass) -> Duration {
    let policy = &state.config.freshness_policy;
    let is_young = view.exchange_age.is_some_and(|age| policy.is_hedged(class, age));
    hedge_wait(state, is_young && !state.denials.is_full(view.exchange_proven_at))
}

/// Returns how long a primary is waited for that may be slow, or as long as a question may take.
pub fn hedge_wait(state: &SidecarState, may_hedge: bool) -> Duration {
    let timeout = state.config.timeout;
    if may_hedge { state.config.freshness_policy.hedge.min(timeout) } else { timeout }
}

/// Asks the primary a question to which this host has a yes, and keeps a no. What is waited for is as in [`give_held_yes_meanwhile`].
pub async fn ask_beside_held_yes(
    state: &Arc<SidecarState>,
    known: KnownQuestion,
    held_yes: impl Fn() -> Option<Response>,
) -> HedgedOutcome {
    let KnownQuestion { query, holder, wait } = known;
    let given = Arc::new(AtomicBool::new(false));
    let asking = ask_and_note_denial(Arc::clone(state), query, holder, Arc::clone(&given));
    give_held_yes_meanwhile(state, asking, wait, &given, held_yes).await
}

/// Runs a question in a task of its own; while the primary is found not to answer, only `held_yes`. Once it has been waited for, `held_yes`
/// is asked what is known at that moment, and `given` says that it was given; if that is no yes any more, the primary is waited for on.
pub async fn give_held_yes_meanwhile(
    state: &Arc<SidecarState>,
    asking: impl Future<Output = QueryOutcome> + Send + 'static,
    wait: Option<Duration>,
    given: &AtomicBool,
    held_yes: impl Fn() -> Option<Response>,
) -> HedgedOutcome {
    if wait.is_some()
        && state.upstream.is_failing()
        && let Some(response) = held_yes()
    {
        return HedgedOutcome::Held(response);
    }
    let mut asking = tokio::spawn(asking);
    if let Some(limit) = wait {
        match timeout(limit, &mut asking).await {
            Ok(outcome) => return HedgedOutcome::Asked(outcome.unwrap_or_else(|_| state.upstream.task_failed())),
            Err(_late) => {
                if let Some(response) = held_yes() {
                    given.store(true, Ordering::SeqCst);
                    state.hedge_metrics.count_hedged(clock::wall_time());
                    return HedgedOutcome::Held(response);
                }
            }
        }
    }
    HedgedOutcome::Asked(asking.await.unwrap_or_else(|_| state.upstream.task_failed()))
}

/// Asks, and keeps a no, which is of another opinion than the local directory.
async fn ask_and_note_denial(state: Arc<SidecarState>, query: UpstreamQuery, holder: Holder, given: Arc<AtomicBool>) -> QueryOutcome {
    let (digest, kind) = (query.digest(), query.kind.clone());
    let outcome = state.upstream.query(query, RequestClass::Other).await;
    if let QueryOutcome::Decided(decision) = &outcome
        && decision.kind == DecisionKind::No
    {
        let proven_at = state.config.replica.read().exchange_proven_at;
        let subjects = [DeniedSubject::Question(digest)].into_iter().chain(denied_holder(&kind, decision, holder));
        state.denials.record(subjects, clock::boot_time(), proven_at);
        let late = given.load(Ordering::SeqCst);
        if late {
            state.hedge_metrics.late_denials.inc();
        }
        let endpoint = kind.name();
        tracing::info!(
            endpoint,
            late,
            "the primary denies {endpoint}, which the local directory grants; it is not granted here until the feed has caught up"
        );
    }
    outcome
}

/// Returns what else a no denies: a key that the primary does not have, or the account or key that it names.
pub fn denied_holder(kind: &QueryKind, decision: &Decision, holder: Holder) -> Vec<DeniedSubject> {
    let key = holder.key.map(DeniedSubject::Key);
    let user = holder.user.map(DeniedSubject::User);
    let denied = match kind {
        QueryKind::AuthorizedKeys(_) => [key, None],
        QueryKind::Allowed if decision.status.as_u16() == 401 => match message(decision).as_deref().and_then(refused_party) {
            Some(RefusedParty::Key) => [key, None],
            Some(RefusedParty::Account) => [key, user],
            None => [None, None],
        },
        _ => [None, None],
    };
    denied.into_iter().flatten().collect()
}

/// Returns the message of a refusal.
fn message(decision: &Decision) -> Option<String> {
    let body: Value = serde_json::from_slice(&decision.body).ok()?;
    body["message"].as_str().map(str::to_owned)
}
