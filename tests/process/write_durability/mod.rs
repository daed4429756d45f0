//! `kill -9` of the primary at random moments while several clients write all that the API lets anybody write: after each restart every write
//! that was answered is there as it was answered, each that was not is there wholly or not at all, and nothing is there twice.
//!
//! Each client writes about things of its own, one write after another, and keeps what must be there. So what is there after a kill is what
//! was there before its last write, or what that write makes of it, and nothing else. Left out is what may be lost by design (when a key was
//! last used, what a host has acknowledged).

mod client;
mod observed_state;
mod write;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sidegate::model::clock;

use crate::support::contract_directory;
use crate::support::random::{Random, pseudo_random};
use crate::support::scaled;
use client::{Progress, WriteClient};
use observed_state::ObservedState;

/// Who writes at the same time.
const CLIENT_COUNT: u64 = 6;

/// Says at the end of a test that failed which seed it used.
struct ReportSeedOnPanic(u64);

impl Drop for ReportSeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with SIDEGATE_TEST_SEED={}", self.0);
        }
    }
}

#[test]
fn all_that_was_answered_is_there_once_when_the_primary_is_killed_during_writes_of_all_kinds() {
    let (kills, writes) = (scaled(6, 50), scaled(250, 1_000));
    let seed = std::env::var("SIDEGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| clock::wall_time().milliseconds().unsigned_abs());
    let _report = ReportSeedOnPanic(seed);
    let mut random = Random::new(seed);
    let mut clients: Vec<WriteClient> =
        (0..CLIENT_COUNT).map(|number| WriteClient::new(number, Random::new(pseudo_random(seed ^ number)))).collect();
    let mut env = contract_directory::primary_with_all_credentials("", &clients.iter().map(WriteClient::directory).collect::<String>());
    let (mut answered, mut lost, mut lost_and_there, mut uses) = (0, 0, 0, 0);
    for round in 0..kills {
        let mut primary = env.primary.take().unwrap();
        let running = Progress { answered_count: AtomicU64::new(0), primary_killed: AtomicBool::new(false) };
        let until = 1 + random.below(2 * writes);
        std::thread::scope(|scope| {
            for client in &mut clients {
                let (env, running) = (&env, &running);
                scope.spawn(move || client.write_until_killed(env, running));
            }
            env.wait_for("writes to be answered", || running.answered_count.load(Ordering::Relaxed) >= until);
            // Not at the moment of an answer.
            let (begun, moment) = (Instant::now(), Duration::from_micros(random.below(4_000)));
            while begun.elapsed() < moment {
                std::hint::spin_loop();
            }
            running.primary_killed.store(true, Ordering::SeqCst);
            primary.kill();
        });
        answered += running.answered_count.load(Ordering::Relaxed);
        let copy = observed_state::copy_store(&env);
        env.start_primary();
        let seen = ObservedState::read_after_restart(&env, &copy);
        for client in &mut clients {
            let unanswered = client.check(&env, &seen);
            lost += u64::from(unanswered.is_some());
            lost_and_there += u64::from(unanswered == Some(true));
        }
        let expected: Vec<_> = clients.iter().map(|client| &client.expected).collect();
        seen.assert_totals_match(&expected, &format!("round {round}"));
        let reports = [0, 1].map(|which| clients.iter().map(|client| client.usage_reports[which]).sum::<u64>());
        uses = seen.assert_usage_within(uses, reports, CLIENT_COUNT);
        clients.iter_mut().for_each(WriteClient::reset_round);
    }
    let mut primary = env.primary.take().unwrap();
    assert!(primary.stop().success(), "{}", primary.log());
    let log = primary.log();
    assert!(!log.contains("panicked"), "{log}");
    let kinds = write::WRITE_KINDS.len();
    assert!(kills < 10 || clients.iter().fold([0; write::WRITE_KINDS.len()], WriteClient::sum_write_counts).iter().all(|count| *count > 0));
    eprintln!(
        "primary killed {kills} times during {answered} answered writes of {kinds} kinds by {CLIENT_COUNT} clients: all there, none twice; \
         of {lost} unanswered ones {lost_and_there} were there wholly, the others not at all"
    );
}
