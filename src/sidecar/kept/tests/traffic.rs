//! Traffic as SSH hosts in front of a GitLab see it, the same for the same seed: which questions come when.
//!
//! Keys and projects are drawn by Zipf's law, each on its own. Three tenths of the keys are of CI, whose runners have a new address each time;
//! three tenths of people behind one of five offices' addresses; the rest of people at home. A login is the look-up of its key, which sshd
//! makes twice, and then a pull (82 %), a push (15 %) or nothing but the greeting (3 %, `discover`). A fifth of the people's logins offer
//! a key first that the GitLab does not know.

use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::memory_directory::ed25519_public_key;
use crate::sidecar::config::CheckIp;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::question::tests::query;
use crate::sidecar::kept::tests::fixture::{id, key_question};
use crate::sidecar::upstream::decision::QueryKind;

/// How many keys and projects there are.
const KEYS: usize = 20_000;
const PROJECTS: usize = 3_000;
/// Questions a second.
const RATE: u64 = 200;
/// The first of the keys that the GitLab does not know: each person has one.
const FIRST_UNKNOWN: u64 = 1_000_000;
/// How long after the first look-up of a login the second one and the command come, in milliseconds.
const SECOND_LOOKUP: u64 = 60;
const COMMAND: u64 = 150;

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Whose key is this?
    Key(u64),
    /// Who is this?
    User(u64),
    /// May this key pull from, or push to, this project?
    Access { key: u64, project: u64, pushes: bool, address: [u8; 4] },
}

/// Draws the numbers from 1 on, each less often than those before it.
struct Zipf(Vec<f64>);

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    fn new(count: usize) -> Self {
        let weights = (1..=count).map(|rank| 1.0 / rank as f64);
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self(sums.collect())
    }

    fn draw(&self, random: &mut fastrand::Rng) -> u64 {
        let point = random.f64() * self.0[self.0.len() - 1];
        1 + self.0.partition_point(|sum| *sum <= point).min(self.0.len() - 1) as u64
    }
}

/// Returns the questions of so many seconds with the millisecond in which each comes, in order.
pub fn traffic(seed: u64, seconds: u64) -> Vec<(u64, Asked)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (keys, projects) = (Zipf::new(KEYS), Zipf::new(PROJECTS));
    let count = usize::try_from(RATE * seconds).unwrap();
    let mut asked = Vec::with_capacity(count);
    while asked.len() < count {
        let (key, project) = (keys.draw(&mut random), projects.draw(&mut random));
        let begun = random.u64(0..seconds * 1000);
        add_login(&mut asked, begun, key, project, &mut random);
    }
    asked.truncate(count);
    asked.sort_by_key(|(at, _)| *at);
    asked
}

fn add_login(asked: &mut Vec<(u64, Asked)>, begun: u64, key: u64, project: u64, random: &mut fastrand::Rng) {
    let is_ci = key % 10 < 3;
    if !is_ci && random.u8(0..5) == 0 {
        asked.push((begun, Asked::Key(FIRST_UNKNOWN + key)));
    }
    asked.extend([(begun, Asked::Key(key)), (begun + SECOND_LOOKUP, Asked::Key(key))]);
    let [_, _, high, low] = u32::try_from(key).unwrap().to_be_bytes();
    let address = match key % 10 {
        0..3 => [100, random.u8(..), random.u8(..), random.u8(..)],
        3..6 => [192, 0, 2, u8::try_from(key / 10 % 5).unwrap()],
        _ => [10, 1, high, low],
    };
    asked.push((
        begun + COMMAND,
        match random.u8(0..100) {
            0..3 => Asked::User(key),
            what => Asked::Access { key, project, pushes: what < 18, address },
        },
    ));
}

impl Asked {
    /// Returns the question.
    pub fn question(self, check_ip: CheckIp) -> KeptQuestion {
        match self {
            Self::Key(key) => key_question(key),
            Self::User(key) => KeptQuestion::discover(&ClaimedActor::Key(Some(id(key))), query(QueryKind::Discover)).unwrap(),
            Self::Access { key, project, pushes, address: [a, b, c, d] } => {
                let action = if pushes { Action::ReceivePack } else { Action::UploadPack };
                let asked = AllowedRequest {
                    project: Some(format!("g/p{project}")),
                    check_ip: Some(format!("{a}.{b}.{c}.{d}")),
                    ..AllowedRequest::new(ClaimedActor::Key(Some(id(key))), action, Protocol::Ssh, RefChanges::Any)
                };
                KeptQuestion::allowed(&asked, check_ip, query(QueryKind::Allowed)).unwrap()
            }
        }
    }

    /// Returns whether the GitLab knows the key.
    pub const fn is_known(self) -> bool {
        !matches!(self, Self::Key(FIRST_UNKNOWN..))
    }
}

#[test]
fn traffic_is_the_same_for_the_same_seed_and_few_keys_are_most_of_it() {
    let questions = traffic(7, 20);
    assert_eq!(questions, traffic(7, 20));
    assert_ne!(questions, traffic(8, 20));
    assert_eq!(questions.len() as u64, 20 * RATE);
    let of_first_hundred = questions.iter().filter(|(_, asked)| matches!(asked, Asked::Key(1..=100))).count();
    assert!((questions.len() / 5..questions.len() / 2).contains(&of_first_hundred), "{of_first_hundred} of {}", questions.len());
    assert_ne!(ed25519_public_key(1), ed25519_public_key(FIRST_UNKNOWN + 1));
}
