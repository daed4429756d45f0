//! `[limits]`: every bound of the socket under its own name, in the configurations of both daemons.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::net::server::limits::ServerLimits;

/// The bounds as they are written; [`Limits::bounds`] are what the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of `net::bounds`")]
pub struct LimitsConfig {
    pub connections: usize,
    pub connections_for_root: usize,
    #[serde(deserialize_with = "parse::size")]
    pub header_bytes: usize,
    pub headers: usize,
    #[serde(deserialize_with = "parse::size")]
    pub decoded_body_bytes: usize,
    #[serde(deserialize_with = "parse::size")]
    pub pushed_body_bytes: usize,
    #[serde(deserialize_with = "parse::size")]
    pub passed_body_bytes: usize,
    #[serde(deserialize_with = "parse::size")]
    pub unproven_body_bytes: usize,
    #[serde(deserialize_with = "parse::duration")]
    pub header_time: Duration,
    #[serde(deserialize_with = "parse::duration")]
    pub body_time: Duration,
    pub requests_per_connection: u64,
    pub forwards: usize,
    pub forwards_waiting: usize,
    #[serde(deserialize_with = "parse::duration")]
    pub shutdown_time: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let bounds = ServerLimits::default();
        Self {
            connections: bounds.connections,
            connections_for_root: bounds.connections_for_root,
            header_bytes: bounds.header_bytes,
            headers: bounds.headers,
            decoded_body_bytes: bounds.decoded_body_bytes,
            pushed_body_bytes: bounds.pushed_body_bytes,
            passed_body_bytes: bounds.passed_body_bytes,
            unproven_body_bytes: bounds.unproven_body_bytes,
            header_time: bounds.header_time,
            body_time: bounds.body_time,
            requests_per_connection: bounds.requests_per_connection,
            forwards: bounds.forwards,
            forwards_waiting: bounds.forwards_waiting,
            shutdown_time: bounds.shutdown_time,
        }
    }
}

impl LimitsConfig {
    /// For the server.
    #[must_use]
    pub const fn bounds(self) -> ServerLimits {
        ServerLimits {
            connections: self.connections,
            connections_for_root: self.connections_for_root,
            header_bytes: self.header_bytes,
            headers: self.headers,
            decoded_body_bytes: self.decoded_body_bytes,
            pushed_body_bytes: self.pushed_body_bytes,
            passed_body_bytes: self.passed_body_bytes,
            unproven_body_bytes: self.unproven_body_bytes,
            header_time: self.header_time,
            body_time: self.body_time,
            requests_per_connection: self.requests_per_connection,
            forwards: self.forwards,
            forwards_waiting: self.forwards_waiting,
            shutdown_time: self.shutdown_time,
        }
    }

    pub(super) fn validate(self) -> Result<(), InvalidSetting> {
        const HEADERS: &str = "a head of a request has 8KiB to 1MiB and 16 to 1000 lines";
        const BODIES: &str = "a body has at least 64KiB, and at most 1GiB";
        let body = |bytes: usize| (64 << 10..=1 << 30).contains(&bytes);
        let time = |time: Duration| !time.is_zero() && time <= Duration::from_secs(3600);
        let least_one = "at least 1 is needed to serve anybody";
        let unless = |holds, key: &str, reason: &str| InvalidSetting::ensure(holds, &format!("limits.{key}"), reason);
        unless((1..=1_000_000).contains(&self.connections), "connections", "from 1 to 1000000")?;
        unless(self.connections_for_root < self.connections, "connections_for_root", "fewer than `limits.connections`")?;
        unless((8 << 10..=1 << 20).contains(&self.header_bytes), "header_bytes", HEADERS)?;
        unless((16..=1000).contains(&self.headers), "headers", HEADERS)?;
        unless(body(self.decoded_body_bytes), "decoded_body_bytes", BODIES)?;
        unless(body(self.pushed_body_bytes), "pushed_body_bytes", BODIES)?;
        unless(body(self.passed_body_bytes), "passed_body_bytes", BODIES)?;
        // Otherwise the largest push of a client that sends the secret as a parameter would never find room.
        let largest = self.decoded_body_bytes.max(self.pushed_body_bytes);
        let roomy = (largest..=64 << 30).contains(&self.unproven_body_bytes);
        unless(roomy, "unproven_body_bytes", "at least `limits.decoded_body_bytes` and `limits.pushed_body_bytes`, and at most 64GiB")?;
        unless(time(self.header_time), "header_time", "more than 0 and at most 1h")?;
        unless(time(self.body_time), "body_time", "more than 0 and at most 1h")?;
        unless(self.requests_per_connection > 0, "requests_per_connection", least_one)?;
        // A quarter of each is for keys that nobody knows, and one for what is unsigned.
        unless((4..=100_000).contains(&self.forwards), "forwards", "from 4 to 100000")?;
        unless((4..=1_000_000).contains(&self.forwards_waiting), "forwards_waiting", "from 4 to 1000000")?;
        unless(time(self.shutdown_time), "shutdown_time", "more than 0 and at most 1h")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LimitsConfig;
    use crate::net::server::limits::ServerLimits;

    #[test]
    fn what_is_not_written_is_the_server_s_own_default() {
        let limits: LimitsConfig = toml::from_str("").unwrap();
        assert_eq!(limits.bounds(), ServerLimits::default());
        assert_eq!(limits.validate(), Ok(()));
    }

    #[test]
    fn a_bound_that_would_serve_nobody_is_refused_by_its_name() {
        let with = |change: fn(&mut LimitsConfig)| {
            let mut limits = LimitsConfig::default();
            change(&mut limits);
            limits.validate().unwrap_err().key
        };
        assert_eq!(with(|limits| limits.connections = 0), "limits.connections");
        assert_eq!(with(|limits| limits.connections_for_root = limits.connections), "limits.connections_for_root");
        assert_eq!(with(|limits| limits.header_bytes = 4096), "limits.header_bytes");
        assert_eq!(with(|limits| limits.decoded_body_bytes = 0), "limits.decoded_body_bytes");
        assert_eq!(with(|limits| limits.unproven_body_bytes = limits.pushed_body_bytes - 1), "limits.unproven_body_bytes");
        assert_eq!(with(|limits| limits.header_time = Duration::ZERO), "limits.header_time");
        assert_eq!(with(|limits| limits.requests_per_connection = 0), "limits.requests_per_connection");
        assert_eq!(with(|limits| limits.forwards = 3), "limits.forwards");
    }
}
