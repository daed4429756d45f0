//! What a run has found, by how the GitLab was: how many were revoked, and the oldest yes of each source with its bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use crate::gitlab_revocations::judge::{Answer, Condition, Context, Judge, Violation, YesAge, yes_age};
use crate::gitlab_revocations::people::{Source, Verdict};

/// How many findings of an episode are described.
const DESCRIBED_PER_EPISODE: usize = 6;

#[derive(Default)]
struct Tally {
    revocations: usize,
    answers: usize,
    /// The oldest yes of each source, as a part of its bound.
    oldest: BTreeMap<Source, YesAge>,
}

/// The report of a run.
#[derive(Default)]
pub struct Report {
    tallies: BTreeMap<Condition, Tally>,
    violations: BTreeMap<String, usize>,
    /// From whom something was taken, and about whom an answer was wrong.
    wrong_people: BTreeSet<u64>,
    /// Wrong answers about people who had lost nothing.
    other_wrong: usize,
    /// Answers: yes, no, outage, and any other.
    answers: [usize; 4],
}

impl Report {
    /// Judges the answers of an episode, in the order in which they arrived.
    pub fn add_episode(&mut self, what: &str, revoked: usize, judge: &mut Judge, answers: &mut [Answer], context: &Context) {
        answers.sort_by_key(|answer| answer.answered);
        let tally = self.tallies.entry(context.condition).or_default();
        tally.revocations += revoked;
        tally.answers += answers.len();
        let mut described = 0;
        for answer in &*answers {
            self.answers[place(answer.verdict)] += 1;
            if let Some((source, yes)) = age_of(answer, judge, context) {
                let oldest = tally.oldest.entry(source).or_insert(yes);
                if share(yes) > share(*oldest) {
                    *oldest = yes;
                }
            }
            if let Some(violation) = judge.judge(answer, context) {
                if described < DESCRIBED_PER_EPISODE {
                    described += 1;
                    eprintln!("  WRONG: {what}: {}", describe(answer, violation, judge));
                }
                match judge.revocation(answer.person) {
                    Some(_) => drop(self.wrong_people.insert(answer.person)),
                    None => self.other_wrong += 1,
                }
                *self.violations.entry(format!("{:?}: {}", context.condition, name(violation))).or_default() += 1;
            }
        }
    }

    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Returns whether a yes from this source was given after a removal: else nothing was shown about it.
    pub fn saw(&self, condition: Condition, source: Source) -> bool {
        self.tallies.get(&condition).is_some_and(|tally| tally.oldest.contains_key(&source))
    }

    /// Returns how many of so many revocations passed, and how many failed, with a wrong answer about anybody else as one more.
    pub fn summary(&self, revocations: u64) -> String {
        let failed = self.wrong_people.len() as u64;
        format!("{} passed, {} failed\n", revocations - failed, failed + u64::from(self.other_wrong > 0))
    }

    /// Returns the table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let [yes, no, outage, other] = self.answers;
        let _ = writeln!(text, "{} answers: {yes} yes, {no} no, {outage} cannot be known, {other} other", yes + no + outage + other);
        let columns = ["kept, fresh", "kept, stale", "came back", "GitLab's own"];
        let _ = write!(text, "{:<14} {:>7} {:>8}", "the GitLab", "revoked", "answers");
        for column in columns {
            let _ = write!(text, " {column:>18}");
        }
        let _ = writeln!(text);
        for (condition, tally) in &self.tallies {
            let _ = write!(text, "{:<14} {:>7} {:>8}", format!("{condition:?}"), tally.revocations, tally.answers);
            for source in [Source::Fresh, Source::Stale, Source::GivenBack, Source::Forwarded] {
                let oldest = tally
                    .oldest
                    .get(&source)
                    .map_or_else(|| "none".to_owned(), |yes| format!("{:.3} of {:.2} s", yes.age.as_secs_f64(), yes.bound.as_secs_f64()));
                let _ = write!(text, " {oldest:>18}");
            }
            let _ = writeln!(text);
        }
        for (violation, count) in &self.violations {
            let _ = writeln!(text, "WRONG: {violation}: {count} times");
        }
        text
    }
}

fn place(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Yes(_) => 0,
        Verdict::No => 1,
        Verdict::Outage => 2,
        Verdict::Unexpected(_) => 3,
    }
}

fn age_of(answer: &Answer, judge: &Judge, context: &Context) -> Option<(Source, YesAge)> {
    let Verdict::Yes(source) = answer.verdict else { return None };
    let lost = judge.revocation(answer.person).filter(|lost| lost.removal.affects(answer.question))?;
    Some((source, yes_age(answer, source, lost, context)?))
}

fn share(yes: YesAge) -> f64 {
    yes.age.as_secs_f64() / yes.bound.max(Duration::from_millis(1)).as_secs_f64()
}

fn name(violation: Violation) -> String {
    match violation {
        Violation::YesBeyondBound { .. } => "YesBeyondBound".to_owned(),
        other => format!("{other:?}"),
    }
}

fn describe(answer: &Answer, violation: Violation, judge: &Judge) -> String {
    let Answer { person, question, asked, answered, verdict } = answer;
    let took = answered.saturating_sub(*asked);
    let asked = asked.as_secs_f64();
    let mut text = format!("{violation:?}: person {person}, {question:?}, {verdict:?}, asked at {asked:.3} s, took {took:?}");
    if let Some(lost) = judge.revocation(*person) {
        let [began, committed] = [lost.began, lost.committed].map(|time| time.as_secs_f64());
        let _ = write!(text, "; {:?} begun {began:.3}, committed {committed:.3}, invalidated {:?}", lost.removal, lost.invalidated);
    }
    text
}
