//! What a generation of many keys costs: load, open, scan, look-ups, commits. `cargo bench --bench store -- [keys]`.
//!
//! Figures are printed, nothing is asserted: they hold for one machine and one moment.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::Instant;

use base64::Engine as _;
use sidegate::model::change::{Change, Epoch};
use sidegate::model::directory::Directory as _;
use sidegate::model::entry::Entry;
use sidegate::model::key::Fingerprint;
use sidegate::model::record::Record;
use sidegate::model::record_identity::RecordIdentity;
use sidegate::store::error::StoreError;
use sidegate::store::generations::generation::{Generation, StoreOptions};

fn key_blob(number: u64) -> Vec<u8> {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(&Fingerprint::of(&number.to_be_bytes()).0);
    blob
}

fn key_entry(number: u64, title: &str) -> Entry {
    let key = base64::engine::general_purpose::STANDARD.encode(key_blob(number));
    let line = format!(
        r#"{{"kind":"key","id":{number},"user_id":{user},"title":"{title}","key":"ssh-ed25519 {key}","created_at":"2026-01-31T12:00:00.000Z"}}"#,
        user = number / 3 + 1
    );
    Entry::from_record(Record::parse(&line).unwrap()).unwrap()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn print_time<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = act();
    println!("{what:<44} {:>9.1} ms   rss {} MiB", start.elapsed().as_secs_f64() * 1e3, resident_mib());
    outcome
}

fn print_percentiles(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!("{what:<44} p50 {:.2} us  p99 {:.2} us  max {:.1} us", at(0.5), at(0.99), at(1.0));
}

fn time_each(count: u64, mut act: impl FnMut(u64)) -> Vec<u64> {
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
    let options = StoreOptions { page_cache_bytes: 64 << 20, record_cache_entries: 65_536 };
    let folder = tempfile::tempdir().unwrap();
    let mut order: Vec<(Fingerprint, u64)> = (1..=count).map(|number| (Fingerprint::of(&key_blob(number)), number)).collect();
    order.sort_unstable();
    println!("{count} keys");
    print_time("making the entries alone", || {
        order.iter().for_each(|(_, number)| drop(std::hint::black_box(key_entry(*number, "laptop"))))
    });
    let entries = order.iter().map(|(_, number)| Ok::<_, StoreError>(key_entry(*number, "laptop")));
    let generation = print_time("making the entries and loading them", || Generation::create(folder.path(), &options, entries).unwrap());
    print_time("closing", || drop(generation));
    let generation = print_time("first opening", || Generation::open(folder.path(), &options).unwrap());
    print_time("closing", || drop(generation));
    let generation = print_time("opening", || Generation::open(folder.path(), &options).unwrap());
    print_time("first look-up", || generation.key_by_fingerprint(&order[order.len() / 2].0).unwrap().unwrap());
    assert!(print_time("scan", || generation.is_intact().unwrap()));
    println!("on disk: {} MiB", generation.size_on_disk() >> 20);
    print_time("lines of a snapshot", || assert_eq!(generation.record_lines().count() as u64, count));
    let mut pick = 1_u64;
    let mut random = |bound: u64| {
        pick = pick.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (pick >> 33) % bound
    };
    let print = |index: u64| &order[usize::try_from(index).unwrap()].0;
    print_percentiles(
        "look-up, anywhere",
        time_each(50_000, |_| drop(generation.key_by_fingerprint(print(random(count))).unwrap().unwrap())),
    );
    let hot = 1_000.min(count);
    for index in 0..hot {
        generation.key_by_fingerprint(print(index)).unwrap();
    }
    print_percentiles("look-up, kept", time_each(200_000, |_| drop(generation.key_by_fingerprint(print(random(hot))).unwrap().unwrap())));
    let missing = Fingerprint::of(b"none");
    print_percentiles("look-up of nothing", time_each(20_000, |_| drop(generation.key_by_fingerprint(&missing).unwrap())));
    print_percentiles(
        "look-up by id",
        time_each(20_000, |_| drop(generation.key((random(count) + 1).try_into().unwrap()).unwrap().unwrap())),
    );
    for size in [1_u64, 50, 1_000] {
        let mut seq = 0;
        let times = time_each(50, |_| {
            seq += 1;
            let changes: Vec<_> = (0..size).map(|_| Change::Put(key_entry(random(count) + 1, "desktop"))).collect();
            generation.apply(&changes, Some((Epoch(1), seq))).unwrap();
        });
        print_percentiles(&format!("applying {size} puts"), times);
        print_percentiles("flush", time_each(1, |_| generation.flush().unwrap()));
    }
    print_percentiles(
        "applying a revocation, with flush",
        time_each(50, |_| {
            let id = (random(count) + 1).try_into().unwrap();
            generation.apply(&[Change::Delete(RecordIdentity::Key(id))], None).unwrap();
            generation.flush().unwrap();
        }),
    );
    assert!(print_time("scan", || generation.is_intact().unwrap()));
    println!("on disk: {} MiB", generation.size_on_disk() >> 20);
}
