//! The load: people whom the host knows, at a rate, and strangers' keys.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::gitlab::GitlabEnv;
use crate::support::generated_directory::key_blob;
use crate::support::http::Request;
use crate::support::lookup::lookup_request;
use crate::support::paced::Paced;
use crate::support::random::Random;

/// Keys that nobody knows, each offered so many times, one time after the other.
#[derive(Clone, Copy)]
pub struct Strangers {
    pub first: u64,
    pub keys: u64,
    pub offers: u64,
}

/// What strangers were told.
#[derive(Default)]
pub struct Told {
    by_status: BTreeMap<u16, Vec<Duration>>,
}

/// What people were told whom the host knows.
#[derive(Default)]
pub struct Served {
    /// How long the answers took that were given from what is kept.
    pub kept: Vec<Duration>,
    /// How many were asked.
    pub asked: usize,
    /// How many were given neither.
    pub refused: usize,
}

impl Strangers {
    /// Offers all of them.
    pub fn offer(&self, it: &GitlabEnv, paced: &Paced) -> Told {
        let told = Mutex::new(Told::default());
        paced.run(|number| {
            if number >= self.keys {
                return false;
            }
            for _ in 0..self.offers {
                let question = lookup_request(&key_blob(self.first + number));
                let (status, took) = timed(it, &question);
                told.lock().unwrap().by_status.entry(status).or_default().push(took);
            }
            true
        });
        told.into_inner().unwrap()
    }
}

fn timed(it: &GitlabEnv, question: &Request) -> (u16, Duration) {
    let begun = Instant::now();
    let answer = question.send(&it.env.sidecar_socket());
    let took = begun.elapsed();
    assert!(answer.status == 200 || !answer.message().is_empty(), "no message: {}", answer.text());
    (answer.status, took)
}

impl Told {
    pub fn answers(&self, status: u16) -> u64 {
        self.by_status.get(&status).map_or(0, |times| times.len() as u64)
    }

    pub fn all(&self) -> u64 {
        self.by_status.values().map(|times| times.len() as u64).sum()
    }

    pub fn slowest(&self) -> Duration {
        self.by_status.values().flatten().max().copied().unwrap_or_default()
    }
}

/// The questions of people whom the host knows: look-ups, who somebody is, pulls.
pub fn known_questions(it: &GitlabEnv, people: u64) -> Vec<Request> {
    let of = |person: u64| {
        let discover = Request::get(&format!("/api/v4/internal/discover?key_id={person}"));
        [lookup_request(&key_blob(person)), it.shell(discover), it.pull(person, &format!("group/project-{person}.git"))]
    };
    (1..=people).flat_map(of).collect()
}

/// Asks known questions at this rate until a moment.
pub fn ask_known(it: &GitlabEnv, questions: &[Request], paced: &Paced, until: Instant) -> Served {
    let served = Mutex::new(Served::default());
    paced.run(|number| {
        if Instant::now() >= until {
            return false;
        }
        let question = &questions[usize::try_from(Random::new(number).below(questions.len() as u64)).unwrap()];
        let begun = Instant::now();
        let answer = question.send(&it.env.sidecar_socket());
        let took = begun.elapsed();
        let mut served = served.lock().unwrap();
        match (answer.status, answer.header("x-sidegate-answer")) {
            (200, Some("cached")) => served.kept.push(took),
            (200, _) => served.asked += 1,
            _ => served.refused += 1,
        }
        true
    });
    served.into_inner().unwrap()
}
