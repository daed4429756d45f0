//! Prints what a run has found, as tables, and judges it.

use std::time::Duration;

use crate::gitlab_load::phases::{Phase, Round};

/// By how much the p99 of kept answers may grow.
const MAX_RATIO: f64 = 2.0;
/// `primary.timeout`, and what a machine that is busy adds.
const MAX_WAIT: Duration = Duration::from_millis(2500);
/// The most descriptors that a host may hold more in the second half of a phase than in the first.
const MAX_MORE_DESCRIPTORS: u64 = 16;
/// By how much memory may grow from the first half of a flood to the second, in KiB.
const MAX_MORE_MEMORY_KIB: u64 = 8 << 10;

/// Returns how many checks failed.
pub fn print_and_judge(rounds: &[Round]) -> usize {
    eprintln!("| round | phase | kept answers | p50 ms | p99 ms | p99 / idle | strangers 404 / 424 | asked for them | all questions |");
    eprintln!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (number, round) in rounds.iter().enumerate() {
        for (name, phase) in [("idle", &round.idle), ("flood", &round.flood), ("hung", &round.hung)] {
            print_phase(number + 1, name, phase, &round.idle);
        }
    }
    eprintln!("\nAt its most in the first half, and in the second:");
    eprintln!("| round | phase | memory MiB | descriptors | questions under way | waiting |");
    eprintln!("| --- | --- | --- | --- | --- | --- |");
    for (number, round) in rounds.iter().enumerate() {
        for (name, phase) in [("idle", &round.idle), ("flood", &round.flood), ("hung", &round.hung)] {
            print_held(number + 1, name, phase);
        }
    }
    judge(rounds)
}

fn print_phase(round: usize, name: &str, phase: &Phase, idle: &Phase) {
    let (p50, p99) = (milliseconds(&phase.kept, 50), milliseconds(&phase.kept, 99));
    let strangers = &phase.strangers;
    eprintln!(
        "| {round} | {name} | {} | {p50:.2} | {p99:.2} | {:.2} | {} / {} | {} | {} |",
        phase.kept.len(),
        p99 / milliseconds(&idle.kept, 99),
        strangers.answers(404),
        strangers.answers(424),
        phase.asked_lookups,
        phase.questions
    );
}

fn print_held(round: usize, name: &str, phase: &Phase) {
    let [first, second] = phase.halves;
    let mib = |kib: u64| kib / 1024;
    eprintln!(
        "| {round} | {name} | {}, {} | {}, {} | {}, {} | {}, {} |",
        mib(first.memory_kib),
        mib(second.memory_kib),
        first.descriptors,
        second.descriptors,
        first.under_way,
        second.under_way,
        first.waiting,
        second.waiting
    );
}

fn judge(rounds: &[Round]) -> usize {
    let best_ratio = |phase: fn(&Round) -> &Phase| {
        let ratio = |round: &Round| milliseconds(&phase(round).kept, 99) / milliseconds(&round.idle.kept, 99);
        rounds.iter().map(ratio).fold(f64::INFINITY, f64::min)
    };
    let (flood, hung) = (best_ratio(|round| &round.flood), best_ratio(|round| &round.hung));
    let slowest = rounds.iter().map(|round| round.hung.strangers.slowest()).max().unwrap_or_default();
    let all = |holds: fn(&Round) -> bool| rounds.iter().all(holds);
    let checks = [
        (format!("flood: p99 of kept answers within twice of idle, in the best round: {flood:.2}"), flood <= MAX_RATIO),
        (
            "flood: at most one question for each unknown key".to_owned(),
            all(|round| 2 * round.flood.asked_lookups <= round.flood.strangers.all() + 2 * round.flood.asked_known as u64),
        ),
        ("flood: at most a quarter of `limits.forwards` at once for strangers, and 16 ahead of time".to_owned(), all(few_at_once)),
        (
            "flood: memory stays".to_owned(),
            all(|round| round.flood.halves[1].memory_kib <= round.flood.halves[0].memory_kib + MAX_MORE_MEMORY_KIB),
        ),
        ("nobody who is known is refused".to_owned(), all(|round| round.flood.refused_known + round.hung.refused_known == 0)),
        (format!("hung: p99 of kept answers within twice of idle, in the best round: {hung:.2}"), hung <= MAX_RATIO),
        (format!("hung: whoever must be asked for has a message within `timeout`: {slowest:?} at most"), slowest <= MAX_WAIT),
        ("hung: nothing piles up".to_owned(), all(nothing_piles_up)),
    ];
    let failed = checks.iter().filter(|(_, holds)| !holds).count();
    eprintln!();
    for (what, holds) in &checks {
        eprintln!("{}: {what}", if *holds { "passed" } else { "FAILED" });
    }
    eprintln!("{} passed, {failed} failed", checks.len() - failed);
    failed
}

fn few_at_once(round: &Round) -> bool {
    round.flood.most_at_once <= 256 / 4 + 16
}

fn nothing_piles_up(round: &Round) -> bool {
    let [first, second] = round.hung.halves;
    second.descriptors <= first.descriptors + MAX_MORE_DESCRIPTORS && second.under_way <= first.under_way && second.waiting <= first.waiting
}

fn milliseconds(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default().as_secs_f64() * 1000.0
}
