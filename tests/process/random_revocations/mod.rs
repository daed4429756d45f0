//! Random revocations under load and faults, and whether the bound holds that is stated for them.
//!
//! A primary and its hosts run, each host behind a link of its own; keys, pulls and pushes are asked for at every host all the time. Episode
//! by episode a fault is injected and what people have is taken away meanwhile. Afterwards every answer is judged by what was revoked when:
//! no yes to what was asked after `--wait` had exited with 0; no yes older than the bound of its source; no no to who has lost nothing.
//!
//! `tests/revocations [COUNT [SEED [FAULT]]]` runs many; the test here that is not ignored runs a few.

mod answer;
mod directory;
mod fault;
mod fleet;
mod injection;
mod judge;
mod load;
mod operator;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use sidegate::model::clock;

use crate::random_revocations::directory::{People, Removal, UNTOUCHED, username};
use crate::random_revocations::fault::Fault;
use crate::random_revocations::fleet::{Copy, Fleet, now, wait};
use crate::random_revocations::injection::{clean_up, inject, new_epoch, part};
use crate::random_revocations::judge::Context;
use crate::random_revocations::load::{ASKERS_PER_HOST, Load};
use crate::random_revocations::operator::{Operator, Revocation};
use crate::random_revocations::report::Report;
use crate::support::StopOnDrop;
use crate::support::random::Random;

/// How many commands the operator runs at once.
const HANDS: usize = 10;
/// How old a copy is that knows no host's last weeks: older than what a primary adds to when it last saw a host, and the largest bound.
const OLD_COPY: Duration = Duration::from_secs(75);
/// How often a copy is taken at most.
const BETWEEN_COPIES: Duration = Duration::from_secs(30);
/// A gap after which this program counts as having stood still.
const STALL: Duration = Duration::from_millis(100);

/// What is run.
struct Plan {
    seed: u64,
    count: u64,
    per_episode: u64,
    faults: Vec<Fault>,
    /// How long a fault lasts: from, to.
    fault_time: [Duration; 2],
    /// For how many seconds a command may wait.
    waits: &'static [u64],
    /// And once in a while, where it takes longer than a primary that was just started waits for the hosts that it knows.
    patient_wait: u64,
}

/// What goes on for the whole run.
struct Run<'a> {
    plan: &'a Plan,
    fleet: &'a Fleet,
    operator: &'a Operator<'a>,
    load: &'a Load,
    stalls: &'a Mutex<Vec<(Duration, Duration)>>,
    copies: Vec<Copy>,
    report: Report,
    random: Random,
}

#[test]
fn no_revoked_access_outlives_its_bound_in_a_few_faults() {
    let plan = Plan {
        seed: 11,
        count: 18,
        per_episode: 6,
        faults: vec![Fault::CutLink, Fault::KilledPrimary, Fault::PausedHost],
        fault_time: [Duration::from_millis(800), Duration::from_millis(1_500)],
        waits: &[1],
        patient_wait: 1,
    };
    run(&plan);
}

#[test]
#[ignore = "a thousand revocations take about a quarter of an hour: tests/revocations"]
fn no_revoked_access_outlives_its_bound_in_any_fault() {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    let fault = std::env::var("SIDEGATE_REVOCATIONS_FAULT").ok().filter(|name| !name.is_empty());
    let faults = fault.map_or_else(|| Fault::ALL.to_vec(), |name| vec![Fault::by_name(&name).unwrap_or_else(|| panic!("no fault {name}"))]);
    let plan = Plan {
        seed: number("SIDEGATE_REVOCATIONS_SEED").unwrap_or_else(|| u64::from(now().subsec_nanos())),
        count: number("SIDEGATE_REVOCATIONS_COUNT").unwrap_or(1_000),
        per_episode: 20,
        faults,
        fault_time: [Duration::from_secs(4), Duration::from_secs(11)],
        waits: &[2, 4, 8],
        patient_wait: 22,
    };
    run(&plan);
}

/// Runs a plan, prints its report, and fails if anything was wrong.
fn run(plan: &Plan) {
    let begun = now();
    eprintln!("seed {}", plan.seed);
    let mut random = Random::new(plan.seed);
    let people = People::draw(plan.count, &mut random);
    let fleet = Fleet::start(&people.file(&BTreeSet::new()));
    let (operator, load, stalls) = (Operator::new(&fleet, &people), Load::default(), Mutex::default());
    *load.lost_before.write().unwrap() = UNTOUCHED;
    let report = std::thread::scope(|scope| {
        let _ends = StopOnDrop(&load.ended);
        scope.spawn(|| note_stalls(&load, &stalls));
        for (index, host) in fleet.hosts.iter().enumerate() {
            for asker in 0..ASKERS_PER_HOST {
                let (load, env) = (&load, &fleet.env);
                let random = Random::new(plan.seed ^ (asker * 8 + index as u64 + 1));
                scope.spawn(move || load.ask(env, index, &host.socket, random));
            }
        }
        let run = Run {
            plan,
            fleet: &fleet,
            operator: &operator,
            load: &load,
            stalls: &stalls,
            copies: Vec::new(),
            report: Report::default(),
            random,
        };
        run.all_episodes(&people)
    });
    let revocations = operator.revocations();
    eprintln!("{}seed {}, {:.0} s", report.finish(&revocations), plan.seed, (now() - begun).as_secs_f64());
    if !report.is_clean() {
        let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("revocations-{}.log", plan.seed));
        std::fs::write(&kept, fleet.logs()).unwrap();
        panic!("the bound does not hold; the logs of all daemons are in {}", kept.display());
    }
}

impl Run<'_> {
    fn all_episodes(mut self, people: &People) -> Report {
        let losers: Vec<u64> = people.losers().collect();
        let mut faults = Vec::new();
        for (number, group) in losers.chunks(usize::try_from(self.plan.per_episode).unwrap()).enumerate() {
            if faults.is_empty() {
                faults = self.shuffled_faults();
            }
            let fault = faults.pop().unwrap();
            let begun = now();
            self.copy_sometimes();
            self.load.losing.write().unwrap().clone_from(&group.to_vec());
            self.episode(fault, group);
            clean_up(fault, self.fleet);
            let healed = now();
            let recovered = self.fleet.wait_until_recovered().map(|()| now() - healed);
            self.report.add_recovery(fault.name(), recovered);
            *self.load.lost_before.write().unwrap() = *group.last().unwrap();
            let [from, to] = [begun, now()].map(|time| time.as_secs_f64());
            eprintln!("episode {:>2}, {}: {from:.3} to {to:.3} s", number + 1, fault.name());
            self.judge(fault);
            self.lower_bounds();
        }
        self.report
    }

    /// One fault, and revocations before, during and after it.
    fn episode(&mut self, fault: Fault, group: &[u64]) {
        let [shortest, longest] = self.plan.fault_time;
        let lead = part(shortest / 2, &mut self.random);
        // Once in a while longer than a connection may be silent.
        let times = if self.random.chance(6) { 2 } else { 1 };
        let time = (shortest + part(longest - shortest, &mut self.random)) * times;
        if fault.restores() {
            return self.restore_episode(fault, group, time);
        }
        let schedule = self.schedule(fault, group, lead + time);
        let (operator, mut random) = (self.operator, Random::new(self.random.below(u64::MAX)));
        std::thread::scope(|scope| {
            carry_out(scope, operator, &schedule, fault.name());
            wait(lead);
            inject(fault, operator, &mut random, time);
        });
    }

    /// The first half is revoked, the primary is restored from a copy that does not know of it, and all of it is revoked again with the
    /// second half, before and after the new epoch.
    fn restore_episode(&mut self, fault: Fault, group: &[u64], time: Duration) {
        let (first, second) = group.split_at(group.len() / 2);
        let schedule = self.schedule(fault, first, time / 4);
        std::thread::scope(|scope| carry_out(scope, self.operator, &schedule, fault.name()));
        let cut_off = self.random.chance(2);
        if cut_off {
            self.fleet.hosts[1].link.cut();
        }
        let is_old = |copy: &&Copy| fault == Fault::Restored || now() - copy.taken > OLD_COPY;
        let copy = self.copies.iter().rev().find(is_old).unwrap_or(&self.copies[0]);
        let forgotten_at = now();
        self.fleet.restore_primary(copy);
        let mut again = self.operator.forget_since(copy.taken, forgotten_at);
        let taken = copy.taken;
        self.copies.retain(|kept| kept.taken <= taken);
        self.fleet.start_primary();
        again.extend(second);
        self.load.losing.write().unwrap().clone_from(&again);
        let schedule = self.schedule(fault, &again, time);
        let before_new_epoch = part(time / 2, &mut self.random);
        std::thread::scope(|scope| {
            carry_out(scope, self.operator, &schedule, fault.name());
            wait(before_new_epoch);
            new_epoch(self.fleet);
            wait(time - before_new_epoch);
            self.fleet.hosts[1].heal();
        });
    }

    /// When who loses what, and for how long that is waited for.
    fn schedule(&mut self, fault: Fault, group: &[u64], window: Duration) -> Vec<Step> {
        let begun = now();
        let mut draw = |person: &u64| {
            let wait = match self.random.below(8) {
                0..2 => None,
                2 if fault.restarts_primary() => Some(self.plan.patient_wait),
                _ => Some(self.plan.waits[usize::try_from(self.random.below(self.plan.waits.len() as u64)).unwrap()]),
            };
            Step { at: begun + part(window, &mut self.random), person: *person, wait }
        };
        let mut schedule: Vec<Step> = group.iter().map(&mut draw).collect();
        schedule.sort_by_key(|step| step.at);
        schedule
    }

    fn shuffled_faults(&mut self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = self.plan.faults.iter().copied().filter(|fault| fault.is_possible(self.fleet)).collect();
        for at in (1..faults.len()).rev() {
            faults.swap(at, usize::try_from(self.random.below(at as u64 + 1)).unwrap());
        }
        faults
    }

    /// A copy is taken while the operator rests, so that each revocation is in it or is not.
    fn copy_sometimes(&mut self) {
        let needed = self.plan.faults.iter().any(|fault| fault.restores());
        if needed && self.copies.last().is_none_or(|copy| now() - copy.taken > BETWEEN_COPIES) {
            let name = format!("copy-{}", now().as_millis());
            self.copies.push(self.fleet.copy_primary(&name));
        }
    }

    fn judge(&mut self, fault: Fault) {
        let mut revocations = self.operator.revocations();
        let log = std::fs::read_to_string(self.fleet.log_path("primary.toml")).unwrap();
        date_by_log(&mut revocations, &log);
        let bounds: Vec<_> = self.fleet.hosts.iter().map(fleet::Host::bounds).collect();
        let pauses: Vec<_> = self.fleet.hosts.iter().map(|host| host.pauses.lock().unwrap().clone()).collect();
        let stalls = self.stalls.lock().unwrap().clone();
        let context = Context { bounds: &bounds, pauses: &pauses, stalls: &stalls, calm: fault == Fault::None };
        self.report.add_episode(fault.name(), &revocations, &self.load.take_answers(), &context);
    }

    /// Gives the first host back its own bounds if they were raised.
    fn lower_bounds(&mut self) {
        if self.fleet.lower_bounds() {
            self.report.add_recovery(Fault::RaisedBounds.name(), self.fleet.wait_until_recovered().map(|()| Duration::ZERO));
        }
    }
}

/// One command of the operator.
struct Step {
    at: Duration,
    person: u64,
    wait: Option<u64>,
}

fn carry_out<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    operator: &'scope Operator,
    schedule: &'scope [Step],
    fault: &'static str,
) {
    for hand in 0..HANDS {
        scope.spawn(move || {
            for step in schedule.iter().skip(hand).step_by(HANDS) {
                wait(step.at.saturating_sub(now()));
                operator.revoke(step.person, step.wait, fault);
            }
        });
    }
}

/// Dates each revocation by the line that the primary logged just after its commit: a command that waits ends long after it.
fn date_by_log(revocations: &mut [Revocation], log: &str) {
    let mut logged: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    // The log and the offset are in whole milliseconds of the wall clock: dated later, never earlier.
    let offset = clock::wall_time().milliseconds() - i64::try_from(now().as_millis()).unwrap() - 3;
    for line in log.lines().filter(|line| line.contains("the operator ")) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let (Some(message), Some(time)) = (line["message"].as_str(), line["time"].as_str()) else { continue };
        let time: jiff::Timestamp = time.parse().unwrap();
        let boot = Duration::from_millis(u64::try_from(time.as_millisecond() - offset).unwrap_or(0));
        logged.entry(message.split(" (").next().unwrap().to_owned()).or_default().push(boot);
    }
    for revocation in revocations {
        let message = match revocation.removal {
            Removal::Key => format!("the operator revoked key {}", revocation.person),
            Removal::Block => format!("the operator blocked user {}", username(revocation.person)),
            Removal::KeyByApply | Removal::MembershipByApply => continue,
        };
        let within = |time: &&Duration| **time >= revocation.began && **time < revocation.committed;
        if let Some(time) = logged.get(&message).and_then(|times| times.iter().find(within)) {
            revocation.committed = *time;
        }
    }
}

/// Notes when this program got no processor.
fn note_stalls(load: &Load, stalls: &Mutex<Vec<(Duration, Duration)>>) {
    let mut last = now();
    while !load.ended.load(std::sync::atomic::Ordering::SeqCst) {
        wait(Duration::from_millis(10));
        let time = now();
        if time - last > STALL {
            stalls.lock().unwrap().push((last, time));
        }
        last = time;
    }
}
