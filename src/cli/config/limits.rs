//! `[limits]`: every bound of the sockets under its own name, in the configurations of both daemons. The defaults are the server's.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::net::server::limits::ServerLimits;

/// Declares one `[limits]` section with the names of fields of [`ServerLimits`] and the function that deserializes each.
macro_rules! limits_section {
    ($(#[$doc:meta])* $section:ident { $($name:ident: $type:ty = $deserialize:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $(#[serde(deserialize_with = $deserialize)] pub $name: $type,)*
        }

        impl From<ServerLimits> for $section {
            fn from(limits: ServerLimits) -> Self {
                Self { $($name: limits.$name,)* }
            }
        }

        impl Default for $section {
            fn default() -> Self {
                ServerLimits::default().into()
            }
        }

        impl $section {
            /// Returns the bounds for the server; those that this section does not have are the defaults.
            pub fn server_limits(self) -> ServerLimits {
                let replace = |mut limits: ServerLimits| {
                    $(limits.$name = self.$name;)*
                    limits
                };
                replace(ServerLimits::default())
            }

            pub fn validate(self) -> Result<(), InvalidSetting> {
                validate(&self.server_limits())
            }
        }
    };
}

/// Declares the sections of both daemons out of one list: the sidecar has the bounds of both, and some of its own.
macro_rules! limits_sections {
    (both { $($shared:tt)* } sidecar { $($own:tt)* }) => {
        limits_section! {
            /// The section of a primary.
            PrimaryLimits { $($shared)* }
        }
        limits_section! {
            /// The section of a sidecar.
            SidecarLimits { $($shared)* $($own)* }
        }
    };
}

limits_sections! {
    both {
        connections: usize = "parse::count",
        connections_for_root: usize = "parse::count",
        header_bytes: usize = "parse::size",
        headers: usize = "parse::count",
        decoded_body_bytes: usize = "parse::size",
        pushed_body_bytes: usize = "parse::size",
        unproven_body_bytes: usize = "parse::size",
        proven_body_bytes: usize = "parse::size",
        header_time: Duration = "parse::duration",
        body_time: Duration = "parse::duration",
        requests_per_connection: u64 = "parse::count",
        shutdown_time: Duration = "parse::duration",
    }
    sidecar {
        passed_body_bytes: usize = "parse::size",
        forwards: usize = "parse::count",
        forwards_waiting: usize = "parse::count",
    }
}

/// Refuses bounds that would serve nobody, or that no machine could hold.
fn validate(limits: &ServerLimits) -> Result<(), InvalidSetting> {
    const HEADERS: &str = "the head of a request must have 8KiB to 1MiB and 16 to 1000 lines";
    const BODIES: &str = "must be from 64KiB to 1GiB";
    let is_body_size = |bytes: usize| (64 << 10..=1 << 30).contains(&bytes);
    let is_time = |time: Duration| !time.is_zero() && time <= Duration::from_secs(3600);
    let ensure = |holds, key: &str, reason: &str| InvalidSetting::ensure(holds, &format!("limits.{key}"), reason);
    ensure((1..=1_000_000).contains(&limits.connections), "connections", "must be from 1 to 1000000")?;
    ensure(limits.connections_for_root < limits.connections, "connections_for_root", "must be less than `limits.connections`")?;
    ensure((8 << 10..=1 << 20).contains(&limits.header_bytes), "header_bytes", HEADERS)?;
    ensure((16..=1000).contains(&limits.headers), "headers", HEADERS)?;
    ensure(is_body_size(limits.decoded_body_bytes), "decoded_body_bytes", BODIES)?;
    ensure(is_body_size(limits.pushed_body_bytes), "pushed_body_bytes", BODIES)?;
    ensure(is_body_size(limits.passed_body_bytes), "passed_body_bytes", BODIES)?;
    // Otherwise the largest push of a client that sends the secret as a parameter would never find room.
    let largest = limits.decoded_body_bytes.max(limits.pushed_body_bytes);
    let is_roomy = (largest..=64 << 30).contains(&limits.unproven_body_bytes);
    ensure(
        is_roomy,
        "unproven_body_bytes",
        "must be at least `limits.decoded_body_bytes` and `limits.pushed_body_bytes`, and at most 64GiB",
    )?;
    // A text with escapes takes four times its length while it is decoded, and one request may hold half.
    ensure(
        (largest.saturating_mul(8)..=64 << 30).contains(&limits.proven_body_bytes),
        "proven_body_bytes",
        "must be at least eight times `limits.decoded_body_bytes` and `limits.pushed_body_bytes`, and at most 64GiB",
    )?;
    ensure(is_time(limits.header_time), "header_time", "must be more than 0 and at most 1h")?;
    ensure(is_time(limits.body_time), "body_time", "must be more than 0 and at most 1h")?;
    ensure(limits.requests_per_connection > 0, "requests_per_connection", "must be at least 1")?;
    // A quarter of each is for unknown keys, and a quarter for requests without a token.
    ensure((4..=100_000).contains(&limits.forwards), "forwards", "must be from 4 to 100000")?;
    ensure((4..=1_000_000).contains(&limits.forwards_waiting), "forwards_waiting", "must be from 4 to 1000000")?;
    ensure(is_time(limits.shutdown_time), "shutdown_time", "must be more than 0 and at most 1h")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PrimaryLimits, SidecarLimits};
    use crate::net::server::limits::ServerLimits;

    #[test]
    fn a_bound_that_is_not_written_is_the_server_s_default() {
        let sidecar: SidecarLimits = toml::from_str("").unwrap();
        let primary: PrimaryLimits = toml::from_str("").unwrap();
        assert_eq!(sidecar.server_limits(), ServerLimits::default());
        assert_eq!(primary.server_limits(), ServerLimits::default());
        assert_eq!((sidecar.validate(), primary.validate()), (Ok(()), Ok(())));
    }

    #[test]
    fn a_bound_that_would_serve_nobody_is_refused_by_its_name() {
        let invalid_key = |change: fn(&mut SidecarLimits)| {
            let mut limits = SidecarLimits::default();
            change(&mut limits);
            limits.validate().unwrap_err().key
        };
        assert_eq!(invalid_key(|limits| limits.connections = 0), "limits.connections");
        assert_eq!(invalid_key(|limits| limits.connections_for_root = limits.connections), "limits.connections_for_root");
        assert_eq!(invalid_key(|limits| limits.header_bytes = 4096), "limits.header_bytes");
        assert_eq!(invalid_key(|limits| limits.decoded_body_bytes = 0), "limits.decoded_body_bytes");
        assert_eq!(invalid_key(|limits| limits.unproven_body_bytes = limits.pushed_body_bytes - 1), "limits.unproven_body_bytes");
        assert_eq!(invalid_key(|limits| limits.proven_body_bytes = 8 * limits.pushed_body_bytes - 1), "limits.proven_body_bytes");
        assert_eq!(invalid_key(|limits| limits.header_time = Duration::ZERO), "limits.header_time");
        assert_eq!(invalid_key(|limits| limits.requests_per_connection = 0), "limits.requests_per_connection");
        assert_eq!(invalid_key(|limits| limits.forwards = 3), "limits.forwards");
    }
}
