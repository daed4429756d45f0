//! What a mirror counts beside what it has in common with a primary.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters and gauges.
pub struct MirrorMetrics {
    hooks: Family<HookLabel, Counter>,
    gauges: Gauges,
}

struct Gauges {
    hooks_waiting: Gauge,
    keys_to_verify: Gauge,
    keys_verified: Gauge,
    users: Gauge,
    keys: Gauge,
    skipped: Gauge,
    gitlab_heard_seconds: Gauge,
    walk_users: Gauge,
}

/// The values of the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct MirrorGauges {
    /// Hooks that are not settled.
    pub hooks_waiting: usize,
    /// Keys that hosts use and that are not verified yet.
    pub keys_to_verify: usize,
    /// Keys that were verified since the start.
    pub keys_verified: u64,
    /// Users that are held.
    pub users: usize,
    /// Keys that are held.
    pub keys: usize,
    /// What no record can express.
    pub skipped: usize,
    /// Seconds since GitLab was last heard, if it ever was.
    pub gitlab_heard_seconds: Option<u64>,
    /// Users that the full walk under way has met; 0: none is under way.
    pub walk_users: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabel {
    event: &'static str,
    outcome: &'static str,
}

impl MirrorMetrics {
    /// Registers all, at zero.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let hooks = Family::default();
        registry.register("hooks", "GitLab's hooks, by event and outcome", hooks.clone());
        Self { hooks, gauges: Gauges::register(registry) }
    }

    /// Counts a hook. `outcome`: `noted`, `ignored`, `refused`, `malformed`, `overflow`.
    pub fn count_hook(&self, event: &'static str, outcome: &'static str) {
        self.hooks.get_or_create(&HookLabel { event, outcome }).inc();
    }

    /// Sets the gauges.
    pub fn update(&self, values: MirrorGauges) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let gauges = &self.gauges;
        set(&gauges.hooks_waiting, values.hooks_waiting as u64);
        set(&gauges.keys_to_verify, values.keys_to_verify as u64);
        set(&gauges.keys_verified, values.keys_verified);
        set(&gauges.users, values.users as u64);
        set(&gauges.keys, values.keys as u64);
        set(&gauges.skipped, values.skipped as u64);
        set(&gauges.walk_users, values.walk_users);
        gauges.gitlab_heard_seconds.set(values.gitlab_heard_seconds.map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX)));
    }
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            hooks_waiting: gauge("hooks_waiting", "Subjects of hooks that GitLab was not asked about yet"),
            keys_to_verify: gauge("keys_to_verify", "Keys that hosts use and that wait to be verified"),
            keys_verified: gauge("keys_verified", "Keys that were verified since the start"),
            users: gauge("users", "Users that are published"),
            keys: gauge("keys", "Keys that are published"),
            skipped: gauge("skipped", "Users and keys that no record can express"),
            gitlab_heard_seconds: gauge("gitlab_heard_seconds", "Seconds since GitLab was last heard; -1: not since the start"),
            walk_users: gauge("walk_users", "Users that the full walk under way has met; 0 while none is"),
        }
    }
}
