//! Judges answers by what was revoked when. Pure: everything is an argument, and no judgement depends on how fast anything ran.
//!
//! A yes is as old as the time from the commit of the revocation to the moment before the question was asked: the host decided after that.
//! So a yes that is too old was wrong, however slow the machine was.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::random_revocations::answer::{Answer, Question, Source, Verdict};
use crate::random_revocations::fault::Fault;
use crate::random_revocations::fleet::Bounds;
use crate::random_revocations::operator::Revocation;

/// How long the primary may take to answer a question (`primary.timeout`): who joins an equal question gets an answer as old as that.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a revocation takes to a host that the primary reaches.
const REACHED: Duration = Duration::from_secs(1);
/// Ages and log lines are in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(10);
/// How long after `--wait` a yes may arrive that was asked for before it: from the host to us, and no longer.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// What is known of the run besides answers and revocations.
pub struct Context<'a> {
    /// The bounds of each host.
    pub bounds: &'a [Bounds],
    /// Of each host, when it stood still.
    pub pauses: &'a [Vec<(Duration, Duration)>],
    /// When this program itself got no processor for a while.
    pub stalls: &'a [(Duration, Duration)],
    /// Whether no fault was there, so that nothing may be called an outage.
    pub calm: bool,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A yes to what was asked after `--wait` had said that no host says yes any more.
    YesAfterWait,
    /// A yes to what was asked before, and that came long after.
    YesInFlightAfterWait,
    /// A yes that is older than the bound that is printed for it.
    YesBeyondBound { age: Duration, bound: Duration },
    /// A no to somebody who has lost nothing.
    WrongNo,
    /// An outage without a fault.
    OutageInCalm,
    /// A status that says neither yes nor no, nor that it cannot be known.
    UnexpectedStatus(u16),
}

/// What was found about one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The revocation that it is about, if it is about one.
    pub revocation: Option<usize>,
    pub violation: Violation,
}

/// The oldest yes of one source after a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldestYes {
    pub age: Duration,
    pub bound: Duration,
}

/// Revocations by person.
pub struct Judge<'a> {
    revocations: &'a [Revocation],
    by_person: BTreeMap<u64, Vec<usize>>,
}

impl<'a> Judge<'a> {
    pub fn new(revocations: &'a [Revocation]) -> Self {
        let mut by_person: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, revocation) in revocations.iter().enumerate() {
            by_person.entry(revocation.person).or_default().push(index);
        }
        Self { revocations, by_person }
    }

    /// Judges one answer; `None` if nothing is wrong with it.
    pub fn judge(&self, answer: &Answer, context: &Context) -> Option<Finding> {
        let without_revocation = |violation| Some(Finding { revocation: None, violation });
        match answer.verdict {
            Verdict::Yes(source) => self.judge_yes(answer, source, context),
            Verdict::No => {
                let lost = self.affecting(answer).any(|(_, revocation)| revocation.began <= answer.answered);
                if lost { None } else { without_revocation(Violation::WrongNo) }
            }
            Verdict::Outage if context.calm => without_revocation(Violation::OutageInCalm),
            Verdict::Outage => None,
            Verdict::Unexpected(status) => without_revocation(Violation::UnexpectedStatus(status)),
        }
    }

    fn judge_yes(&self, answer: &Answer, source: Source, context: &Context) -> Option<Finding> {
        let found = |index, violation| Some(Finding { revocation: Some(index), violation });
        for (index, revocation) in self.in_force(answer) {
            let bound = bound(answer, source, revocation, context);
            let age = answer.asked.saturating_sub(revocation.committed);
            let binds_from = revocation.binds_from().unwrap_or(Duration::MAX);
            if answer.asked >= binds_from {
                return found(index, Violation::YesAfterWait);
            }
            if age > bound + ROUNDING {
                return found(index, Violation::YesBeyondBound { age, bound });
            }
            let late = answer.answered.saturating_sub(binds_from);
            if late > IN_FLIGHT + stood_still(answer.host, [answer.asked, answer.answered], context) {
                return found(index, Violation::YesInFlightAfterWait);
            }
        }
        None
    }

    /// The revocation that a yes came after, and how old the yes was; `None` if it came after none.
    pub fn oldest_yes(&self, answer: &Answer, context: &Context) -> Option<(usize, Source, OldestYes)> {
        let Verdict::Yes(source) = answer.verdict else { return None };
        let aged = self.in_force(answer).filter(|(_, revocation)| answer.asked >= revocation.committed);
        let (index, revocation) = aged.max_by_key(|(_, revocation)| answer.asked - revocation.committed)?;
        let bound = bound(answer, source, revocation, context);
        Some((index, source, OldestYes { age: answer.asked - revocation.committed, bound }))
    }

    /// The revocations that change this answer.
    fn affecting(&self, answer: &Answer) -> impl Iterator<Item = (usize, &'a Revocation)> {
        let indices = self.by_person.get(&answer.person).map(Vec::as_slice).unwrap_or_default();
        let question = answer.question;
        let all = indices.iter().map(|index| (*index, &self.revocations[*index]));
        all.filter(move |(_, revocation)| revocation.removal.affects(question)).collect::<Vec<_>>().into_iter()
    }

    /// Those of them that no restored primary had forgotten when the answer came.
    fn in_force(&self, answer: &Answer) -> impl Iterator<Item = (usize, &'a Revocation)> {
        let answered = answer.answered;
        self.affecting(answer).filter(move |(_, revocation)| revocation.undone.is_none_or(|undone| answered < undone))
    }
}

/// The bound that is stated for a yes of this source after this revocation.
fn bound(answer: &Answer, source: Source, revocation: &Revocation, context: &Context) -> Duration {
    let bounds = &context.bounds[answer.host];
    let limits = match answer.question {
        Question::Key => bounds.keys,
        Question::Pull => bounds.reads,
        Question::Push => bounds.push,
    };
    let of_source = match source {
        Source::Fresh => Duration::from_millis(limits.ttl),
        Source::Stale => Duration::from_millis(limits.max_stale),
        Source::Primary => QUESTION_TIMEOUT,
    };
    if revocation.fault == Fault::None.name() {
        return of_source.min(REACHED + stood_still(answer.host, [revocation.committed, answer.asked], context));
    }
    of_source
}

/// How much of a time a host, or this program, stood still.
fn stood_still(host: usize, [from, to]: [Duration; 2], context: &Context) -> Duration {
    let within = |(began, ended): &(Duration, Duration)| (*ended).min(to).saturating_sub((*began).max(from));
    let pauses = context.pauses.get(host).into_iter().flatten().map(within);
    pauses.chain(context.stalls.iter().map(within)).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Context, Judge, Violation};
    use crate::random_revocations::answer::{Answer, Question, Source, Verdict};
    use crate::random_revocations::directory::Removal;
    use crate::random_revocations::fleet::{Bounds, Limits};
    use crate::random_revocations::operator::Revocation;

    const LIMITS: Limits = Limits { ttl: 2_000, max_stale: 6_000 };
    const BOUNDS: [Bounds; 1] = [Bounds { keys: LIMITS, reads: LIMITS, push: LIMITS }];

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Person 7 loses something: begun at 10 s, committed at 11 s, in force everywhere at 20 s.
    fn revocation(removal: Removal) -> Revocation {
        Revocation {
            person: 7,
            removal,
            fault: "link cut",
            began: seconds(10),
            committed: seconds(11),
            ended: seconds(20),
            wait_exit: Some(0),
            undone: None,
        }
    }

    fn answer(asked: u64, verdict: Verdict) -> Answer {
        let [asked, answered] = [seconds(asked), seconds(asked) + Duration::from_millis(5)];
        Answer { host: 0, person: 7, question: Question::Key, asked, answered, verdict, said_age: None }
    }

    fn violation(revocation: &Revocation, answer: Answer, calm: bool) -> Option<Violation> {
        let context = Context { bounds: &BOUNDS, pauses: &[Vec::new()], stalls: &[], calm };
        Judge::new(std::slice::from_ref(revocation)).judge(&answer, &context).map(|finding| finding.violation)
    }

    #[test]
    fn a_yes_is_as_old_as_its_source_may_make_it_and_none_is_given_after_wait() {
        let revoked = revocation(Removal::Key);
        let beyond = |age, bound| Some(Violation::YesBeyondBound { age: seconds(age), bound: seconds(bound) });
        for (asked, source, expected) in [
            (9, Source::Fresh, None),
            (13, Source::Fresh, None),
            (14, Source::Fresh, beyond(3, 2)),
            (14, Source::Primary, beyond(3, 2)),
            (17, Source::Stale, None),
            (18, Source::Stale, beyond(7, 6)),
            (21, Source::Stale, Some(Violation::YesAfterWait)),
        ] {
            assert_eq!(violation(&revoked, answer(asked, Verdict::Yes(source)), false), expected, "{asked} {source:?}");
        }
        let unconfirmed = Revocation { wait_exit: Some(3), ..revoked };
        assert_eq!(violation(&unconfirmed, answer(21, Verdict::Yes(Source::Stale)), false), beyond(10, 6));
    }

    #[test]
    fn without_a_fault_no_yes_comes_after_a_second() {
        let reached = Revocation { fault: "none", wait_exit: None, ..revocation(Removal::Key) };
        assert_eq!(violation(&reached, answer(12, Verdict::Yes(Source::Fresh)), true), None);
        let late = Some(Violation::YesBeyondBound { age: seconds(2), bound: seconds(1) });
        assert_eq!(violation(&reached, answer(13, Verdict::Yes(Source::Fresh)), true), late);
    }

    #[test]
    fn a_yes_that_was_under_way_comes_no_later_than_it_takes_to_send_it() {
        let revoked = Revocation { committed: seconds(19), ..revocation(Removal::Key) };
        let late = |answered| Answer { answered: seconds(answered), ..answer(19, Verdict::Yes(Source::Stale)) };
        assert_eq!(violation(&revoked, late(21), false), None);
        assert_eq!(violation(&revoked, late(22), false), Some(Violation::YesInFlightAfterWait));
    }

    #[test]
    fn what_a_restored_primary_has_forgotten_is_a_yes_again() {
        let forgotten = Revocation { undone: Some(seconds(30)), ..revocation(Removal::Key) };
        assert_eq!(violation(&forgotten, answer(29, Verdict::Yes(Source::Fresh)), false), Some(Violation::YesAfterWait));
        assert_eq!(violation(&forgotten, answer(30, Verdict::Yes(Source::Fresh)), false), None);
    }

    #[test]
    fn a_no_is_wrong_before_a_revocation_and_where_it_takes_nothing_away() {
        let revoked = revocation(Removal::Block);
        assert_eq!(violation(&revoked, answer(50, Verdict::No), false), Some(Violation::WrongNo), "a blocked user's key is known");
        let pull = |asked| Answer { question: Question::Pull, ..answer(asked, Verdict::No) };
        assert_eq!(violation(&revoked, pull(9), false), Some(Violation::WrongNo));
        assert_eq!(violation(&revoked, pull(10), false), None);
    }

    #[test]
    fn an_outage_needs_a_fault_and_no_other_status_is_right() {
        let revoked = revocation(Removal::Key);
        assert_eq!(violation(&revoked, answer(5, Verdict::Outage), false), None);
        assert_eq!(violation(&revoked, answer(5, Verdict::Outage), true), Some(Violation::OutageInCalm));
        assert_eq!(violation(&revoked, answer(5, Verdict::Unexpected(500)), false), Some(Violation::UnexpectedStatus(500)));
    }
}
