//! The parts of a run: nothing else happens, a flood of unknown keys, a GitLab that hangs.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::gitlab::GitlabEnv;
use crate::gitlab_load::load::{Served, Strangers, Told, ask_known, known_questions};
use crate::gitlab_load::site::{FIRST_UNKNOWN, started};
use crate::support::StopOnDrop;
use crate::support::gitlab::outage::Outage;
use crate::support::http::Request;
use crate::support::paced::Paced;

/// How much is done. The bounds of freshness are those of the configuration's defaults.
pub struct LoadScale {
    pub rounds: u32,
    pub idle: Duration,
    pub flood: Duration,
    pub hung: Duration,
    /// People whom the host knows, each with a key and a project, and how often a second all together ask.
    pub people: u64,
    pub known_per_second: u32,
    /// How many unknown keys come in `flood`, each offered twice.
    pub unknown_keys: u64,
    /// How many come in a second while GitLab hangs.
    pub unknown_per_second: u32,
    /// How long GitLab takes over an answer.
    pub delay: Duration,
}

impl Default for LoadScale {
    fn default() -> Self {
        Self {
            rounds: 3,
            idle: Duration::from_secs(20),
            flood: Duration::from_secs(60),
            hung: Duration::from_secs(60),
            people: 100,
            known_per_second: 200,
            unknown_keys: 10_000,
            unknown_per_second: 20,
            delay: Duration::from_millis(50),
        }
    }
}

/// What was found in one part.
#[derive(Default)]
pub struct Phase {
    pub kept: Vec<Duration>,
    pub asked_known: usize,
    pub refused_known: usize,
    pub strangers: Told,
    /// Look-ups that the host asked GitLab for; what it asks ahead of time is not among them.
    pub asked_lookups: u64,
    /// All questions that GitLab got, and how many waited there for their answers at once.
    pub questions: u64,
    pub most_at_once: u64,
    /// What the host held, at its most, in the first and in the second half.
    pub halves: [Held; 2],
}

/// What a host holds at a moment, or at its most.
#[derive(Clone, Copy, Default, Debug)]
pub struct Held {
    pub memory_kib: u64,
    pub descriptors: u64,
    pub under_way: u64,
    pub waiting: u64,
}

/// One round.
pub struct Round {
    pub idle: Phase,
    pub flood: Phase,
    pub hung: Phase,
}

/// Runs all rounds on one host.
pub fn run_rounds(scale: &LoadScale) -> Vec<Round> {
    let mut it = started(scale.people, scale.delay, "", "");
    (0..scale.rounds).map(|round| run_round(&mut it, scale, u64::from(round))).collect()
}

fn run_round(it: &mut GitlabEnv, scale: &LoadScale, round: u64) -> Round {
    ask_all(it, &known_questions(it, scale.people));
    let idle = run_phase(it, scale, scale.idle, None);
    let first = FIRST_UNKNOWN + round * 1_000_000;
    let strangers = Strangers { first, keys: scale.unknown_keys, offers: 2 };
    let rate = u32::try_from(scale.unknown_keys).unwrap() / u32::try_from(scale.flood.as_secs()).unwrap();
    let flood = run_phase(it, scale, scale.flood, Some((strangers, Paced::per_second(16, rate))));
    it.gitlab.fail(Outage::Hung);
    let keys = u64::from(scale.unknown_per_second) * scale.hung.as_secs();
    let others = Strangers { first: first + scale.unknown_keys, keys, offers: 1 };
    let paced = Paced::per_second(64, scale.unknown_per_second);
    let hung = run_phase(it, scale, scale.hung, Some((others, paced)));
    it.gitlab.recover();
    it.env.wait_for("GitLab to be asked again", || it.env.status()["primary"]["breaker"] == "closed");
    Round { idle, flood, hung }
}

/// Has an answer to each question that is kept.
fn ask_all(it: &GitlabEnv, questions: &[Request]) {
    Paced::at_once(16).run(|number| {
        let question = usize::try_from(number).ok().and_then(|number| questions.get(number));
        question.inspect(|question| assert_eq!(question.send(&it.env.sidecar_socket()).status, 200)).is_some()
    });
}

fn run_phase(it: &GitlabEnv, scale: &LoadScale, lasts: Duration, load: Option<(Strangers, Paced)>) -> Phase {
    // With tokens that are good for a phase.
    let known_questions = known_questions(it, scale.people);
    let asked_lookups = || it.env.status()["kept"]["questions"]["authorized_keys"]["asked"].as_u64().unwrap();
    let asked_before = asked_lookups();
    let (asked, begun, ended) = (it.gitlab.all_questions(), Instant::now(), AtomicBool::new(false));
    it.gitlab.take_most_under_way();
    thread::scope(|scope| {
        let stops = StopOnDrop(&ended);
        let watcher = scope.spawn(|| watch(it, begun + lasts / 2, &ended));
        let strangers = scope.spawn(|| load.map(|(strangers, paced)| strangers.offer(it, &paced)).unwrap_or_default());
        let known = Paced::per_second(4, scale.known_per_second);
        let Served { kept, asked: asked_known, refused: refused_known } = ask_known(it, &known_questions, &known, begun + lasts);
        let strangers = strangers.join().unwrap();
        drop(stops);
        let (questions, most_at_once) = (it.gitlab.all_questions() - asked, it.gitlab.take_most_under_way());
        let asked_lookups = asked_lookups() - asked_before;
        Phase { kept, asked_known, refused_known, strangers, asked_lookups, questions, most_at_once, halves: watcher.join().unwrap() }
    })
}

/// Looks a few times a second at what the host holds.
fn watch(it: &GitlabEnv, middle: Instant, ended: &AtomicBool) -> [Held; 2] {
    let mut halves = [Held::default(); 2];
    while !ended.load(Ordering::SeqCst) {
        let half = &mut halves[usize::from(Instant::now() >= middle)];
        *half = half.max(Held::now(it));
        thread::park_timeout(Duration::from_millis(250));
    }
    halves
}

impl Held {
    fn now(it: &GitlabEnv) -> Self {
        let sidecar = it.env.sidecar.as_ref().unwrap();
        let status = it.env.status();
        let number = |name: &str| status["primary"][name].as_u64().unwrap();
        Self {
            memory_kib: sidecar.memory_kib()[0],
            descriptors: fs::read_dir(format!("/proc/{}/fd", sidecar.id())).unwrap().count() as u64,
            under_way: number("questions_under_way"),
            waiting: number("questions_waiting"),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            memory_kib: self.memory_kib.max(other.memory_kib),
            descriptors: self.descriptors.max(other.descriptors),
            under_way: self.under_way.max(other.under_way),
            waiting: self.waiting.max(other.waiting),
        }
    }
}
