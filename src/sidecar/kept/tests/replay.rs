//! Traffic replayed through the kept answers by a clock that the test sets: how many questions a GitLab gets, and how many are answered
//! without it. `tests/gitlab_traffic` replays ten minutes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::api::request::RequestTime;
use crate::model::freshness::FreshnessLimits;
use crate::model::kept_answer::QuestionKey;
use crate::model::time::{BootTime, Time};
use crate::sidecar::config::{CheckIp, FreshnessPolicy, KeptConfig};
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::record::{AskedAt, YesOutcome};
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::kept::tests::fixture::{TestStore, access_yes, config, decision, key_no, key_yes};
use crate::sidecar::kept::tests::traffic::{Asked, traffic};
use crate::sidecar::upstream::decision::{Decision, DecisionKind};

/// The configuration's defaults.
const POLICY: FreshnessPolicy = FreshnessPolicy {
    keys: FreshnessLimits { ttl: Duration::from_secs(60), max_stale: Duration::from_secs(24 * 3600) },
    reads: FreshnessLimits { ttl: Duration::from_secs(10), max_stale: Duration::from_secs(4 * 3600) },
    push_precheck: FreshnessLimits { ttl: Duration::from_secs(10), max_stale: Duration::from_secs(300) },
    hedge: Duration::from_millis(150),
};
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// How long the GitLab takes over an answer, in milliseconds.
const LATENCY: u64 = 50;
/// How often it is looked for what is to be asked again, in milliseconds, and how many of these are under way at once at most.
const REFRESH_INTERVAL: u64 = 100;
const MAX_REFRESHES: usize = 16;
/// What the clock says at the start, in milliseconds.
const START: u64 = 1_000_000;

/// What became of the questions of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// All: what a GitLab gets without sidegate.
    all: u64,
    /// Answered without asking.
    fresh: u64,
    /// A key that was unknown a moment ago.
    unknown: u64,
    /// Waited for an equal question.
    joined: u64,
    /// Asked.
    asked: u64,
    /// Asked ahead of time.
    ahead: u64,
}

const CLASSES: [&str; 5] = ["`authorized_keys`", "unknown keys", "`discover`", "`allowed`, pull", "`allowed`, push"];

/// A question under way.
struct UnderWay {
    what: Asked,
    question: Arc<KeptQuestion>,
    asked_at: AskedAt,
    is_refresh: bool,
}

struct Replay {
    kept: KeptService,
    check_ip: CheckIp,
    random: fastrand::Rng,
    asked: HashSet<QuestionKey>,
    /// By when it is answered, and its number.
    under_way: BTreeMap<(u64, u64), UnderWay>,
    refreshes: usize,
    next: u64,
    counts: [Counts; CLASSES.len()],
    /// How many answers came after a revocation that may have concerned them.
    overtaken: u64,
    what: BTreeMap<[u8; 32], Asked>,
    runtime: tokio::runtime::Runtime,
}

fn at(milliseconds: u64) -> RequestTime {
    let boot = BootTime(Duration::from_millis(START + milliseconds));
    RequestTime { wall: Time::from_milliseconds(i64::try_from(START + milliseconds).unwrap()).unwrap(), boot }
}

fn class_of(asked: Asked) -> usize {
    match asked {
        Asked::Key(_) if asked.is_known() => 0,
        Asked::Key(_) => 1,
        Asked::User(_) => 2,
        Asked::Access { pushes: false, .. } => 3,
        Asked::Access { pushes: true, .. } => 4,
    }
}

/// What the GitLab says: yes to all but keys that it does not know.
fn decide(asked: Asked) -> Decision {
    match asked {
        Asked::Key(key) if asked.is_known() => key_yes(key, key, 0, Value::Null),
        Asked::Key(_) => key_no(),
        Asked::User(key) => decision(DecisionKind::Yes, 200, &json!({"id": 1 + key / 10, "username": format!("user{}", 1 + key / 10)})),
        Asked::Access { key, project, .. } => access_yes(key, project, 0),
    }
}

impl Replay {
    fn new(seed: u64, check_ip: CheckIp) -> Self {
        let config = KeptConfig { negative_ttl: NEGATIVE_TTL, check_ip, ..config(Arc::<TestStore>::default()) };
        let kept = KeptService::register(&config, POLICY, &mut Registry::default());
        kept.answers.restore(Vec::new());
        Self {
            kept,
            check_ip,
            random: fastrand::Rng::with_seed(seed),
            asked: HashSet::new(),
            under_way: BTreeMap::new(),
            refreshes: 0,
            next: 0,
            counts: Default::default(),
            overtaken: 0,
            what: BTreeMap::new(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
        }
    }

    fn run(mut self, questions: &[(u64, Asked)]) -> [Counts; CLASSES.len()] {
        let mut looked = 0;
        for (moment, asked) in questions {
            while looked <= *moment {
                self.answer_until(looked);
                self.refresh(looked);
                looked += REFRESH_INTERVAL;
            }
            self.answer_until(*moment);
            self.ask(*asked, *moment);
        }
        assert!(self.overtaken * 1000 < self.next, "{} of {} questions are asked twice", self.overtaken, self.next);
        self.counts
    }

    /// Somebody asks.
    fn ask(&mut self, what: Asked, moment: u64) {
        let question = Arc::new(what.question(self.check_ip));
        let counts = &mut self.counts[class_of(what)];
        counts.all += 1;
        match self.kept.answers.find(&question, at(moment)) {
            Found::Fresh(held) => {
                counts.fresh += 1;
                self.kept.schedule_refresh(&question, &held, self.random.f64());
            }
            Found::Unknown(_) => counts.unknown += 1,
            Found::Stale(_) | Found::Nothing if self.asked.contains(&question.key) => counts.joined += 1,
            Found::Stale(_) | Found::Nothing => {
                counts.asked += 1;
                self.send(what, question, moment, false);
            }
            Found::GivenBack(_) => panic!("nothing is taken back"),
        }
    }

    fn send(&mut self, what: Asked, question: Arc<KeptQuestion>, moment: u64, is_refresh: bool) {
        self.asked.insert(question.key);
        self.what.insert(question.key.0.bytes(), what);
        let asked_at = self.kept.answers.begin_question(at(moment).boot);
        self.under_way.insert((moment + LATENCY, self.next), UnderWay { what, question, asked_at, is_refresh });
        self.next += 1;
    }

    /// The GitLab's answers arrive that are due.
    fn answer_until(&mut self, moment: u64) {
        while let Some(entry) = self.under_way.first_entry()
            && entry.key().0 <= moment
        {
            let ((due, _), UnderWay { what, question, asked_at, is_refresh }) = entry.remove_entry();
            self.asked.remove(&question.key);
            self.refreshes -= usize::from(is_refresh);
            let (decision, answers) = (decide(what), &self.kept.answers);
            match decision.kind {
                DecisionKind::Yes if answers.record_yes(&question, &decision, asked_at, at(due)) == YesOutcome::Overtaken => {
                    // A stranger's key that GitLab does not know shares its slot, by a hash that differs in each run: asked again, in no time,
                    // so that the seed alone decides what follows.
                    self.overtaken += 1;
                    let again = AskedAt { since: answers.revocations(), ..asked_at };
                    assert_eq!(answers.record_yes(&question, &decision, again, at(due)), YesOutcome::Valid);
                }
                DecisionKind::Yes => {}
                _ => self.runtime.block_on(answers.record_no(&question, &decision, asked_at.proven_at, at(due))),
            }
        }
    }

    /// What is due is asked for again, as [`crate::sidecar::kept_refresh`] does.
    fn refresh(&mut self, moment: u64) {
        self.kept.answers.purge(at(moment).boot);
        for refresh in self.kept.refreshes.take_due(at(moment).boot, MAX_REFRESHES - self.refreshes) {
            let key = refresh.question.key;
            if self.kept.answers.is_kept_since(key, refresh.proven_at) && !self.asked.contains(&key) {
                let what = self.what[&key.0.bytes()];
                self.counts[class_of(what)].ahead += 1;
                self.refreshes += 1;
                self.send(what, refresh.question, moment, true);
            }
        }
    }
}

impl Counts {
    const fn questions(self) -> u64 {
        self.asked + self.ahead
    }

    fn add(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            fresh: self.fresh + other.fresh,
            unknown: self.unknown + other.unknown,
            joined: self.joined + other.joined,
            asked: self.asked + other.asked,
            ahead: self.ahead + other.ahead,
        }
    }
}

fn replay(seed: u64, seconds: u64, check_ip: CheckIp) -> [Counts; CLASSES.len()] {
    Replay::new(seed, check_ip).run(&traffic(seed, seconds))
}

#[test]
fn of_replayed_traffic_gitlab_gets_less_of_each_class_and_the_same_for_the_same_seed() {
    for check_ip in [CheckIp::Matters, CheckIp::Ignored] {
        let counts = replay(1, 60, check_ip);
        for (class, of_class) in CLASSES.iter().zip(counts) {
            assert!(of_class.questions() <= of_class.all, "{class}: {of_class:?}");
            assert_eq!(of_class.fresh + of_class.unknown + of_class.joined + of_class.asked, of_class.all, "{class}: {of_class:?}");
        }
        let [keys, unknown, ..] = counts;
        assert!(keys.questions() * 2 < keys.all, "sshd looks each key up twice: {keys:?}");
        assert!(keys.ahead > 0 && unknown.unknown > 0, "{counts:?}");
        assert_eq!(counts, replay(1, 60, check_ip));
    }
    let total = |check_ip| replay(1, 60, check_ip).into_iter().fold(Counts::default(), Counts::add).questions();
    assert!(total(CheckIp::Ignored) < total(CheckIp::Matters), "the addresses of CI runners are new each time");
}

/// Started by `tests/gitlab_traffic`.
#[test]
#[ignore = "prints the table of ten minutes: tests/gitlab_traffic"]
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "the table is printed, and no count comes near 2^52")]
fn print_the_questions_of_replayed_traffic() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, seed) = (number("SIDEGATE_REPLAY_SECONDS", 600), number("SIDEGATE_REPLAY_SEED", 1));
    println!("seed {seed}, {seconds} seconds at 200 questions a second; a GitLab that answers in {LATENCY} ms");
    for (name, check_ip) in [("check_ip = true", CheckIp::Matters), ("check_ip = false", CheckIp::Ignored)] {
        println!("\n| `{name}` | without sidegate | asked | ahead of time | with sidegate | of all | answered without asking |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        let counts = replay(seed, seconds, check_ip);
        let all = counts.into_iter().fold(Counts::default(), Counts::add);
        for (class, of_class) in CLASSES.iter().copied().zip(counts).chain([("all", all)]) {
            let Counts { all, asked, ahead, fresh, unknown, joined } = of_class;
            let questions = of_class.questions();
            let percent = |part: u64| 100.0 * part as f64 / all as f64;
            println!(
                "| {class} | {all} | {asked} | {ahead} | {questions} | {:.1} % | {:.1} % |",
                percent(questions),
                percent(fresh + unknown + joined)
            );
        }
    }
}
