//! The kept answers against a model: whatever the order of asking, answering, revoking and crashing, a no evicts, and nothing that was
//! asked before a revocation is given after it.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use crate::api::request::RequestTime;
use crate::model::clock;
use crate::model::kept_answer::{KeptKind, KeptSubject};
use crate::sidecar::config::KeptBounds;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::invalidate::KeptSelector;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::record::AskedAt;
use crate::sidecar::kept::tests::fixture::{
    ROOMY, TestStore, access_no, access_question, access_yes, id, kept_in, key_no, key_question, key_yes, run,
};
use crate::sidecar::upstream::decision::{Decision, DecisionKind};

/// What happens to the kept answers, in any order.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks; the answer may come at any later step.
    Ask(Subject),
    /// The primary decides a question under way, by what it knows at this moment.
    Decide(prop::sample::Index),
    /// The answer that was decided first arrives.
    Arrive(prop::sample::Index),
    /// The primary's mind changes: about a key, a user's account, an access.
    Toggle(Fact),
    /// An operator takes back what is about a key.
    Invalidate(u64),
    /// The daemon is killed and starts again.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Key(u64),
    Access(u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fact {
    KeyRemoved(u64),
    UserBlocked(u64),
    AccessRemoved(u64, u64),
}

const KEYS: std::ops::Range<u64> = 8..12;
const PROJECTS: std::ops::Range<u64> = 1..3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let subject = prop_oneof![KEYS.prop_map(Subject::Key), (KEYS, PROJECTS).prop_map(|(key, project)| Subject::Access(key, project))];
    let fact = prop_oneof![
        KEYS.prop_map(Fact::KeyRemoved),
        (1..3_u64).prop_map(Fact::UserBlocked),
        (KEYS, PROJECTS).prop_map(|(key, project)| Fact::AccessRemoved(key, project)),
    ];
    let step = prop_oneof![
        6 => subject.prop_map(Step::Ask),
        6 => any::<prop::sample::Index>().prop_map(Step::Decide),
        8 => any::<prop::sample::Index>().prop_map(Step::Arrive),
        3 => fact.prop_map(Step::Toggle),
        1 => KEYS.prop_map(Step::Invalidate),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..150)
}

/// A question under way.
struct Asked {
    subject: Subject,
    /// The number of the step in which it was asked: the mark of its answer.
    number: usize,
    asked_at: AskedAt,
    decision: Option<Decision>,
}

/// The kept answers, a primary, and when each subject was last revoked here.
struct World {
    store: Arc<TestStore>,
    kept: Arc<KeptAnswers>,
    facts: Vec<Fact>,
    under_way: Vec<Asked>,
    /// The number of the step of the last revocation that was answered, by what it revoked.
    revoked: HashMap<Revoked, usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Revoked {
    Question(Subject),
    Key(u64),
    User(u64),
}

impl Subject {
    const fn key(self) -> u64 {
        match self {
            Self::Key(key) | Self::Access(key, _) => key,
        }
    }

    fn question(self) -> KeptQuestion {
        match self {
            Self::Key(key) => key_question(key),
            Self::Access(key, project) => access_question(key, project),
        }
    }
}

const fn user_of(key: u64) -> u64 {
    1 + key / 10
}

impl World {
    fn new(bounds: KeptBounds) -> Self {
        let store = Arc::new(TestStore::default());
        let kept = kept_in(&store, bounds);
        Self { store, kept, facts: Vec::new(), under_way: Vec::new(), revoked: HashMap::new() }
    }

    fn decide(&self, subject: Subject, mark: usize) -> Decision {
        let holds = |fact| self.facts.contains(&fact);
        match subject {
            Subject::Key(key) if holds(Fact::KeyRemoved(key)) => key_no(),
            Subject::Key(key) => key_yes(key, key, mark, Value::Null),
            Subject::Access(key, _) if holds(Fact::UserBlocked(user_of(key))) => access_no(401, "Your account has been blocked."),
            Subject::Access(key, project) if holds(Fact::AccessRemoved(key, project)) || holds(Fact::KeyRemoved(key)) => {
                access_no(404, "The project you were looking for could not be found.")
            }
            Subject::Access(key, project) => access_yes(key, project, mark),
        }
    }

    /// Records an arrived answer. What a no revokes, by what is known before it, counts from this step on.
    fn arrive(&mut self, asked: Asked, decision: &Decision, step: usize) {
        let question = asked.subject.question();
        if decision.kind == DecisionKind::Yes {
            let _given_or_asked_again = self.kept.record_yes(&question, decision, asked.asked_at, RequestTime::now());
            return;
        }
        let key = asked.subject.key();
        let mut revoked = vec![Revoked::Question(asked.subject)];
        match asked.subject {
            Subject::Key(_) if self.kept.body(&question).is_some() => revoked.push(Revoked::Key(key)),
            Subject::Access(..) if decision.status == 401 => {
                revoked.push(Revoked::Key(key));
                let knows_user = self.kept.with_index(|index, _| index.about(&KeptSubject::Key(id(key))).any(is_access));
                revoked.extend(knows_user.then(|| Revoked::User(user_of(key))));
            }
            _ => {}
        }
        run(self.kept.record_no(&question, decision, asked.asked_at.proven_at, RequestTime::now()));
        self.revoked.extend(revoked.into_iter().map(|what| (what, step)));
    }

    fn take(&mut self, step: &Step, number: usize, bounds: KeptBounds) {
        match step {
            Step::Ask(subject) => self.under_way.push(Asked {
                subject: *subject,
                number,
                asked_at: self.kept.begin_question(clock::boot_time()),
                decision: None,
            }),
            Step::Decide(which) if !self.under_way.is_empty() => {
                let asked = which.index(self.under_way.len());
                let Asked { subject, number, .. } = self.under_way[asked];
                self.under_way[asked].decision = Some(self.decide(subject, number));
            }
            Step::Arrive(which) if !self.under_way.is_empty() => {
                let index = which.index(self.under_way.len());
                let mut asked = self.under_way.remove(index);
                if let Some(decision) = asked.decision.take() {
                    self.arrive(asked, &decision, number);
                }
            }
            Step::Decide(_) | Step::Arrive(_) => {}
            Step::Toggle(fact) => match self.facts.iter().position(|known| known == fact) {
                Some(index) => drop(self.facts.swap_remove(index)),
                None => self.facts.push(*fact),
            },
            Step::Invalidate(key) => {
                run(self.kept.invalidate(&KeptSelector::Subject(KeptSubject::Key(id(*key)))));
                self.revoked.insert(Revoked::Key(*key), number);
            }
            Step::Crash => {
                self.under_way.clear();
                self.kept = kept_in(&self.store, bounds);
            }
        }
    }

    /// Fails if a yes is given that was asked for before something that it is about was revoked.
    fn check(&self) -> Result<(), TestCaseError> {
        let accesses = KEYS.flat_map(|key| PROJECTS.map(move |project| Subject::Access(key, project)));
        for subject in KEYS.map(Subject::Key).chain(accesses) {
            let Found::Fresh(held) = self.kept.find(&subject.question(), RequestTime::now()) else { continue };
            let body: Value = serde_json::from_slice(&held.body.expand().unwrap()).unwrap();
            let asked = body["mark"].as_u64().or_else(|| body["title"].as_str()?.parse().ok()).unwrap();
            let about = [Some(Revoked::Question(subject)), Some(Revoked::Key(subject.key())), user_revocation(subject)];
            for revoked in about.into_iter().flatten().filter_map(|what| self.revoked.get(&what)) {
                prop_assert!(asked > *revoked as u64, "{subject:?} is answered as in step {asked}, revoked in step {revoked}");
            }
        }
        Ok(())
    }
}

fn is_access(place: &crate::sidecar::kept::index::Place) -> bool {
    place.answer.kind == KeptKind::Pull
}

fn user_revocation(subject: Subject) -> Option<Revoked> {
    matches!(subject, Subject::Access(..)).then(|| Revoked::User(user_of(subject.key())))
}

proptest! {
    #[test]
    fn a_no_evicts_and_nothing_in_flight_overtakes_a_revocation_also_over_a_crash(steps in steps(), is_small: bool) {
        let bounds = if is_small { KeptBounds { answers: 300, bytes: 4 << 10 } } else { ROOMY };
        let mut world = World::new(bounds);
        for (number, step) in steps.iter().enumerate() {
            world.take(step, number, bounds);
            world.check()?;
        }
    }
}
