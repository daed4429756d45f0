//! The metrics of the three daemons as Prometheus reads them: at an address of their own, in both formats, and as docs/metrics.md describes
//! them.

mod documentation;
mod endpoint;
mod exposition;
mod prometheus;
#[path = "../../../src/cli/tests/document.rs"]
mod reference;
mod shipped;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::metrics::exposition::{Exposition, parse_classic};
use crate::support::TIMEOUT;
use crate::support::env::Daemon;
use crate::support::http::Request;

/// Lines of a configuration with which metrics are read at any free port.
pub const LISTEN: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// The address at which a daemon that runs has its metrics, by its log, which is written a moment later.
pub fn metrics_address(daemon: &Daemon) -> SocketAddr {
    let begun = Instant::now();
    loop {
        let log = daemon.log();
        if let Some(address) = log.split_once("metrics are read at http://").and_then(|(_, rest)| rest.split_once("/metrics")) {
            return address.0.parse().unwrap();
        }
        assert!(begun.elapsed() < TIMEOUT, "no address in {log}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What a daemon shows now.
pub fn scrape(daemon: &Daemon) -> Exposition {
    let response = Request::get("/metrics").send_tcp(metrics_address(daemon));
    assert_eq!(response.status, 200, "{}", response.text());
    parse_classic(&response.text())
}
