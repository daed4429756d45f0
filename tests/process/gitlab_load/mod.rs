//! A host in front of a GitLab under load: a flood of keys that nobody knows, and a GitLab that hangs. What is counted holds in every run;
//! times are judged only by `tests/gitlab_load`, each against those of the same run while all was well.

mod load;
mod phases;
mod report;
mod site;

use std::thread;
use std::time::Duration;

use crate::gitlab_load::load::Strangers;
use crate::gitlab_load::phases::{LoadScale, run_rounds};
use crate::gitlab_load::site::{FIRST_UNKNOWN, started};
use crate::support::generated_directory::key_blob;
use crate::support::gitlab::outage::Outage;
use crate::support::lookup::lookup_request;
use crate::support::paced::Paced;
use crate::support::{TIMEOUT, scaled};

/// By how much memory may grow, in KiB: the table of unknown keys, and what the allocator keeps.
const MAX_GROWTH_KIB: u64 = 24 << 10;

const ALL_FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                         negative_ttl = \"1m\"\n[limits]\nforwards = 16\nforwards_waiting = 256\n";

#[test]
fn a_flood_of_unknown_keys_is_one_question_for_each_and_few_at_once_and_takes_no_memory() {
    let keys = scaled(2_000, 10_000);
    let it = started(50, Duration::from_millis(5), "", ALL_FRESH);
    for key in 1..=50 {
        assert_eq!(it.ask(lookup_request(&key_blob(key))).status, 200);
    }
    let sidecar = it.env.sidecar.as_ref().unwrap();
    let strangers = Strangers { first: FIRST_UNKNOWN, keys, offers: 2 };
    strangers.offer(&it, &Paced::at_once(32));
    it.gitlab.take_most_under_way();
    let (asked, [before, _]) = (it.gitlab.questions("authorized_keys"), sidecar.memory_kib());
    let others = Strangers { first: FIRST_UNKNOWN + keys, ..strangers };
    thread::scope(|scope| {
        let flood = scope.spawn(|| others.offer(&it, &Paced::at_once(32)));
        let mut rounds = 0;
        while rounds < 20 || !flood.is_finished() {
            for key in 1..=50 {
                let answer = it.ask(lookup_request(&key_blob(key)));
                assert_eq!((answer.status, answer.header("x-sidegate-answer")), (200, Some("cached")));
            }
            rounds += 1;
        }
        flood.join().unwrap();
    });
    let questions = it.gitlab.questions("authorized_keys") - asked;
    assert!((1..=keys).contains(&questions), "{questions} questions for {keys} keys that were offered twice each");
    assert!(it.gitlab.take_most_under_way() <= 4, "key misses have a quarter of `limits.forwards`");
    let status = it.env.status();
    assert_eq!((&status["kept"]["answers"], &status["primary"]["questions_under_way"]), (&50.into(), &0.into()), "{status}");
    assert!(status["kept"]["unknown_keys"].as_u64().unwrap() <= 2 * keys);
    let [after, _] = sidecar.memory_kib();
    assert!(after <= before + MAX_GROWTH_KIB, "{before} KiB before, {after} KiB after");
}

#[test]
fn while_gitlab_hangs_nothing_piles_up_and_whose_question_must_be_asked_is_told() {
    let mut it = started(50, Duration::ZERO, "timeout = \"300ms\"", ALL_FRESH);
    for key in 1..=50 {
        assert_eq!(it.ask(lookup_request(&key_blob(key))).status, 200);
    }
    it.gitlab.fail(Outage::Hung);
    let strangers = Strangers { first: FIRST_UNKNOWN, keys: scaled(500, 5_000), offers: 1 };
    let offer = |first| {
        let told = Strangers { first, ..strangers }.offer(&it, &Paced::at_once(32));
        assert_eq!((told.answers(424), told.all()), (strangers.keys, strangers.keys), "each has a message");
        it.gitlab.all_questions()
    };
    offer(FIRST_UNKNOWN);
    it.env.wait_for("the probe to fail", || it.env.status()["primary"]["breaker"] == "open");
    let asked = it.gitlab.all_questions();
    assert_eq!(offer(2 * FIRST_UNKNOWN), asked, "nothing of theirs is sent to a GitLab that does not answer");
    it.env.wait_for("nothing to be under way", || {
        let status = it.env.status();
        status["primary"]["questions_under_way"] == 0 && status["primary"]["questions_waiting"] == 0
    });
    it.gitlab.recover();
    it.env.wait_for("GitLab to be asked again", || it.ask(lookup_request(&key_blob(FIRST_UNKNOWN))).status == 404);
}

/// Started by `tests/gitlab_load`.
#[test]
#[ignore = "takes minutes, and judges times: tests/gitlab_load"]
fn a_flood_of_unknown_keys_and_a_hung_gitlab_cost_nobody_who_is_known_any_time() {
    let rounds = std::env::var("SIDEGATE_LOAD_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let failed = report::print_and_judge(&run_rounds(&LoadScale { rounds, ..LoadScale::default() }));
    assert_eq!(failed, 0, "{failed} checks failed");
}

#[test]
fn a_short_run_of_the_load_answers_everybody() {
    let second = Duration::from_secs(1);
    let rounds =
        run_rounds(&LoadScale { rounds: 1, idle: second, flood: second, hung: second * 2, unknown_keys: 300, ..LoadScale::default() });
    let [round] = &rounds[..] else { panic!("one round") };
    for phase in [&round.idle, &round.flood, &round.hung] {
        assert!(!phase.kept.is_empty() && phase.refused_known == 0, "{}", phase.refused_known);
    }
    assert!(round.flood.asked_lookups <= 300 + round.flood.asked_known as u64 && round.hung.strangers.answers(404) == 0);
    assert!(round.hung.strangers.slowest() < TIMEOUT);
}
