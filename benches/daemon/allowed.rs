//! `allowed` with a token against the look-up: a thousand hot pairs, and many cold ones.

use std::time::Duration;

use crate::generated_directory;
use crate::load::{ConnectionMode, best_of_rounds, run_load};
use crate::support::env::TestEnv;

const RUN_TIME: Duration = Duration::from_millis(700);

pub fn run() {
    let cold: u64 = std::env::var("SIDEGATE_COLD").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let env = TestEnv::running(&generated_directory::directory_text(cold));
    let socket = env.sidecar_socket();
    for keeping in [ConnectionMode::KeepAlive, ConnectionMode::PerRequest] {
        let close = keeping == ConnectionMode::PerRequest;
        let token = env.shell_token();
        let lookups: Vec<Vec<u8>> = (1..=1000).map(|number| generated_directory::lookup_request(number, &token, close)).collect();
        let hot: Vec<Vec<u8>> = (1..=1000).map(|number| generated_directory::own_project_pull_request(number, &token, close)).collect();
        let all: Vec<Vec<u8>> =
            (0..cold).map(|step| generated_directory::own_project_pull_request(step * 7_919 % cold + 1, &token, close)).collect();
        let found = best_of_rounds(
            3,
            &[&|| run_load(&socket, &lookups, keeping, 8, RUN_TIME), &|| run_load(&socket, &hot, keeping, 8, RUN_TIME), &|| {
                run_load(&socket, &all, keeping, 8, RUN_TIME)
            }],
        );
        for (name, it) in ["lookup", "allowed, 1,000 hot", "allowed, cold"].iter().zip(&found) {
            println!(
                "{keeping:?}: {name:20} {:>9.0} req/s, p50 {:.1} us, p99 {:.1} us; against the look-up: p50 {:.2}, p99 {:.2}",
                it.requests_per_second,
                it.p50,
                it.p99,
                it.p50 / found[0].p50,
                it.p99 / found[0].p99
            );
        }
    }
    println!("cold pairs: {cold}");
}
