//! A million keys: applied, synced, restarted, and the memory that it takes.

use std::io::BufWriter;
use std::time::{Duration, Instant};

use crate::generated_directory;
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;
use crate::support::lookup::lookup_request;

pub fn run() {
    let count: u64 = std::env::var("SIDEGATE_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let store = std::env::var("SIDEGATE_STORE").unwrap_or_default();
    let mut env = TestEnv::new();
    let config = std::fs::read_to_string(env.path().join("sidegate.toml")).unwrap();
    env.write("sidegate.toml", &config.replace("[store]\n", &format!("[store]\n{store}\n")));
    let file = env.write("many.jsonl", "");
    let mut out = BufWriter::new(std::fs::File::create(&file).unwrap());
    generated_directory::write_keys_only(count, &mut out);
    drop(out);
    env.start_primary();
    let begun = Instant::now();
    let applied = env.run_admin(&["apply", file.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    println!(
        "{count} keys: apply {:.1} s; primary {} MiB, at most {} MiB",
        begun.elapsed().as_secs_f64(),
        memory_mib(env.primary.as_ref().unwrap().id(), "VmRSS"),
        memory_mib(env.primary.as_ref().unwrap().id(), "VmHWM")
    );
    let begun = Instant::now();
    env.start_sidecar();
    env.wait_until_fresh();
    let id = env.sidecar.as_ref().unwrap().id();
    println!(
        "sync from empty {:.1} s; sidecar {} MiB, at most {} MiB",
        begun.elapsed().as_secs_f64(),
        memory_mib(id, "VmRSS"),
        memory_mib(id, "VmHWM")
    );
    env.sidecar.as_mut().unwrap().stop();
    for name in ["first", "second"] {
        let begun = Instant::now();
        env.start_sidecar();
        let token = env.shell_token();
        let ready = begun.elapsed();
        let hit = lookup_request(&key_blob(count / 2)).header("Gitlab-Shell-Api-Request", &token).send(&env.sidecar_socket());
        assert_eq!((hit.status, hit.header("x-sidegate-answer")), (200, Some("local")));
        println!("{name} restart: ready after {} ms, first answer after {} ms", ready.as_millis(), begun.elapsed().as_millis());
        env.wait_until_fresh();
        let id = env.sidecar.as_ref().unwrap().id();
        println!("{name} restart: sidecar {} MiB, at most {} MiB", memory_mib(id, "VmRSS"), memory_mib(id, "VmHWM"));
        let requests: Vec<Vec<u8>> =
            (0..200_000).map(|step| generated_directory::lookup_request(step * 7_919 % count + 1, &token, false)).collect();
        let it = crate::load::run_load(&env.sidecar_socket(), &requests, crate::load::ConnectionMode::KeepAlive, 8, Duration::from_secs(2));
        println!(
            "cold look-ups: {:.0} req/s, p50 {:.1} us, p99 {:.1} us; sidecar {} MiB",
            it.requests_per_second,
            it.p50,
            it.p99,
            memory_mib(id, "VmRSS")
        );
        env.sidecar.as_mut().unwrap().stop();
    }
    env.start_sidecar();
    env.wait_until_fresh();
    let id = env.sidecar.as_ref().unwrap().id();
    let begun = Instant::now();
    let socket = env.sidecar_socket();
    let before = env.status()["follower"]["counted"]["resyncs"].clone();
    env.run_sidegate(&["resync", "--socket", socket.to_str().unwrap()]);
    env.wait_for("the resync", || env.status()["follower"]["counted"]["resyncs"] != before);
    println!(
        "resync {:.1} s; sidecar {} MiB, at most {} MiB",
        begun.elapsed().as_secs_f64(),
        memory_mib(id, "VmRSS"),
        memory_mib(id, "VmHWM")
    );
}

/// A line of the kernel's account of a process, in MiB.
pub fn memory_mib(id: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let found = status.lines().find(|text| text.starts_with(line)).unwrap();
    found.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
