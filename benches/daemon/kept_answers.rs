//! Kept answers of a GitLab against the same from a followed directory; and what 100,000 of them take in memory and on disk.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::generated_directory::{directory_text, lookup_request, own_project_pull_request, pull_request_bytes};
use crate::load::{ConnectionMode, Measurement, best_of_rounds, read_response, run_load};
use crate::support::env::{SHELL_SECRET, TestEnv};
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::gitlab::{FakeGitlab, GitlabVersion};

const PEOPLE: u64 = 1000;
/// Answers of `allowed`: each person pulls from so many projects.
const PROJECTS_EACH: u64 = 100;
const RUN_TIME: Duration = Duration::from_millis(700);
/// How many connections fill the host, and after how many requests a token is made anew.
const FILLERS: u64 = 8;
const REQUESTS_PER_TOKEN: usize = 500;

/// A host in front of a GitLab; it ends first.
struct KeptHost {
    env: TestEnv,
    _gitlab: FakeGitlab,
}

pub fn run() {
    let kept = KeptHost::start();
    compare_with_followed(&kept.env);
    drop(kept);
    print_sizes(&KeptHost::start().env);
}

impl KeptHost {
    fn start() -> Self {
        let ttl = "{ ttl = \"1h\", max_stale = \"2h\" }";
        let mut env = TestEnv::with_config("", &format!("[freshness]\nkeys = {ttl}\nreads = {ttl}\n"));
        env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"\noperations_per_minute = 0");
        let gitlab = FakeGitlab::on_unix(&env.primary_socket(), GitlabVersion::V18, SHELL_SECRET);
        gitlab.count_only();
        *gitlab.directory() = GitlabDirectory::default();
        for id in 1..=PEOPLE {
            let mut directory = gitlab.directory();
            directory.add_user(id);
            directory.add_key(id, id);
            directory.add_project(id, &format!("g/p{id}"), true, &[]);
        }
        env.start_sidecar();
        Self { env, _gitlab: gitlab }
    }
}

fn compare_with_followed(kept: &TestEnv) {
    let followed = TestEnv::running(&directory_text(PEOPLE));
    println!("{:34} {:>10} {:>9} {:>9} {:>9}", "", "from", "req/s", "p50 us", "p99 us");
    for mode in [ConnectionMode::KeepAlive, ConnectionMode::PerRequest] {
        for (name, request) in
            [("authorized_keys", lookup_request as fn(u64, &str, bool) -> Vec<u8>), ("allowed", own_project_pull_request)]
        {
            let token = kept.shell_token();
            let requests: Vec<Vec<u8>> = (1..=PEOPLE).map(|id| request(id, &token, mode == ConnectionMode::PerRequest)).collect();
            fill(kept, PEOPLE, |id, token| request(id, token, false));
            let measure = |env: &TestEnv| run_load(&env.sidecar_socket(), &requests, mode, 8, RUN_TIME);
            let found = best_of_rounds(3, &[&|| measure(kept), &|| measure(&followed)]);
            let label = format!("{mode:?}, {name}");
            for (source, Measurement { requests_per_second, p50, p99, .. }) in ["kept", "followed"].iter().zip(&found) {
                println!("{label:34} {source:>10} {requests_per_second:>9.0} {p50:>9.1} {p99:>9.1}");
            }
            println!("{label:34} kept against followed: p50 {:.2}, p99 {:.2}", found[0].p50 / found[1].p50, found[0].p99 / found[1].p99);
        }
    }
}

/// Asks one question after the other, each once.
fn fill(env: &TestEnv, count: u64, request: impl Fn(u64, &str) -> Vec<u8> + Sync) {
    thread::scope(|scope| {
        for first in 1..=FILLERS {
            let request = &request;
            scope.spawn(move || {
                let mut buffer = vec![0; 16 << 10];
                let numbers: Vec<u64> = (first..=count).step_by(usize::try_from(FILLERS).unwrap()).collect();
                for some in numbers.chunks(REQUESTS_PER_TOKEN) {
                    let token = env.shell_token();
                    let mut stream = UnixStream::connect(env.sidecar_socket()).unwrap();
                    for number in some {
                        stream.write_all(&request(*number, &token)).unwrap();
                        read_response(&mut stream, &mut buffer);
                    }
                }
            });
        }
    });
}

fn print_sizes(env: &TestEnv) {
    let resident_kib = || env.sidecar.as_ref().unwrap().memory_kib()[0];
    let before = resident_kib();
    fill(env, PEOPLE * PROJECTS_EACH, |number, token| {
        let (person, step) = (1 + number % PEOPLE, number / PEOPLE);
        pull_request_bytes(person, &format!("g/p{}", 1 + (person + step * 7) % PEOPLE), token, false)
    });
    env.wait_for("all to be on disk", || env.status()["kept"]["store"]["pending"] == 0);
    let kept = &env.status()["kept"];
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "{} answers of `allowed`: {:.0} MiB in memory ({:.0} MiB as they are counted), {:.0} MiB on disk",
        kept["answers"],
        mib((resident_kib() - before) as f64 * 1024.0),
        mib(kept["bytes"].as_f64().unwrap()),
        mib(kept["store"]["disk_bytes"].as_f64().unwrap())
    );
}
