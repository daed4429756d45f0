//! What a generation of many keys costs: load, open, scan, look-ups, commits. `cargo bench --bench store -- [keys]`.
//!
//! Figures are printed, nothing is asserted: they hold for one machine and one moment.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::Instant;

use base64::Engine as _;
use sidegate::model::change::{Change, Epoch, Identity};
use sidegate::model::directory::Directory as _;
use sidegate::model::entry::Entry;
use sidegate::model::key::Fingerprint;
use sidegate::model::record::Record;
use sidegate::store::generation::{Damage, Generation, Options};

fn blob(number: u64) -> Vec<u8> {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(&Fingerprint::of(&number.to_be_bytes()).0);
    blob
}

fn entry(number: u64, title: &str) -> Entry {
    let key = base64::engine::general_purpose::STANDARD.encode(blob(number));
    let line = format!(
        r#"{{"kind":"key","id":{number},"user_id":{user},"title":"{title}","key":"ssh-ed25519 {key}","created_at":"2026-01-31T12:00:00.000Z"}}"#,
        user = number / 3 + 1
    );
    Entry::of(Record::parse(&line).unwrap()).unwrap()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = act();
    println!("{what:<44} {:>9.1} ms   rss {} MiB", start.elapsed().as_secs_f64() * 1e3, resident());
    outcome
}

fn spread(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!("{what:<44} p50 {:.2} us  p99 {:.2} us  max {:.1} us", at(0.5), at(0.99), at(1.0));
}

fn each_timed(count: u64, mut act: impl FnMut(u64)) -> Vec<u64> {
    let mut times = Vec::new();
    for step in 0..count {
        let start = Instant::now();
        act(step);
        times.push(u64::try_from(start.elapsed().as_nanos()).unwrap());
    }
    times
}

fn main() {
    let count: u64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let options = Options { page_cache: 64 << 20, record_cache: 65_536 };
    let folder = tempfile::tempdir().unwrap();
    let mut order: Vec<(Fingerprint, u64)> = (1..=count).map(|number| (Fingerprint::of(&blob(number)), number)).collect();
    order.sort_unstable();
    println!("{count} keys");
    timed("making the entries alone", || order.iter().for_each(|(_, number)| drop(std::hint::black_box(entry(*number, "laptop")))));
    let entries = order.iter().map(|(_, number)| Ok::<_, Damage>(entry(*number, "laptop")));
    let generation = timed("making the entries and loading them", || Generation::load(folder.path(), &options, entries).unwrap());
    timed("closing", || drop(generation));
    let generation = timed("first opening", || Generation::open(folder.path(), &options).unwrap());
    timed("closing", || drop(generation));
    let generation = timed("opening", || Generation::open(folder.path(), &options).unwrap());
    timed("first look-up", || generation.key_with(&order[order.len() / 2].0).unwrap().unwrap());
    assert!(timed("scan", || generation.whole().unwrap()));
    println!("on disk: {} MiB", generation.size() >> 20);
    timed("lines of a snapshot", || assert_eq!(generation.lines().count() as u64, count));
    let mut pick = 1_u64;
    let mut random = |bound: u64| {
        pick = pick.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (pick >> 33) % bound
    };
    let print = |index: u64| &order[usize::try_from(index).unwrap()].0;
    spread("look-up, anywhere", each_timed(50_000, |_| drop(generation.key_with(print(random(count))).unwrap().unwrap())));
    let hot = 1_000.min(count);
    for index in 0..hot {
        generation.key_with(print(index)).unwrap();
    }
    spread("look-up, kept", each_timed(200_000, |_| drop(generation.key_with(print(random(hot))).unwrap().unwrap())));
    let missing = Fingerprint::of(b"none");
    spread("look-up of nothing", each_timed(20_000, |_| drop(generation.key_with(&missing).unwrap())));
    spread("look-up by id", each_timed(20_000, |_| drop(generation.key((random(count) + 1).try_into().unwrap()).unwrap().unwrap())));
    for size in [1_u64, 50, 1_000] {
        let mut seq = 0;
        let times = each_timed(50, |_| {
            seq += 1;
            let changes: Vec<_> = (0..size).map(|_| Change::Put(entry(random(count) + 1, "desktop"))).collect();
            generation.apply(&changes, Some((Epoch(1), seq))).unwrap();
        });
        spread(&format!("applying {size} puts"), times);
        spread("flush", each_timed(1, |_| generation.flush().unwrap()));
    }
    spread(
        "applying a revocation, with flush",
        each_timed(50, |_| {
            let id = (random(count) + 1).try_into().unwrap();
            generation.apply(&[Change::Delete(Identity::Key(id))], None).unwrap();
            generation.flush().unwrap();
        }),
    );
    assert!(timed("scan", || generation.whole().unwrap()));
    println!("on disk: {} MiB", generation.size() >> 20);
}
