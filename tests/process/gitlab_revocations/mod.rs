//! Random revocations at a GitLab, and whether the bounds hold that `sidegate status` prints for what a host keeps of its answers.
//!
//! A host runs in front of a GitLab; keys, users, pulls and pushes are asked for all the time, by several actors, many at once, on kept
//! connections and new ones. Episode by episode the GitLab is fast, slow, down in one of its ways, or another instance; keys are removed, users
//! blocked, memberships ended and projects made private meanwhile, and the host is restarted, killed or stopped. Afterwards every answer is
//! judged by what was taken away when: no yes older than the bound of its source, none after a no or after `sidegate invalidate`, no no to
//! who has lost nothing.
//!
//! `tests/gitlab_revocations [COUNT [SEED]]` runs many; the test here that is not ignored runs a few.

mod judge;
mod people;
mod report;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use nix::sys::signal::Signal;
use sidegate::model::clock;

use crate::gitlab::{GitlabEnv, Reach};
use crate::gitlab_revocations::judge::{Answer, Bounds, Condition, Context, HOLD, Judge, Limits, QUESTION_TIMEOUT, Revocation};
use crate::gitlab_revocations::people::{Question, Removal, Source};
use crate::gitlab_revocations::report::Report;
use crate::support::StopOnDrop;
use crate::support::env::{Daemon, TestEnv};
use crate::support::gitlab::outage::{Outage, PLAIN_OUTAGES};
use crate::support::gitlab::{FakeGitlab, GitlabVersion};
use crate::support::http::{Connection, Request};
use crate::support::random::Random;

/// How many people keep what they have.
const UNTOUCHED: u64 = 40;
/// They mostly wait for answers.
const ASKERS: u64 = 24;
/// How long each waits between two questions: the host shares the processors with those who ask.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(4);
const FAST: Duration = Duration::from_millis(50);
const SLOW: Duration = Duration::from_millis(400);
/// From how many removals on each kind of yes must have been seen after one.
const ENOUGH: u64 = 500;
/// Within what time of an episode things are taken away.
const WINDOW: Duration = Duration::from_millis(1_000);
/// For how long an episode goes on after the longest bound.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// Each class has others, so that none can be taken for another.
const BOUNDS: Bounds = Bounds { keys: limits(300, 4_000), reads: limits(250, 3_500), push: limits(200, 3_000) };

const fn limits(ttl: u64, max_stale: u64) -> Limits {
    Limits { ttl: Duration::from_millis(ttl), max_stale: Duration::from_millis(max_stale) }
}

/// The ways to fail in which a GitLab says nothing that looks like a decision.
fn outages() -> Vec<Outage> {
    let says_something = |outage: &Outage| matches!(outage, Outage::Null | Outage::OtherInstance | Outage::TooManyRequests);
    PLAIN_OUTAGES.into_iter().filter(|outage| !says_something(outage)).collect()
}

/// What is done to the host meanwhile.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    Restart,
    Kill,
    Pause(Duration),
}

/// The GitLab and its host.
struct Site {
    env: TestEnv,
    gitlab: Mutex<FakeGitlab>,
    host: Mutex<Option<Daemon>>,
    pauses: Mutex<Vec<(Duration, Duration)>>,
}

/// What is asked about, and what was answered.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    /// Who loses something now, or did in the episode before, and what.
    losing: RwLock<Vec<(u64, Removal)>>,
    /// Who lost something last and who is next: asked about most, since what is too old by little is seen only then.
    next: RwLock<Vec<(u64, Removal)>>,
    answers: Mutex<Vec<Answer>>,
}

#[test]
fn no_kept_yes_outlives_its_bound_at_a_gitlab_in_a_few_episodes() {
    run(11, 40, 10);
}

#[test]
#[ignore = "a thousand revocations take minutes: tests/gitlab_revocations"]
fn no_kept_yes_outlives_its_bound_at_a_gitlab() {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    let seed = number("SIDEGATE_REVOCATIONS_SEED").unwrap_or_else(|| u64::from(now().subsec_nanos()));
    run(seed, number("SIDEGATE_REVOCATIONS_COUNT").unwrap_or(1_000), 30);
}

/// Revokes from so many people, prints the report, and fails if anything was wrong.
fn run(seed: u64, count: u64, per_episode: u64) {
    eprintln!("seed {seed}");
    let (mut random, site, load) = (Random::new(seed), Site::start(), Load::default());
    site.assert_printed_bounds();
    let (mut judge, mut report) = (Judge::default(), Report::default());
    std::thread::scope(|scope| {
        let _ends = StopOnDrop(&load.ended);
        for asker in 0..ASKERS {
            let (load, env, random) = (&load, &site.env, Random::new(seed ^ (asker + 1)));
            scope.spawn(move || load.ask(env, random, asker % 2 == 0));
        }
        let mut conditions = Vec::new();
        for first in (1..=count).step_by(usize::try_from(per_episode).unwrap()) {
            if conditions.is_empty() {
                conditions = shuffled([Condition::Fast, Condition::Slow, Condition::Down, Condition::OtherDatabase], &mut random);
            }
            let group = (first..=count.min(first + per_episode - 1)).map(|person| (UNTOUCHED + person, Removal::draw(&mut random)));
            let group: Vec<(u64, Removal)> = group.collect();
            let condition = conditions.pop().unwrap();
            episode(&site, &load, &group, condition, &mut random, &mut judge, &mut report);
        }
    });
    eprintln!("{}{}seed {seed}", report.table(), report.summary(count));
    if !report.is_clean() {
        let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gitlab-revocations-{seed}.log"));
        std::fs::write(&kept, site.log()).unwrap();
        panic!("a bound does not hold with seed {seed}; the host's log is in {}", kept.display());
    }
    // One episode may show nothing, as when the host starts for all of its time.
    if count >= ENOUGH {
        assert_something_was_shown(&report);
    }
}

/// Holds that a yes of each kind was given after a removal: else nothing was shown about its bound.
fn assert_something_was_shown(report: &Report) {
    for (condition, source) in [
        (Condition::Fast, Source::Fresh),
        (Condition::Slow, Source::Stale),
        (Condition::Down, Source::Stale),
        (Condition::OtherDatabase, Source::GivenBack),
    ] {
        assert!(report.saw(condition, source), "no {source:?} yes came after a removal while it was {condition:?}: nothing was shown");
    }
}

/// The GitLab is one way, a group loses what it has, the host has its event, and all answers are judged once the GitLab is well again.
fn episode(
    site: &Site,
    load: &Load,
    group: &[(u64, Removal)],
    condition: Condition,
    random: &mut Random,
    judge: &mut Judge,
    report: &mut Report,
) {
    site.add_group(group);
    load.set_losing(group);
    site.warm(group);
    let failures = site.failures_in_log();
    let what = site.begin(condition, random);
    let event = Event::draw(random);
    let invalidated = random.below(4);
    let revoked: Mutex<Vec<(u64, Revocation)>> = Mutex::default();
    std::thread::scope(|scope| {
        let mut steps: Vec<(Duration, u64, Removal)> =
            group.iter().map(|(person, removal)| (part(WINDOW, random), *person, *removal)).collect();
        steps.sort_unstable_by_key(|step| step.0);
        let at = part(WINDOW, random);
        scope.spawn(move || site.run_event(at, event));
        let begun = now();
        for (index, (at, person, removal)) in steps.iter().copied().enumerate() {
            let near = &steps[index.saturating_sub(1)..steps.len().min(index + 2)];
            *load.next.write().unwrap() = near.iter().map(|(_, person, removal)| (*person, *removal)).collect();
            wait((begun + at).saturating_sub(now()));
            let (began, committed) = site.revoke(person, removal);
            let revoked = &revoked;
            let tells_host = person % 4 == invalidated;
            scope.spawn(move || {
                let invalidated = tells_host.then(|| site.invalidate(&removal.invalidation(person)));
                revoked.lock().unwrap().push((person, Revocation { removal, began, committed, invalidated }));
            });
        }
    });
    wait(longest_bound(condition) + AFTERWARDS);
    site.heal();
    for (person, revocation) in revoked.into_inner().unwrap() {
        judge.revoked(person, revocation);
    }
    // A host that was stopped may find its questions failed.
    let found_failing = matches!(condition, Condition::Fast | Condition::Slow) && site.failures_in_log() > failures;
    let judged_as = if found_failing { Condition::Down } else { condition };
    let mut answers = load.take_answers();
    eprintln!("episode: {what}, {event:?}, {} revoked, {} answers, judged as {judged_as:?}", group.len(), answers.len());
    let pauses = site.pauses.lock().unwrap().clone();
    let context = Context { bounds: &BOUNDS, condition: judged_as, pauses: &pauses };
    report.add_episode(&what, group.len(), judge, &mut answers, &context);
}

fn longest_bound(condition: Condition) -> Duration {
    match condition {
        Condition::Fast => BOUNDS.keys.ttl,
        Condition::Slow => BOUNDS.keys.ttl * 10,
        Condition::Down | Condition::OtherDatabase => BOUNDS.keys.max_stale,
    }
}

impl Event {
    fn draw(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Nothing,
            1 => Self::Restart,
            2 => Self::Kill,
            _ => Self::Pause(Duration::from_millis(200 + random.below(800))),
        }
    }
}

impl Site {
    fn start() -> Self {
        let class =
            |limits: Limits| format!("{{ ttl = \"{}ms\", max_stale = \"{}ms\" }}", limits.ttl.as_millis(), limits.max_stale.as_millis());
        let primary = format!("timeout = \"{}ms\"\noperations_per_minute = 0", QUESTION_TIMEOUT.as_millis());
        let freshness = format!(
            "[freshness]\nkeys = {}\nreads = {}\npush_precheck = {}\nnegative_ttl = \"100ms\"\nhedge = \"{}ms\"\n\
             mass_negative = {{ at_least = 20, share = 0.33, hold = \"{}ms\" }}\n",
            class(BOUNDS.keys),
            class(BOUNDS.reads),
            class(BOUNDS.push),
            judge::HEDGE.as_millis(),
            HOLD.as_millis(),
        );
        let GitlabEnv { mut env, gitlab } = GitlabEnv::start(GitlabVersion::V18, Reach::Unix, &primary, &freshness);
        gitlab.count_only();
        *gitlab.directory() = crate::support::gitlab::directory::GitlabDirectory::of_size(UNTOUCHED);
        let host = Mutex::new(env.sidecar.take());
        Self { env, gitlab: Mutex::new(gitlab), host, pauses: Mutex::default() }
    }

    /// What is judged by is what an operator reads: in whole seconds, and never less.
    fn assert_printed_bounds(&self) {
        let status = self.env.status();
        for (name, limits) in [("keys", BOUNDS.keys), ("reads", BOUNDS.reads), ("push_precheck", BOUNDS.push)] {
            let class = &status["freshness"][name];
            for (field, bound) in [
                ("ttl_seconds", limits.ttl),
                ("hedged_seconds", limits.ttl * 10),
                ("max_stale_seconds", limits.max_stale),
                ("hold_seconds", HOLD),
            ] {
                assert_eq!(class[field].as_u64(), Some(bound.as_millis().div_ceil(1_000) as u64), "{name}: {field}: {class}");
            }
        }
    }

    /// Adds people; those of long ago go, and are asked about no more.
    fn add_group(&self, group: &[(u64, Removal)]) {
        let gitlab = self.gitlab.lock().unwrap();
        let mut directory = gitlab.directory();
        let oldest = group[0].0.saturating_sub(90);
        let stays = |id: &u64| *id <= UNTOUCHED || *id >= oldest;
        directory.keys.retain(|id, _| stays(id));
        directory.users.retain(|id, _| stays(id));
        directory.projects.retain(|id, _| stays(id));
        group.iter().for_each(|(person, removal)| removal.add_person(&mut directory, *person));
    }

    /// Has the answer to each question about them kept.
    fn warm(&self, group: &[(u64, Removal)]) {
        for (person, removal) in group {
            for question in removal.questions() {
                self.env.wait_for("a yes before anything is taken away", || {
                    let answer = question.request(&self.env, *person).try_send(&self.env.sidecar_socket());
                    answer.is_ok_and(|answer| answer.status == 200)
                });
            }
        }
    }

    /// Makes the GitLab fast, slow, fail, or another instance; says how.
    fn begin(&self, condition: Condition, random: &mut Random) -> String {
        let mut gitlab = self.gitlab.lock().unwrap();
        match condition {
            Condition::Fast => gitlab.set_delay(FAST),
            Condition::Slow => gitlab.set_delay(SLOW),
            Condition::Down => {
                let outages = outages();
                let outage = outages[usize::try_from(random.below(outages.len() as u64)).unwrap()];
                gitlab.fail(outage);
                return format!("{outage:?}");
            }
            Condition::OtherDatabase => {
                gitlab.set_delay(FAST);
                gitlab.fail(Outage::OtherInstance);
            }
        }
        format!("{condition:?}")
    }

    /// Lets the GitLab answer at once, and waits until the host has found it; what was asked before is answered then.
    fn heal(&self) {
        {
            let mut gitlab = self.gitlab.lock().unwrap();
            gitlab.recover();
            gitlab.set_delay(Duration::ZERO);
        }
        self.env.wait_for("the host to be well", || {
            let status = Request::get("/-/admin/status").try_send(&self.env.sidecar_socket());
            status.is_ok_and(|status| {
                let status = status.json();
                status["primary"]["breaker"] == "closed" && status["kept"]["mass_negative"]["since"].is_null()
            })
        });
        wait(SLOW);
    }

    /// Takes something away at the GitLab; returns when that was begun and done.
    fn revoke(&self, person: u64, removal: Removal) -> (Duration, Duration) {
        let gitlab = self.gitlab.lock().unwrap();
        let began = now();
        removal.carry_out(&mut gitlab.directory(), person);
        (began, now())
    }

    /// Runs `sidegate invalidate` until it is done; returns when.
    fn invalidate(&self, words: &[String; 2]) -> Duration {
        let socket = self.env.sidecar_socket();
        self.env.wait_for("the host to take back what it keeps", || {
            self.env.run_sidegate(&["invalidate", &words[0], &words[1], "--socket", socket.to_str().unwrap()]).status.success()
        });
        now()
    }

    fn run_event(&self, at: Duration, event: Event) {
        wait(at);
        let mut host = self.host.lock().unwrap();
        match event {
            Event::Nothing => {}
            Event::Restart => {
                host.as_mut().unwrap().stop();
                *host = Some(self.env.start_daemon("serve", "sidegate.toml"));
            }
            Event::Kill => {
                host.as_mut().unwrap().kill();
                *host = Some(self.env.start_daemon("serve", "sidegate.toml"));
            }
            Event::Pause(time) => {
                let began = now();
                host.as_ref().unwrap().signal(Signal::SIGSTOP);
                wait(time);
                host.as_ref().unwrap().signal(Signal::SIGCONT);
                self.pauses.lock().unwrap().push((began, now()));
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.env.path().join("sidegate.toml.log")).unwrap()
    }

    /// How often the host has found its GitLab failing.
    fn failures_in_log(&self) -> usize {
        self.log().matches("primary stopped answering").count()
    }
}

impl Load {
    /// Asks until the load ends, on one connection as long as it lasts, or on a new one each time.
    fn ask(&self, env: &TestEnv, mut random: Random, keeps_connection: bool) {
        let mut kept = keeps_connection.then(|| Connection::new(&env.sidecar_socket()));
        while !self.ended.load(Ordering::SeqCst) {
            let (person, question) = self.draw(&mut random);
            let request = question.request(env, person);
            let asked = now();
            let response = match &mut kept {
                Some(connection) => request.try_send_on(connection),
                None => request.try_send(&env.sidecar_socket()),
            };
            if let Ok(response) = response {
                let answer = Answer { person, question, asked, answered: now(), verdict: question.verdict(&response) };
                self.answers.lock().unwrap().push(answer);
            }
            std::thread::park_timeout(BETWEEN_QUESTIONS);
        }
    }

    fn draw(&self, random: &mut Random) -> (u64, Question) {
        let (losing, next) = (self.losing.read().unwrap(), self.next.read().unwrap());
        let index = |random: &mut Random, length: usize| usize::try_from(random.below(length as u64)).unwrap();
        let (person, removal) = match random.below(10) {
            0..5 if !next.is_empty() => next[index(random, next.len())],
            0..8 if !losing.is_empty() => losing[index(random, losing.len())],
            _ => (random.below(UNTOUCHED) + 1, Removal::Key),
        };
        let questions = removal.questions();
        (person, questions[index(random, questions.len())])
    }

    /// From now on a group is asked about, and of the one before the last few.
    fn set_losing(&self, group: &[(u64, Removal)]) {
        let mut losing = self.losing.write().unwrap();
        self.next.write().unwrap().clear();
        let former: Vec<_> = losing.iter().rev().take(5).copied().collect();
        *losing = former.into_iter().chain(group.iter().copied()).collect();
    }

    fn take_answers(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.answers.lock().unwrap())
    }
}

fn shuffled(mut conditions: [Condition; 4], random: &mut Random) -> Vec<Condition> {
    for at in (1..conditions.len()).rev() {
        conditions.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap());
    }
    conditions.to_vec()
}

/// A random part of a time.
fn part(time: Duration, random: &mut Random) -> Duration {
    time * u32::try_from(random.below(1_000)).unwrap() / 1_000
}

/// Boot time.
fn now() -> Duration {
    clock::boot_time().0
}

/// Waits for a time; the load goes on meanwhile.
fn wait(time: Duration) {
    let begun = now();
    while let Some(left) = time.checked_sub(now() - begun).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
