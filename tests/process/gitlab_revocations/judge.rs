//! Judges answers by what was taken away when. Pure: everything is an argument, and no judgement depends on how fast anything ran.
//!
//! A yes is as old as the time from the moment at which the GitLab had carried a removal out to the moment before the question was asked.
//! So a yes that is too old was wrong, however slow the machine was.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::gitlab_revocations::people::{Question, Removal, Source, Verdict};

/// After how long a kept yes is given while the GitLab is asked (`freshness.hedge`).
pub const HEDGE: Duration = Duration::from_millis(150);
/// How long a question may take (`primary.timeout`): who joins an equal question gets an answer as old as that.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// For how long a yes comes back after the no of a GitLab that does not know most keys (`freshness.mass_negative.hold`).
pub const HOLD: Duration = Duration::from_millis(1_500);
/// Below how many times its `ttl` a kept yes is given to a GitLab that is slower than `hedge`.
const HEDGED_TTLS: u32 = 10;

/// How the GitLab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// It answers in 50 ms.
    Fast,
    /// It answers in 400 ms.
    Slow,
    /// It fails, or the host has found it failing.
    Down,
    /// It answers in 50 ms and knows nobody.
    OtherDatabase,
}

/// How long a class of answers may be given.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub ttl: Duration,
    pub max_stale: Duration,
}

/// The limits of the classes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub keys: Limits,
    pub reads: Limits,
    pub push: Limits,
}

/// One answer. Times are boot time.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub person: u64,
    pub question: Question,
    /// Read before the connection was made.
    pub asked: Duration,
    /// Read after the last byte of the response.
    pub answered: Duration,
    pub verdict: Verdict,
}

/// What was taken away.
#[derive(Clone, Copy, Debug)]
pub struct Revocation {
    pub removal: Removal,
    /// Read before it was begun at the GitLab.
    pub began: Duration,
    /// Read when the GitLab had done it.
    pub committed: Duration,
    /// When `sidegate invalidate` had said that nothing of it is kept any more, if it was run.
    pub invalidated: Option<Duration>,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A yes that is older than the bound that is printed for it.
    YesBeyondBound { age: Duration, bound: Duration },
    /// A yes to what was asked after somebody had been told no.
    YesAfterNo,
    /// A yes to what was asked after `sidegate invalidate`.
    YesAfterInvalidation,
    /// A no to somebody who has lost nothing.
    WrongNo,
    /// A status that says neither yes nor no, nor that it cannot be known.
    UnexpectedStatus(u16),
}

/// The age of a yes after a removal, and how old it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YesAge {
    pub age: Duration,
    pub bound: Duration,
}

/// What is known of the episode besides answers.
pub struct Context<'a> {
    pub bounds: &'a Bounds,
    pub condition: Condition,
    /// Boot times between which the host stood still.
    pub pauses: &'a [(Duration, Duration)],
}

/// What was taken away, and what people have been told since.
#[derive(Default)]
pub struct Judge {
    revocations: BTreeMap<u64, Revocation>,
    /// When a no had arrived that came after the removal.
    told_no: BTreeMap<(u64, Question), Duration>,
    /// When a yes had arrived that came back.
    given_back: BTreeMap<(u64, Question), Duration>,
}

impl Judge {
    /// Notes what was taken away from somebody.
    pub fn revoked(&mut self, person: u64, revocation: Revocation) {
        self.revocations.insert(person, revocation);
    }

    pub fn revocation(&self, person: u64) -> Option<&Revocation> {
        self.revocations.get(&person)
    }

    /// Judges answers in the order in which they arrived; returns what is wrong with each.
    pub fn judge(&mut self, answer: &Answer, context: &Context) -> Option<Violation> {
        let lost = self.revocations.get(&answer.person).copied().filter(|lost| lost.removal.affects(answer.question));
        match (answer.verdict, lost) {
            (Verdict::Unexpected(status), _) => Some(Violation::UnexpectedStatus(status)),
            (Verdict::Outage, _) | (Verdict::Yes(_), None) => None,
            (Verdict::Yes(source), Some(lost)) => self.judge_yes(answer, source, &lost, context),
            (Verdict::No, Some(lost)) if lost.began <= answer.answered => {
                if answer.asked >= lost.committed {
                    self.told_no.entry((answer.person, answer.question)).or_insert(answer.answered);
                }
                None
            }
            (Verdict::No, _) => (context.condition != Condition::OtherDatabase).then_some(Violation::WrongNo),
        }
    }

    fn judge_yes(&mut self, answer: &Answer, source: Source, lost: &Revocation, context: &Context) -> Option<Violation> {
        let YesAge { age, bound } = yes_age(answer, source, lost, context)?;
        let asked_after = |time: Option<&Duration>| time.is_some_and(|time| answer.asked >= *time);
        let key = (answer.person, answer.question);
        if asked_after(lost.invalidated.as_ref()) {
            return Some(Violation::YesAfterInvalidation);
        }
        if source == Source::GivenBack {
            let first = *self.given_back.entry(key).or_insert(answer.answered);
            let since = answer.asked.saturating_sub(first);
            return (age > bound || since > HOLD).then_some(Violation::YesBeyondBound { age: age.max(since), bound: bound.min(HOLD) });
        }
        if asked_after(self.told_no.get(&key)) && context.condition != Condition::OtherDatabase {
            return Some(Violation::YesAfterNo);
        }
        (age > bound).then_some(Violation::YesBeyondBound { age, bound })
    }
}

/// Returns how old a yes is and may be; `None` if it was asked for before the removal.
pub fn yes_age(answer: &Answer, source: Source, lost: &Revocation, context: &Context) -> Option<YesAge> {
    let age = answer.asked.checked_sub(lost.committed)?;
    let limits = context.bounds.of(answer.question);
    let waited = answer.answered.saturating_sub(answer.asked);
    let bound = match (source, context.condition) {
        (Source::Fresh, _) => limits.ttl,
        (Source::GivenBack, _) | (Source::Stale, Condition::Down) => limits.max_stale,
        (Source::Stale, Condition::Fast | Condition::OtherDatabase) if waited < HEDGE => limits.ttl,
        (Source::Stale, _) => limits.ttl * HEDGED_TTLS,
        (Source::Forwarded, _) => QUESTION_TIMEOUT + stood_still(answer, context.pauses),
    };
    Some(YesAge { age, bound })
}

fn stood_still(answer: &Answer, pauses: &[(Duration, Duration)]) -> Duration {
    let near = |(from, to): &&(Duration, Duration)| *from <= answer.answered && *to + QUESTION_TIMEOUT >= answer.asked;
    pauses.iter().filter(near).map(|(from, to)| *to - *from).sum()
}

impl Bounds {
    pub fn of(&self, question: Question) -> Limits {
        match question {
            Question::Key | Question::Discover => self.keys,
            Question::Pull(_) => self.reads,
            Question::Push(_) => self.push,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitlab_revocations::people::Actor;

    const PULL: Question = Question::Pull(Actor::Key);

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// Judges what was asked so many milliseconds after a user was blocked, and answered at once.
    fn judged(judge: &mut Judge, asked: u64, verdict: Verdict, condition: Condition) -> Option<Violation> {
        let class = Limits { ttl: millis(100), max_stale: millis(5_000) };
        let bounds = Bounds { keys: class, reads: class, push: class };
        let asked = millis(10_000 + asked);
        let answer = Answer { person: 7, question: PULL, asked, answered: asked, verdict };
        judge.judge(&answer, &Context { bounds: &bounds, condition, pauses: &[] })
    }

    fn blocked(invalidated: Option<Duration>) -> Judge {
        let mut judge = Judge::default();
        judge.revoked(7, Revocation { removal: Removal::Block, began: millis(9_990), committed: millis(10_000), invalidated });
        judge
    }

    #[test]
    fn a_yes_is_judged_by_its_source_and_by_how_the_gitlab_is() {
        for (source, condition, bound) in [
            (Source::Fresh, Condition::Fast, 100),
            (Source::Fresh, Condition::Down, 100),
            (Source::Stale, Condition::Fast, 100),
            (Source::Stale, Condition::Slow, 1_000),
            (Source::Stale, Condition::Down, 5_000),
            (Source::Forwarded, Condition::Fast, 3_000),
        ] {
            let judged = |asked| judged(&mut blocked(None), asked, Verdict::Yes(source), condition);
            assert_eq!(judged(bound), None, "{source:?} {condition:?}");
            let expected = Violation::YesBeyondBound { age: millis(bound + 1), bound: millis(bound) };
            assert_eq!(judged(bound + 1), Some(expected), "{source:?} {condition:?}");
        }
    }

    #[test]
    fn nobody_who_was_told_no_or_invalidated_is_told_yes() {
        let yes = Verdict::Yes(Source::Fresh);
        let mut judge = blocked(None);
        assert_eq!(judged(&mut judge, 10, Verdict::No, Condition::Fast), None);
        assert_eq!(judged(&mut judge, 9, yes, Condition::Fast), None, "it was asked before the no had arrived");
        assert_eq!(judged(&mut judge, 11, yes, Condition::Fast), Some(Violation::YesAfterNo));
        let mut judge = blocked(Some(millis(10_050)));
        assert_eq!(judged(&mut judge, 49, yes, Condition::Fast), None);
        assert_eq!(judged(&mut judge, 50, yes, Condition::Fast), Some(Violation::YesAfterInvalidation));
    }

    #[test]
    fn what_comes_back_does_so_for_the_hold_and_within_the_bound() {
        let back = Verdict::Yes(Source::GivenBack);
        let mut judge = blocked(None);
        assert_eq!(judged(&mut judge, 2_000, back, Condition::OtherDatabase), None);
        assert_eq!(judged(&mut judge, 3_500, back, Condition::OtherDatabase), None);
        assert!(judged(&mut judge, 3_501, back, Condition::OtherDatabase).is_some());
        assert!(judged(&mut blocked(None), 5_001, back, Condition::OtherDatabase).is_some());
    }

    #[test]
    fn a_no_needs_a_removal_and_no_other_status_is_right() {
        assert_eq!(judged(&mut Judge::default(), 5, Verdict::No, Condition::Down), Some(Violation::WrongNo));
        assert_eq!(judged(&mut Judge::default(), 5, Verdict::No, Condition::OtherDatabase), None);
        assert_eq!(judged(&mut blocked(None), 5, Verdict::Outage, Condition::Fast), None);
        assert_eq!(judged(&mut blocked(None), 5, Verdict::Unexpected(502), Condition::Fast), Some(Violation::UnexpectedStatus(502)));
    }
}
