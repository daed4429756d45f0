//! What every daemon shows of itself: its name and version, its process as the kernel sees it, the lines that its log has lost, and until when
//! its certificates are good. Looked at when somebody reads the metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::last_reload::LastReload;
use crate::model::clock;
use crate::model::time::Time;

/// What the command line knows of the daemon that it starts. `Clone` shares what changes.
#[derive(Clone, Debug, Default)]
pub struct DaemonFacts {
    /// `sidecar`, `primary` or `mirror`.
    pub name: &'static str,
    /// Lines of the log that were lost because it is written too slowly.
    pub log_lines_dropped: Arc<AtomicU64>,
    /// Until when its certificates are good.
    pub certificates: Arc<CertificateEnds>,
    /// What came of the last reload.
    pub last_reload: Arc<LastReload>,
}

/// When the certificates of each file end.
#[derive(Debug, Default)]
pub struct CertificateEnds(Mutex<BTreeMap<String, Time>>);

impl CertificateEnds {
    /// Notes when the certificates of a file end, as it was loaded. `None`: it says no such thing.
    pub fn note(&self, file: String, end: Option<Time>) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match end {
            Some(end) => ends.insert(file, end),
            None => ends.remove(&file),
        };
    }

    fn all(&self) -> BTreeMap<String, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The collector of these metrics.
pub struct DaemonMetrics {
    facts: DaemonFacts,
    started_at: Time,
}

impl DaemonMetrics {
    /// Registers what is known of the daemon that starts now.
    pub fn register(facts: DaemonFacts, registry: &mut Registry) {
        let build = Info::new([("daemon", facts.name), ("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("sidegate_build", "The daemon and its version", build);
        registry.register_collector(Box::new(Self { facts, started_at: clock::wall_time() }));
    }
}

impl fmt::Debug for DaemonMetrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DaemonMetrics")
    }
}

impl Collector for DaemonMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.encode_process(&mut encoder)?;
        self.facts.last_reload.encode(&mut encoder, self.started_at)?;
        let dropped = ConstCounter::new(self.facts.log_lines_dropped.load(Ordering::Relaxed));
        let help = "Lines of the log that were lost because it is written too slowly";
        dropped.encode(encoder.encode_descriptor("sidegate_log_lines_dropped", help, None, dropped.metric_type())?)?;
        let ends = Family::<[(&str, String); 1], Gauge>::default();
        for (file, end) in self.facts.certificates.all() {
            ends.get_or_create(&[("file", file)]).set(end.seconds());
        }
        if ends.is_empty() {
            return Ok(());
        }
        let help = "When the certificates that were loaded from a file end, in seconds since 1970";
        ends.encode(encoder.encode_descriptor("sidegate_certificate_expiry_timestamp_seconds", help, None, ends.metric_type())?)
    }
}

impl DaemonMetrics {
    fn encode_process(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "no memory here comes near 2^52 bytes")]
        let number = |name: &str, unit: u64| status_number(&status, name).map(|value| (value * unit) as f64);
        #[expect(clippy::cast_precision_loss, reason = "no time and no limit here comes near 2^52 milliseconds or files")]
        let (started, max_files) =
            (self.started_at.milliseconds() as f64 / 1000.0, getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64));
        gauge("process_resident_memory_bytes", "Memory of the process that is in RAM", number("VmRSS", 1024))?;
        gauge("process_virtual_memory_bytes", "Addresses that the process has mapped", number("VmSize", 1024))?;
        gauge("process_threads", "Threads of the process", number("Threads", 1))?;
        gauge("process_open_fds", "Files and sockets that the process has open", open_files())?;
        gauge("process_max_fds", "How many it may have open", max_files)?;
        gauge("process_start_time_seconds", "When the daemon started, in seconds since 1970", Some(started))?;
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Ok(()) };
        let cpu = ConstCounter::new(seconds(usage.user_time()) + seconds(usage.system_time()));
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "Processor time that the process has used", None, cpu.metric_type())?)
    }
}

/// Returns a number of `/proc/self/status`: `VmRSS:  1234 kB`.
fn status_number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Returns how many files are open, but for the folder that is read here.
fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "no processor time here comes near 2^52 seconds")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::{DaemonFacts, DaemonMetrics, status_number};

    #[test]
    fn a_daemon_shows_itself_its_process_and_what_its_log_has_lost() {
        let mut registry = Registry::default();
        let facts = DaemonFacts { name: "mirror", ..DaemonFacts::default() };
        DaemonMetrics::register(facts.clone(), &mut registry);
        facts.log_lines_dropped.store(7, Ordering::Relaxed);
        facts.certificates.note("a.pem".to_owned(), "2030-01-01T00:00:00Z".parse().ok());
        facts.certificates.note("none.pem".to_owned(), None);
        facts.last_reload.note("2030-01-01T00:00:00Z".parse().unwrap(), false, "refused".to_owned());
        let mut shown = String::new();
        text::encode(&mut shown, &registry).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            &format!("sidegate_build_info{{daemon=\"mirror\",version=\"{version}\"}} 1"),
            "sidegate_log_lines_dropped_total 7",
            "sidegate_config_last_reload_successful 0",
            "sidegate_config_last_reload_timestamp_seconds 1893456000",
            "sidegate_certificate_expiry_timestamp_seconds{file=\"a.pem\"} 1893456000",
            "# TYPE process_cpu_seconds counter",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
        let value = |name: &str| -> f64 {
            let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {shown}"));
            line.trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6 && value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0);
        assert!(value("process_max_fds") >= value("process_open_fds") && value("process_start_time_seconds") > 1.6e9);
        assert!(!shown.contains("none.pem"));
    }

    #[test]
    fn a_number_of_the_status_is_found_by_its_whole_name() {
        let status = "Name:\tx\nVmRSSx:\t 1 kB\nVmRSS:\t   1234 kB\nThreads:\t5\n";
        assert_eq!((status_number(status, "VmRSS"), status_number(status, "Threads")), (Some(1234), Some(5)));
        assert_eq!(status_number(status, "VmSize"), None);
    }
}
