//! `[metrics]`: the TCP address at which Prometheus reads the metrics, the same section in all three configurations.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::cli::config::parse;

/// The section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// The address and port; `None` for no address of their own: then they are on the Unix socket only.
    #[serde(deserialize_with = "parse::optional_address")]
    pub listen: Option<SocketAddr>,
}

/// What to do about the warning of [`MetricsConfig::warning`].
pub const WARNING_REMEDY: &str = "let only your Prometheus through to that port, or listen on 127.0.0.1";

impl MetricsConfig {
    /// Returns what an operator should know of an address that others than this host reach; `None` where only it does.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let address = self.listen.filter(|address| !address.ip().to_canonical().is_loopback())?;
        Some(format!(
            "metrics.listen: whoever reaches {address} reads the metrics of this daemon, without TLS and without showing who they are; no \
             secret is in them, but numbers, host names and paths are"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::MetricsConfig;

    fn read(text: &str) -> Result<MetricsConfig, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn an_address_that_others_reach_is_taken_with_a_warning_and_a_name_is_refused() {
        assert_eq!(read("").unwrap().listen, None);
        assert_eq!(read("listen = \"\"").unwrap(), MetricsConfig::default());
        for loopback in ["127.0.0.1:9469", "[::1]:9469", "127.8.8.8:0", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(read(&format!("listen = \"{loopback}\"")).unwrap().warning(), None, "{loopback}");
        }
        for open in ["0.0.0.0:9469", "[::]:9469", "192.0.2.7:1"] {
            let warning = read(&format!("listen = \"{open}\"")).unwrap().warning().unwrap();
            assert!(warning.starts_with("metrics.listen: ") && warning.contains(open), "{warning}");
        }
        for wrong in ["localhost:9469", "127.0.0.1", ":9469", "/run/metrics.sock"] {
            let error = read(&format!("listen = \"{wrong}\"")).unwrap_err();
            assert!(error.contains("an address with its port"), "{error}");
        }
    }
}
