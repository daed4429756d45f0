//! What a host says of itself beside its position: its version and its alarms, in headers that a primary which does not know them ignores.

use std::sync::Arc;

use http::{HeaderMap, header};

/// The header that names the alarms that stand at a host, separated by commas; empty where none does.
const ALARMS_HEADER: &str = "x-sidegate-alarms";
/// How `User-Agent` begins.
const PRODUCT: &str = "sidegate/";
const MAX_VERSION_BYTES: usize = 40;
const MAX_ALARMS: usize = 16;
const MAX_ALARM_BYTES: usize = 40;

/// What a host said last. In memory only: it says it anew every 30 s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostReport {
    /// Its version.
    pub version: Option<Arc<str>>,
    /// The kinds of its alarms; `None` where it did not say.
    pub alarms: Option<Vec<Arc<str>>>,
}

impl HostReport {
    /// Nothing was said.
    pub const NONE: Self = Self { version: None, alarms: None };

    /// Reads the headers of a host's request. What has another form is left out.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let version = text(header::USER_AGENT.as_str()).and_then(|product| product.strip_prefix(PRODUCT)).filter(|version| {
            (1..=MAX_VERSION_BYTES).contains(&version.len())
                && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+~".contains(&byte))
        });
        let alarms = text(ALARMS_HEADER)
            .map(|kinds| kinds.split(',').map(str::trim).filter(|kind| is_kind(kind)).take(MAX_ALARMS).map(Arc::from).collect());
        Self { version: version.map(Arc::from), alarms }
    }

    /// Takes over what is said in `newer`.
    pub fn update(&mut self, newer: Self) {
        if newer.version.is_some() {
            self.version = newer.version;
        }
        if newer.alarms.is_some() {
            self.alarms = newer.alarms;
        }
    }
}

fn is_kind(kind: &str) -> bool {
    (1..=MAX_ALARM_BYTES).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::HostReport;

    fn report(agent: &str, alarms: &str) -> HostReport {
        let headers = [("user-agent", agent), ("x-sidegate-alarms", alarms)];
        HostReport::from_headers(
            &headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>(),
        )
    }

    #[test]
    fn a_report_has_a_version_and_the_kinds_of_alarms_and_nothing_else() {
        let said = report("sidegate/0.1.0", "drift, store");
        assert_eq!((said.version.as_deref(), said.alarms.unwrap()), (Some("0.1.0"), vec!["drift".into(), "store".into()]));
        assert_eq!(report("sidegate/0.1.0", "").alarms, Some(vec![]), "none stands");
        let strange = report("sidegate/<script>", "drift,<b>,DRIFT,,");
        assert_eq!((strange.version, strange.alarms.unwrap()), (None, vec!["drift".into()]));
        assert_eq!(report("curl/8", &"a".repeat(41)).version, None);
        assert_eq!(HostReport::from_headers(&HeaderMap::new()), HostReport::default());
    }

    #[test]
    fn what_is_not_said_anew_stays() {
        let mut known = report("sidegate/0.1.0", "drift");
        known.update(HostReport::default());
        assert_eq!(known, report("sidegate/0.1.0", "drift"));
        known.update(report("sidegate/0.2.0", ""));
        assert_eq!(known, report("sidegate/0.2.0", ""));
    }
}
