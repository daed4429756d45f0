//! What is counted of whether the primary answers: of all its addresses together, and of each.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type AddressLabels = [(&'static str, String); 1];

/// What the addresses of one primary count together.
pub struct HealthMetrics {
    addresses: usize,
    /// Below zero for a moment, where one recovers before it was counted as failing.
    failing_addresses: Mutex<i64>,
    probes: Family<[(&'static str, &'static str); 1], Counter>,
    probe_failing: Gauge,
    address_failing: Family<AddressLabels, Gauge>,
    address_answers: Family<AddressLabels, Counter>,
    address_failures: Family<AddressLabels, Counter>,
}

/// What is counted of one address.
pub struct AddressMetrics {
    /// Whether its last probe failed.
    pub failing: Gauge,
    /// Its answers to questions, probes and requests that were passed through.
    pub answers: Counter,
    /// What it failed of these.
    pub failures: Counter,
}

impl HealthMetrics {
    /// Creates the metrics of a primary with so many addresses.
    #[must_use]
    pub fn new(addresses: usize) -> Self {
        let probes = Family::<[(&str, &str); 1], Counter>::default();
        for outcome in ["answered", "failed"] {
            drop(probes.get_or_create(&[("outcome", outcome)]));
        }
        Self {
            addresses,
            failing_addresses: Mutex::default(),
            probes,
            probe_failing: Gauge::default(),
            address_failing: Family::default(),
            address_answers: Family::default(),
            address_failures: Family::default(),
        }
    }

    /// Returns whether the primary has several addresses.
    pub const fn has_several_addresses(&self) -> bool {
        self.addresses > 1
    }

    /// Returns the metrics of one address. Its label is its URL, which has no secret in it.
    pub fn of_address(&self, name: &str) -> AddressMetrics {
        let labels: AddressLabels = [("address", name.to_owned())];
        AddressMetrics {
            failing: self.address_failing.get_or_create(&labels).clone(),
            answers: self.address_answers.get_or_create(&labels).clone(),
            failures: self.address_failures.get_or_create(&labels).clone(),
        }
    }

    /// Counts an address that has stopped answering. Returns whether all have now.
    pub fn count_failing_address(&self) -> bool {
        let mut failing = self.failing_addresses();
        *failing += 1;
        let all = usize::try_from(*failing).is_ok_and(|failing| failing >= self.addresses);
        self.probe_failing.set(i64::from(all));
        all
    }

    /// Counts an address that answers again.
    pub fn count_recovered_address(&self) {
        let mut failing = self.failing_addresses();
        *failing -= 1;
        self.probe_failing.set(0);
    }

    /// Counts a probe.
    pub fn count_probe(&self, outcome: &'static str) {
        self.probes.get_or_create(&[("outcome", outcome)]).inc();
    }

    fn failing_addresses(&self) -> MutexGuard<'_, i64> {
        self.failing_addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers what is counted.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("sidegate_primary_probes", "Questions of our own that find out whether the primary answers", self.probes.clone());
        let help = "Whether the last of them failed, at every address of the primary";
        registry.register("sidegate_primary_probe_failing", help, self.probe_failing.clone());
        let help = "Whether the last question of our own to this address of the primary failed";
        registry.register("sidegate_primary_address_failing", help, self.address_failing.clone());
        registry.register("sidegate_primary_address_answers", "Answers of this address of the primary", self.address_answers.clone());
        let help = "Requests that this address of the primary failed";
        registry.register("sidegate_primary_address_failures", help, self.address_failures.clone());
    }
}
