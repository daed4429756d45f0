//! What a mirror counts beside what it has in common with a primary.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The event of a hook that was not read.
pub const UNREAD_HOOK: &str = "unread";

/// The counters and gauges.
pub struct MirrorMetrics {
    hooks: Family<HookLabel, Counter>,
    gauges: Gauges,
}

struct Gauges {
    hooks_waiting: Gauge,
    keys_to_verify: Gauge,
    keys_verified: Counter,
    users: Gauge,
    keys: Gauge,
    skipped: Gauge,
    gitlab_answer_age: Family<[(&'static str, &'static str); 0], Gauge>,
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
    /// Seconds since GitLab last gave a good answer, if it ever did.
    pub gitlab_answer_age_seconds: Option<u64>,
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
        let hooks = Family::<HookLabel, Counter>::default();
        for outcome in ["refused", "malformed"] {
            drop(hooks.get_or_create(&HookLabel { event: UNREAD_HOOK, outcome }));
        }
        registry.register("sidegate_mirror_hooks", "GitLab's hooks, by event and outcome", hooks.clone());
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
        gauges.keys_verified.inc_by(values.keys_verified.saturating_sub(gauges.keys_verified.get()));
        set(&gauges.users, values.users as u64);
        set(&gauges.keys, values.keys as u64);
        set(&gauges.skipped, values.skipped as u64);
        set(&gauges.walk_users, values.walk_users);
        if let Some(seconds) = values.gitlab_answer_age_seconds {
            set(&gauges.gitlab_answer_age.get_or_create(&[]), seconds);
        }
    }
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let (keys_verified, gitlab_answer_age) = (Counter::default(), Family::default());
        registry.register("sidegate_mirror_keys_verified", "Keys that were verified", keys_verified.clone());
        registry.register(
            "sidegate_mirror_gitlab_answer_age_seconds",
            "Seconds since GitLab last gave a good answer; absent until it has",
            gitlab_answer_age.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            keys_verified,
            gitlab_answer_age,
            hooks_waiting: gauge("sidegate_mirror_hooks_waiting", "Subjects of hooks that GitLab was not asked about yet"),
            keys_to_verify: gauge("sidegate_mirror_keys_to_verify", "Keys that hosts use and that wait to be verified"),
            users: gauge("sidegate_mirror_users", "Users that are published"),
            keys: gauge("sidegate_mirror_keys", "Keys that are published"),
            skipped: gauge("sidegate_mirror_skipped", "Users and keys that no record can express"),
            walk_users: gauge("sidegate_mirror_walk_users", "Users that the full walk under way has met; 0 while none is"),
        }
    }
}
