//! What a run has found, by fault: how many revocations, what `--wait` exited with, and the oldest yes of each source with its bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use crate::random_revocations::answer::{Answer, Source, Verdict};
use crate::random_revocations::judge::{Context, Finding, Judge, OldestYes, Violation};
use crate::random_revocations::operator::Revocation;

/// How many findings of an episode are described.
const DESCRIBED_PER_EPISODE: usize = 6;

/// What revocations met one fault.
#[derive(Default)]
struct FaultTally {
    /// The oldest yes that was fresh, stale, and the primary's.
    oldest: [Option<OldestYes>; 3],
    /// How long the fleet took to recover, at most.
    recovery: Duration,
    wrong: usize,
}

/// The report of a run.
#[derive(Default)]
pub struct Report {
    faults: BTreeMap<&'static str, FaultTally>,
    /// Revocations with a finding, by index.
    wrong_revocations: BTreeSet<usize>,
    /// Findings that are about no revocation, by fault and kind of finding.
    other_findings: BTreeMap<String, usize>,
    /// Answers: yes, no, outage, and any other.
    answers: [usize; 4],
    /// Yes answers to what was asked after `--wait` had exited with 0.
    yes_after_wait: usize,
}

impl Report {
    /// Judges the answers of an episode.
    pub fn add_episode(&mut self, fault: &'static str, revocations: &[Revocation], answers: &[Answer], context: &Context) {
        let judge = Judge::new(revocations);
        let mut described = 0;
        for answer in answers {
            self.count(answer);
            if let Some((index, source, yes)) = judge.oldest_yes(answer, context) {
                let oldest = &mut self.faults.entry(revocations[index].fault).or_default().oldest[source as usize];
                if oldest.is_none_or(|oldest| oldest.age < yes.age) {
                    *oldest = Some(yes);
                }
            }
            if let Some(finding) = judge.judge(answer, context) {
                if described < DESCRIBED_PER_EPISODE {
                    described += 1;
                    eprintln!("  WRONG: {}", describe(&finding, answer, revocations));
                }
                self.add_finding(fault, &finding, revocations);
            }
        }
    }

    /// Notes how long the fleet took to recover, or why it did not.
    pub fn add_recovery(&mut self, fault: &'static str, recovered: Result<Duration, String>) {
        match recovered {
            Ok(time) => {
                let tally = self.faults.entry(fault).or_default();
                tally.recovery = tally.recovery.max(time);
            }
            Err(missing) => {
                eprintln!("  WRONG: after \"{fault}\" the fleet does not recover: {missing}");
                *self.other_findings.entry(format!("{fault}: did not recover")).or_default() += 1;
            }
        }
    }

    /// Returns whether nothing wrong was found so far.
    pub fn is_clean(&self) -> bool {
        self.wrong_revocations.is_empty() && self.other_findings.is_empty()
    }

    fn count(&mut self, answer: &Answer) {
        let place = match answer.verdict {
            Verdict::Yes(_) => 0,
            Verdict::No => 1,
            Verdict::Outage => 2,
            Verdict::Unexpected(_) => 3,
        };
        self.answers[place] += 1;
    }

    fn add_finding(&mut self, fault: &'static str, finding: &Finding, revocations: &[Revocation]) {
        self.yes_after_wait += usize::from(finding.violation == Violation::YesAfterWait);
        match finding.revocation {
            Some(index) => {
                self.wrong_revocations.insert(index);
                self.faults.entry(revocations[index].fault).or_default().wrong += 1;
            }
            None => *self.other_findings.entry(format!("{fault}: {:?}", finding.violation)).or_default() += 1,
        }
    }

    /// Returns the table, and how many passed and failed.
    pub fn finish(&self, revocations: &[Revocation]) -> String {
        let mut text = String::new();
        let again = revocations.iter().filter(|revocation| revocation.undone.is_some()).count();
        let [yes, no, outage, other] = self.answers;
        let _ = writeln!(text, "{} revocations, {again} of them forgotten by a restore and said again", revocations.len());
        let _ = writeln!(text, "{} answers: {yes} yes, {no} no, {outage} cannot be known, {other} other", yes + no + outage + other);
        let _ = writeln!(
            text,
            "{:<24} {:>5} {:>12} {:>18} {:>18} {:>18} {:>9}",
            "fault", "count", "--wait: 0/3", "oldest fresh yes", "oldest stale yes", "primary's yes", "recovery"
        );
        for (fault, tally) in &self.faults {
            let of_fault: Vec<&Revocation> = revocations.iter().filter(|revocation| revocation.fault == *fault).collect();
            let exits = |code| of_fault.iter().filter(|revocation| revocation.wait_exit == Some(code)).count();
            let waits = format!("{}/{}", exits(0), exits(3));
            let [fresh, stale, primary] = tally.oldest.map(format_oldest);
            let wrong = if tally.wrong == 0 { String::new() } else { format!("  {} WRONG", tally.wrong) };
            let recovery = tally.recovery.as_secs_f64();
            let _ = writeln!(
                text,
                "{fault:<24} {:>5} {waits:>12} {fresh:>18} {stale:>18} {primary:>18} {recovery:>7.1} s{wrong}",
                of_fault.len()
            );
        }
        for (finding, count) in &self.other_findings {
            let _ = writeln!(text, "WRONG: {finding}: {count} times");
        }
        let confirmed = revocations.iter().filter(|revocation| revocation.binds_from().is_some()).count();
        let _ = writeln!(text, "{confirmed} times --wait exited with 0; yes to what was asked afterwards: {}", self.yes_after_wait);
        let failed = self.wrong_revocations.len();
        let _ = writeln!(text, "{} passed, {} failed", revocations.len() - failed, failed + self.other_findings.len());
        text
    }
}

fn format_oldest(oldest: Option<OldestYes>) -> String {
    oldest.map_or_else(|| "none".to_owned(), |yes| format!("{:.3} of {:.1} s", yes.age.as_secs_f64(), yes.bound.as_secs_f64()))
}

fn describe(finding: &Finding, answer: &Answer, revocations: &[Revocation]) -> String {
    let Answer { host, person, question, asked, answered, verdict, said_age } = answer;
    let took = answered.saturating_sub(*asked);
    let host = host + 1;
    let mut text = format!(
        "{:?}: host {host}, person {person}, {question:?}, {verdict:?}, asked at {:.3} s, took {took:?}, says it is {said_age:?} s old",
        finding.violation,
        asked.as_secs_f64()
    );
    if let Some(revocation) = finding.revocation.map(|index| &revocations[index]) {
        let [began, committed, ended] = [revocation.began, revocation.committed, revocation.ended].map(|time| time.as_secs_f64());
        let (removal, exit, fault) = (revocation.removal, revocation.wait_exit, revocation.fault);
        let _ = write!(
            text,
            "; {removal:?} revoked in \"{fault}\", begun {began:.3}, committed {committed:.3}, ended {ended:.3}, --wait {exit:?}"
        );
    }
    text
}

// The index of a source in a tally.
const _: () = assert!(Source::Fresh as usize == 0 && Source::Stale as usize == 1 && Source::Primary as usize == 2);
