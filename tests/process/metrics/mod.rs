//! The metrics of the three daemons as Prometheus reads them: at an address of their own, in both formats, and as docs/metrics.md describes
//! them.

mod documentation;
mod endpoint;
mod exposition;
mod prometheus;
mod shipped;

use std::net::SocketAddr;

use crate::metrics::exposition::{Exposition, parse_classic};
use crate::support::env::Daemon;
use crate::support::http::Request;

/// Lines of a configuration with which metrics are read at any free port.
pub const LISTEN: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// The address at which a daemon that runs has its metrics, by its log.
pub fn metrics_address(daemon: &Daemon) -> SocketAddr {
    let log = daemon.log();
    let (_, rest) = log.split_once("metrics are read at http://").unwrap_or_else(|| panic!("no address in {log}"));
    rest.split_once("/metrics").unwrap().0.parse().unwrap()
}

/// What a daemon shows now.
pub fn scrape(daemon: &Daemon) -> Exposition {
    let response = Request::get("/metrics").send_tcp(metrics_address(daemon));
    assert_eq!(response.status, 200, "{}", response.text());
    parse_classic(&response.text())
}
