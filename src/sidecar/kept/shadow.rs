//! Shadow mode: the primary is asked for everything and its answer is given, and here it is compared with what would have been said from
//! what is kept. So an operator sees before a switch how many questions it would save, and whether its answers would be right.
//!
//! What is kept grows older as it would without shadow mode: while it would be given without asking, the primary's equal answer does not
//! renew it, until the last moment at which it would have been asked for again (see [`KeptMode::Shadow`]). A no takes back what is kept in
//! either mode, so a difference is counted once, where a host that is not in shadow mode could repeat it until `ttl`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::api::request::RequestTime;
use crate::model::kept_answer::{AnswerOrigin, KeptKind, KeptSubject};
use crate::model::key::Fingerprint;
use crate::net::log_limiter::LogLimiter;
use crate::sidecar::config::{FreshnessPolicy, KeptMode};
use crate::sidecar::kept::agreement::differing_field;
use crate::sidecar::kept::found::{Found, HeldAnswer};
use crate::sidecar::kept::question::{AskedRepository, KeptQuestion};
use crate::sidecar::kept::refresh_queue::TO_SHARE;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::decision::{Decision, DecisionKind, QueryKind};

/// What a host that is not in shadow mode would have done with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Answered it without asking.
    Answer,
    /// Asked it.
    Ask,
    /// Answered it from what is kept, although the primary failed.
    AnswerInOutage,
    /// Told that the primary cannot be reached.
    RefuseInOutage,
}

/// How old the answer was that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AgeBand {
    /// It would have been given without asking.
    Fresh,
    /// It would have been given only if the primary was slower than `hedge`.
    Hedged,
    /// It would have been given only if the primary failed.
    Stale,
    /// A key that the primary did not know a moment ago.
    Unknown,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// None: both say the same.
    Agrees,
    /// The primary says no, or yes where the kept answer says no.
    Verdict,
    /// Both say yes, to another effect: the field that differs.
    Field(&'static str),
}

/// The comparisons of one run.
pub struct Shadow {
    policy: FreshnessPolicy,
    choices: [[Counter; Choice::ALL.len()]; KeptKind::ALL.len()],
    /// For each kind and age: how many agreed, and how many differed.
    comparisons: [[[Counter; 2]; AgeBand::ALL.len()]; KeptKind::ALL.len()],
    log: LogLimiter,
}

impl Choice {
    const ALL: [Self; 4] = [Self::Answer, Self::Ask, Self::AnswerInOutage, Self::RefuseInOutage];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answered",
            Self::Ask => "asked",
            Self::AnswerInOutage => "outage_answered",
            Self::RefuseInOutage => "outage_refused",
        }
    }
}

impl AgeBand {
    const ALL: [Self; 4] = [Self::Fresh, Self::Hedged, Self::Stale, Self::Unknown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Hedged => "hedged",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

impl Shadow {
    /// Creates the counters and registers them; `None` where what is kept is given.
    pub fn register(mode: KeptMode, policy: FreshnessPolicy, registry: &mut Registry) -> Option<Self> {
        if mode == KeptMode::Answer {
            return None;
        }
        let choices: Family<[(&'static str, &'static str); 2], Counter> = Family::default();
        let comparisons: Family<[(&'static str, &'static str); 3], Counter> = Family::default();
        let help = "Questions in shadow mode, by what would have been done with them";
        registry.register("sidegate_shadow_questions", help, choices.clone());
        let help = "Answers of the primary compared with what is kept, by the age of that";
        registry.register("sidegate_shadow_comparisons", help, comparisons.clone());
        let choice =
            |kind: KeptKind, choice: Choice| choices.get_or_create_owned(&[("question", kind.as_str()), ("choice", choice.as_str())]);
        let comparison = |kind: KeptKind, age: AgeBand, outcome| {
            comparisons.get_or_create_owned(&[("question", kind.as_str()), ("age", age.as_str()), ("outcome", outcome)])
        };
        Some(Self {
            policy,
            choices: KeptKind::ALL.map(|kind| Choice::ALL.map(|made| choice(kind, made))),
            comparisons: KeptKind::ALL
                .map(|kind| AgeBand::ALL.map(|age| ["agrees", "differs"].map(|outcome| comparison(kind, age, outcome)))),
            log: LogLimiter::default(),
        })
    }

    /// Counts what would have been done with a question for which this was `found`, and compares it with what the primary said. A
    /// difference is logged.
    pub fn compare(&self, question: &KeptQuestion, found: &Found, outcome: &QueryOutcome, time: RequestTime) {
        let age = self.age_band(question.kind, found);
        let choice = match (outcome, age) {
            (QueryOutcome::Decided(_), Some(AgeBand::Fresh | AgeBand::Unknown)) => Choice::Answer,
            (QueryOutcome::Decided(_), _) => Choice::Ask,
            (QueryOutcome::Failed(_), Some(_)) => Choice::AnswerInOutage,
            (QueryOutcome::Failed(_), None) => Choice::RefuseInOutage,
        };
        self.choices[question.kind as usize][choice as usize].inc();
        if let (Some(age), QueryOutcome::Decided(decision)) = (age, outcome)
            && let Some(difference) = difference(question.kind, found, decision)
        {
            let differs = usize::from(difference != Difference::Agrees);
            self.comparisons[question.kind as usize][age as usize][differs].inc();
            if differs == 1 {
                self.log_difference(question, found, decision, difference, time);
            }
        }
    }

    /// Returns how old what would be given is. A yes that was used while it was fresh would have been asked for again before its `ttl`
    /// ended, so it counts as fresh until the answer to that question would have been too old.
    fn age_band(&self, kind: KeptKind, found: &Found) -> Option<AgeBand> {
        let ttl = self.policy.limits_for(kind.freshness_class()).ttl;
        match found {
            Found::Nothing => None,
            Found::Unknown(_) => Some(AgeBand::Unknown),
            Found::Fresh(_) => Some(AgeBand::Fresh),
            Found::Stale(held) if would_be_renewed(kind, held) && held.age <= ttl.mul_f64(1.0 + TO_SHARE) => Some(AgeBand::Fresh),
            Found::Stale(held) if self.policy.is_hedged(kind.freshness_class(), held.age) => Some(AgeBand::Hedged),
            Found::Stale(_) | Found::GivenBack(_) => Some(AgeBand::Stale),
        }
    }

    fn log_difference(&self, question: &KeptQuestion, found: &Found, decision: &Decision, difference: Difference, time: RequestTime) {
        let Some(suppressed) = self.log.allow(time.wall) else { return };
        let (kind, asker, repository) = (question.kind.as_str(), describe_asker(question), describe_repository(&question.repository));
        let (kept, age) = match found {
            Found::Unknown(age) => ("no", *age),
            Found::Fresh(HeldAnswer { age, .. }) | Found::Stale(HeldAnswer { age, .. }) | Found::GivenBack(HeldAnswer { age, .. }) => {
                ("yes", *age)
            }
            Found::Nothing => return,
        };
        let (status, age_seconds) = (decision.status.as_u16(), age.as_secs());
        let what = match difference {
            Difference::Field(field) => format!("another `{field}`"),
            Difference::Verdict | Difference::Agrees => format!("status {status}"),
        };
        tracing::warn!(
            question = kind,
            kept,
            age_seconds,
            status,
            suppressed,
            "shadow mode: {kind} of {asker}{repository}: what is kept says {kept} after {age_seconds} s, the primary says {what}"
        );
    }

    /// Returns the counts for the operator, by question.
    #[must_use]
    pub fn status(&self) -> Value {
        Value::Object(Map::from_iter(KeptKind::ALL.map(|kind| (kind.as_str().to_owned(), self.question_status(kind)))))
    }

    fn question_status(&self, kind: KeptKind) -> Value {
        let [answered, asked, outage_answered, outage_refused] =
            Choice::ALL.map(|choice| self.choices[kind as usize][choice as usize].get());
        let ages =
            AgeBand::ALL.map(|age| (age.as_str().to_owned(), self.comparisons[kind as usize][age as usize].each_ref().map(Counter::get)));
        let [agrees, differs] = [0, 1].map(|outcome| ages.iter().map(|(_, counts)| counts[outcome]).sum::<u64>());
        let ages = ages.map(|(age, [agrees, differs])| (age, json!({"agrees": agrees, "differs": differs})));
        json!({
            "answered": answered,
            "asked": asked,
            "hit_rate": share(answered, asked),
            "outage_answered": outage_answered,
            "outage_refused": outage_refused,
            "agreement": share(agrees, differs),
            "agrees": agrees,
            "differs": differs,
            "ages": Value::Object(Map::from_iter(ages)),
        })
    }
}

/// Returns whether an answer was used so that it would have been asked for again ahead of time.
fn would_be_renewed(kind: KeptKind, held: &HeldAnswer) -> bool {
    !held.is_first_use && held.origin == AnswerOrigin::Primary && kind.is_refreshed()
}

/// Returns which part of both the first is; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, rest: u64) -> Option<f64> {
    (part + rest > 0).then(|| part as f64 / (part + rest) as f64)
}

/// Compares what was found with a decision; `None` if the primary decided nothing about it, or nothing was found.
fn difference(kind: KeptKind, found: &Found, decision: &Decision) -> Option<Difference> {
    let held = match found {
        Found::Fresh(held) | Found::Stale(held) | Found::GivenBack(held) => Some(held),
        Found::Unknown(_) => None,
        Found::Nothing => return None,
    };
    Some(match (held, decision.kind) {
        (_, DecisionKind::Rejected) => return None,
        (None, DecisionKind::No) => Difference::Agrees,
        (None, DecisionKind::Yes) | (Some(_), DecisionKind::No) => Difference::Verdict,
        (Some(_), DecisionKind::Yes) if decision.status.as_u16() != 200 => Difference::Verdict,
        (Some(held), DecisionKind::Yes) => {
            differing_field(kind, &held.body.expand().unwrap_or_default(), &decision.body).map_or(Difference::Agrees, Difference::Field)
        }
    })
}

/// Returns who asks, for the log: a key by its fingerprint, what a caller chose in quotes.
fn describe_asker(question: &KeptQuestion) -> String {
    match (&question.query.kind, &question.asker) {
        (QueryKind::AuthorizedKeys(blob), _) => Fingerprint::of(blob).to_string(),
        (_, Some(KeptSubject::Key(id))) => format!("key {id}"),
        (_, Some(KeptSubject::User(id))) => format!("user {id}"),
        (_, Some(KeptSubject::Username(name))) => format!("user {name:?}"),
        _ => "a certificate".to_owned(),
    }
}

fn describe_repository(repository: &AskedRepository) -> String {
    match repository {
        AskedRepository::None => String::new(),
        AskedRepository::Path(path) => format!(" for {path:?}"),
        AskedRepository::GlRepository(gl_repository) => format!(" for {gl_repository:?}"),
    }
}
