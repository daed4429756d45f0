//! Random events at GitLab, with hooks that are lost, doubled and out of order, a mirror that is killed and hosts that are restarted: at the end
//! every host has the keys that GitLab has, and no key was given after its removal had been told and published.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::mirror::MirrorEnv;
use crate::mirror::host::{FRESH, Host};
use crate::support::env::SHELL_SECRET;
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::delivery::Delivery;
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::random::Random;
use crate::support::scaled;

const USERS: u64 = 60;
const KEYS: u64 = 90;
/// Events between two moments at which everything is compared.
const ROUND: u64 = 20;
const WALK: &str = "full = \"2s\"\nrecent = \"300ms\"\nverify_every = \"1s\"\n";
/// Thousands of keys are removed here in a day of hundreds.
const NO_GUARD: &str = "[sync]\nloss_guard = { share = 1.0, more_than = 100 }\n";

/// A key that was removed.
struct RemovedKey {
    id: u64,
    line: String,
    removed: Instant,
    /// Whether it went with its user, so that no hook names it.
    with_user: bool,
}

struct Scenario {
    mirror: MirrorEnv,
    hosts: Vec<Host>,
    random: Random,
    /// The number of the next generated key.
    next_key: u64,
    next_name: u64,
    /// Removals that no host was seen to refuse yet, by id.
    outstanding: Vec<RemovedKey>,
    removed: Vec<String>,
    /// How long after its removal at GitLab a key was refused by all hosts, by how it was told.
    delays: BTreeMap<&'static str, Vec<Duration>>,
}

#[test]
fn after_random_events_every_host_has_what_gitlab_has_and_told_removals_were_in_force() {
    let (events, kills) = (scaled(300, 10_000), scaled(4, 50));
    let mut scenario = Scenario::start(11);
    let rounds = events / ROUND;
    for round in 0..rounds {
        for _ in 0..ROUND {
            scenario.change_something();
        }
        if round * kills / rounds != (round + 1) * kills / rounds {
            scenario.mirror.crash_mirror();
        }
        if round % 5 == 3 {
            let which = usize::try_from(scenario.random.below(scenario.hosts.len() as u64)).unwrap();
            scenario.hosts[which].restart(&scenario.mirror.env);
        }
        scenario.check_told_removals();
    }
    scenario.check_end();
    scenario.print_delays(events, kills);
}

impl Scenario {
    fn start(seed: u64) -> Self {
        let gitlab = GitlabApi::on_tcp("", ApiVersion::V17, SHELL_SECRET, generated::instance(seed, USERS, KEYS));
        let mut mirror = MirrorEnv::prepare(gitlab, WALK, NO_GUARD);
        mirror.start_mirror();
        mirror.wait_for_first_walk();
        let delivery = Delivery { seed, lost: 10, doubled: 10, held_back: 10, ..mirror.delivery() };
        mirror.gitlab.hooks().set_delivery(Some(delivery));
        let freshness = format!("{FRESH}loss_guard = {{ share = 1.0, more_than = 100 }}\nmisses_per_second = 10000\n");
        let hosts: Vec<Host> = ["ssh-1", "ssh-2"].map(|name| Host::start(&mirror, name, &freshness)).into();
        hosts.iter().for_each(|host| host.wait_until_followed(&mirror));
        let (outstanding, removed, delays) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { mirror, hosts, random: Random::new(seed), next_key: KEYS + 1, next_name: 0, outstanding, removed, delays }
    }

    fn change_something(&mut self) {
        let Some(user) = self.some_user() else { return };
        let gitlab = &self.mirror.gitlab;
        self.next_name += 1;
        match self.random.below(100) {
            0..30 => drop(gitlab.add_key(user, &key_line(self.next_key))),
            30..34 => drop(gitlab.add_deploy_key(user, &key_line(self.next_key))),
            34..56 => self.delete_some_key(),
            56..68 => gitlab.set_state(user, ["active", "blocked", "banned"][usize::try_from(self.next_name % 3).unwrap()]),
            68..78 => gitlab.rename_user(user, &format!("name-{}", self.next_name)),
            78..86 => drop(gitlab.add_user(&format!("new-{}", self.next_name))),
            86..90 => self.delete_user(user),
            _ => gitlab.sign_in(user),
        }
        self.next_key += 1;
    }

    /// One of all users but the administrator.
    fn some_user(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.mirror.gitlab.instance().users().map(|user| user.id).filter(|id| *id != 1).collect();
        let which = self.random.below(ids.len().max(1) as u64);
        ids.get(usize::try_from(which).unwrap()).copied()
    }

    fn delete_some_key(&mut self) {
        let keys: Vec<(u64, String)> = self.mirror.gitlab.instance().keys().map(|key| (key.id, key.line.clone())).collect();
        let which = self.random.below(keys.len().max(1) as u64);
        let Some((id, line)) = keys.get(usize::try_from(which).unwrap()).cloned() else { return };
        self.mirror.gitlab.delete_key(id);
        self.note_removal(id, line, false);
    }

    /// The keys of a user go without hooks of their own.
    fn delete_user(&mut self, user: u64) {
        let instance = self.mirror.gitlab.instance().clone();
        self.mirror.gitlab.delete_user(user);
        for key in instance.keys().filter(|key| key.user == Some(user) && key.deploy.is_none()) {
            self.note_removal(key.id, key.line.clone(), true);
        }
    }

    fn note_removal(&mut self, id: u64, line: String, with_user: bool) {
        self.removed.push(line.clone());
        self.outstanding.push(RemovedKey { id, line, removed: Instant::now(), with_user });
    }

    /// Lets all hooks arrive that are not lost. What they tell of keys has to be in force on each host that has the commit.
    fn check_told_removals(&mut self) {
        self.mirror.gitlab.hooks().flush();
        let told: BTreeSet<u64> = self.told_removals();
        let seq = self.mirror.seq();
        for host in &self.hosts {
            host.wait_for_seq(&self.mirror, seq);
            for key in self.outstanding.iter().filter(|key| told.contains(&key.id)) {
                let answer = host.look_up(&key.line);
                assert_ne!(answer.status, 200, "key {} was told to be destroyed\n{}", key.id, host.log());
            }
        }
        self.measure_delays(&told);
    }

    /// The keys of which a hook has told that they were destroyed, and was answered.
    fn told_removals(&self) -> BTreeSet<u64> {
        let delivered = self.mirror.gitlab.hooks().delivered().into_iter();
        let told = delivered.filter(|delivered| delivered.status == Some(200) && delivered.hook["event_name"] == "key_destroy");
        told.filter_map(|delivered| delivered.hook["id"].as_u64()).collect()
    }

    /// Notes how long it took for what all hosts refuse by now.
    fn measure_delays(&mut self, told: &BTreeSet<u64>) {
        let (hosts, delays) = (&self.hosts, &mut self.delays);
        self.outstanding.retain(|key| {
            let is_given = hosts.iter().any(|host| host.look_up(&key.line).status == 200);
            if !is_given {
                let how = match (key.with_user, told.contains(&key.id)) {
                    (true, _) => "gone with its user",
                    (false, true) => "told by its hook",
                    (false, false) => "hook lost or refused",
                };
                delays.entry(how).or_default().push(key.removed.elapsed());
            }
            is_given
        });
    }

    fn check_end(&mut self) {
        self.mirror.gitlab.hooks().flush();
        self.mirror.wait_until_equal();
        self.hosts.iter().for_each(|host| host.wait_until_followed(&self.mirror));
        self.measure_delays(&self.told_removals());
        assert!(self.outstanding.is_empty());
        let instance = self.mirror.gitlab.instance().clone();
        for host in &self.hosts {
            let (here, there) = (host.status(), self.mirror.status());
            assert_eq!(here["follower"]["cursor"]["digest"], there["head"]["digest"]);
            for key in instance.keys() {
                let answer = host.look_up(&key.line);
                assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(key.id)), "{}", host.log());
                assert_eq!(answer.header("x-sidegate-answer"), Some("local"));
            }
            for line in &self.removed {
                assert_eq!(host.look_up(line).status, 404);
            }
        }
    }

    /// The distribution, as far as it is seen between two rounds: an upper limit.
    fn print_delays(&mut self, events: u64, kills: u64) {
        eprintln!("{events} events, the mirror killed {kills} times; from the removal at GitLab to the refusal on both hosts, at most:");
        for (how, delays) in &mut self.delays {
            delays.sort();
            let at = |percent: usize| delays[(delays.len() - 1) * percent / 100].as_millis();
            eprintln!(
                "  {how:<20} {:>5} keys  p50 {:>6} ms  p90 {:>6} ms  p99 {:>6} ms  max {:>6} ms",
                delays.len(),
                at(50),
                at(90),
                at(99),
                at(100)
            );
        }
    }
}
