//! Keys that nobody knows, a thousand a second, at a host that follows a mirror: how many questions GitLab gets, and what becomes of people
//! whom the host knows.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::mirror::host::{Host, source_of};
use crate::mirror::{MirrorEnv, WALKS_ONCE};
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::gitlab_api::{Arrival, most_within};
use crate::support::paced::Paced;
use crate::support::random::Random;

const KNOWN_KEYS: u64 = 300;
const KNOWN_PER_SECOND: u32 = 200;
const UNKNOWN_PER_SECOND: u32 = 1000;
/// The first key that nobody knows.
const FIRST_UNKNOWN: u64 = 1_000_000;
/// As the configuration has it where nothing is said.
const MISSES_PER_SECOND: u64 = 20;

struct Site {
    host: Host,
    mirror: MirrorEnv,
}

/// What happened in a part of a run.
struct Phase {
    lasted: Duration,
    /// How long people waited whom the host knows, in order.
    known: Vec<Duration>,
    /// How many of them were not answered from the feed.
    known_elsewhere: usize,
    /// What was said of unknown keys, and where it came from, as `404 local`.
    unknown: BTreeMap<String, usize>,
    /// The questions about unknown keys that GitLab got, and the most within a second.
    questions: u64,
    most_in_a_second: usize,
}

impl Site {
    /// A host with the bounds of the defaults, whose mirror and GitLab have some keys.
    fn start() -> Self {
        let mirror = MirrorEnv::start(generated::instance(1, 200, KNOWN_KEYS), WALKS_ONCE);
        let host = Host::start(&mirror, "ssh-1", "");
        host.wait_until_followed(&mirror);
        let it = Self { host, mirror };
        it.mirror.wait_for("known keys to be fresh", || it.host.status()["freshness"]["keys"]["state"] == "fresh");
        it
    }

    /// Lets people come whom the host knows, and strangers from the number `first` on if there is one.
    fn run(&self, lasts: Duration, first: Option<u64>) -> Phase {
        self.mirror.gitlab.take_arrivals();
        let begun = Instant::now();
        let until = begun + lasts;
        let (known, unknown) = thread::scope(|scope| {
            let strangers = scope.spawn(|| first.map(|first| self.offer_unknown(first, until)).unwrap_or_default());
            (self.look_up_known(until), strangers.join().unwrap())
        });
        let lasted = begun.elapsed();
        let arrivals = self.questions_about_unknown_keys();
        let (mut times, known_elsewhere) = known;
        times.sort_unstable();
        Phase {
            lasted,
            known: times,
            known_elsewhere,
            unknown,
            questions: arrivals.len() as u64,
            most_in_a_second: most_within(&arrivals, Duration::from_secs(1)),
        }
    }

    fn look_up_known(&self, until: Instant) -> (Vec<Duration>, usize) {
        let found = Mutex::new((Vec::new(), 0));
        Paced::per_second(4, KNOWN_PER_SECOND).run(|number| {
            let line = key_line(Random::new(number).below(KNOWN_KEYS) + 1);
            let begun = Instant::now();
            if begun >= until {
                return false;
            }
            let answer = self.host.look_up(&line);
            let took = begun.elapsed();
            let mut found = found.lock().unwrap();
            found.0.push(took);
            found.1 += usize::from(source_of(&answer) != "200 local");
            true
        });
        found.into_inner().unwrap()
    }

    fn offer_unknown(&self, first: u64, until: Instant) -> BTreeMap<String, usize> {
        let told = Mutex::new(BTreeMap::new());
        Paced::per_second(16, UNKNOWN_PER_SECOND).run(|number| {
            if Instant::now() >= until {
                return false;
            }
            let source = source_of(&self.host.look_up(&key_line(first + number)));
            *told.lock().unwrap().entry(source).or_default() += 1;
            true
        });
        told.into_inner().unwrap()
    }

    /// The questions that GitLab got since the last call, without those with which the mirror verifies known keys.
    fn questions_about_unknown_keys(&self) -> Vec<Arrival> {
        let instance = self.mirror.gitlab.instance().clone();
        let is_unknown = |arrival: &Arrival| {
            let query = arrival.target.split_once('?').map_or("", |(_, query)| query);
            let key = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "key").map(|(_, blob)| blob.into_owned());
            key.is_some_and(|blob| instance.key_by_blob(&blob).is_none())
        };
        let arrivals = self.mirror.gitlab.take_arrivals();
        arrivals.into_iter().filter(|arrival| arrival.endpoint == "authorized_keys" && is_unknown(arrival)).collect()
    }
}

impl Phase {
    fn unknown_answers(&self) -> usize {
        self.unknown.values().sum()
    }

    fn milliseconds(&self, percent: usize) -> f64 {
        let at = (self.known.len() * percent / 100).min(self.known.len() - 1);
        self.known[at].as_secs_f64() * 1000.0
    }

    /// The budget of the time that this took, and a second's worth that may have been saved up.
    fn most_questions(&self) -> u64 {
        MISSES_PER_SECOND * (self.lasted.as_secs() + 2)
    }

    /// Holds in every run.
    fn assert_bounded(&self) {
        let (questions, most) = (self.questions, self.most_questions());
        assert!((1..=most).contains(&questions), "{questions} questions, at most {most}");
        assert!(self.most_in_a_second as u64 <= 2 * MISSES_PER_SECOND + 2, "{} within a second", self.most_in_a_second);
        assert_eq!(self.known_elsewhere, 0, "known keys are answered from the feed");
        let others: Vec<_> = self.unknown.keys().filter(|source| !["404 local", "404 forwarded"].contains(&source.as_str())).collect();
        assert!(others.is_empty(), "{:?}", self.unknown);
    }
}

#[test]
fn a_short_flood_of_unknown_keys_costs_gitlab_the_budget_and_known_keys_are_answered_from_the_feed() {
    let site = Site::start();
    let flood = site.run(Duration::from_secs(3), Some(FIRST_UNKNOWN));
    flood.assert_bounded();
    let feed = &site.host.status()["feed"];
    let counted = [&feed["misses_asked"], &feed["misses_refused"]].map(|count| count.as_u64().unwrap());
    assert_eq!(counted, [flood.questions, flood.unknown_answers() as u64 - flood.questions], "each is one question or none");
}

/// Started by `tests/mirror_load`.
#[test]
#[ignore = "takes minutes, and prints times: tests/mirror_load"]
fn print_a_flood_of_unknown_keys() {
    let seconds = std::env::var("SIDEGATE_LOAD_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let (lasts, aside) = (Duration::from_secs(seconds), Duration::from_secs(seconds.div_ceil(2)));
    let site = Site::start();
    site.run(Duration::from_secs(1), None);
    let phases = [("before", site.run(aside, None)), ("flood", site.run(lasts, Some(FIRST_UNKNOWN))), ("after", site.run(aside, None))];
    let before = [50, 99].map(|percent| phases[0].1.milliseconds(percent));
    eprintln!(
        "| phase | seconds | unknown keys a second | GitLab was asked | at most | within a second | known keys | p50 ms | / before | p99 ms | / before |"
    );
    eprintln!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, phase) in &phases {
        let [p50, p99] = [50, 99].map(|percent| phase.milliseconds(percent));
        let (seconds, unknown) = (phase.lasted.as_secs_f64(), phase.unknown_answers());
        let rate = f64::from(u32::try_from(unknown).unwrap()) / seconds;
        let most = if unknown > 0 { phase.most_questions() } else { 0 };
        eprintln!(
            "| {name} | {seconds:.1} | {rate:.0} | {} | {most} | {} | {} | {p50:.3} | {:.2} | {p99:.3} | {:.2} |",
            phase.questions,
            phase.most_in_a_second,
            phase.known.len(),
            p50 / before[0],
            p99 / before[1]
        );
    }
    eprintln!("unknown keys in the flood were told: {:?}", phases[1].1.unknown);
    phases[1].1.assert_bounded();
    assert_eq!(phases[0].1.known_elsewhere + phases[2].1.known_elsewhere, 0);
}
