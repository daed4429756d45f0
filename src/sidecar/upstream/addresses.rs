//! The addresses of one primary, in the order in which they are tried, each with its own connections and its own breaker.
//!
//! Where the configuration names one URL there is one, and nothing here chooses. The primary as a whole fails while all of them do.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

use crate::model::time::BootTime;
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::SendLimits;
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::upstream::breaker::{Outage, OutageKind};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::health::PrimaryHealth;
use crate::sidecar::upstream::health_metrics::HealthMetrics;

/// One address.
pub struct PrimaryAddress {
    /// The connections to it.
    pub client: HttpClient,
    /// Whether it answers.
    pub health: Arc<PrimaryHealth>,
}

/// All addresses of a primary, the preferred one first.
pub struct PrimaryAddresses {
    all: Vec<PrimaryAddress>,
    metrics: Arc<HealthMetrics>,
}

impl PrimaryAddresses {
    /// Returns the addresses of a sidecar's configuration; nothing is sent yet.
    pub fn new(config: &SidecarConfig) -> Self {
        Self::of([&config.primary_client].into_iter().chain(&config.other_clients).cloned().collect())
    }

    fn of(clients: Vec<HttpClient>) -> Self {
        let metrics = Arc::new(HealthMetrics::new(clients.len()));
        let address = |client: HttpClient| {
            let health = Arc::new(PrimaryHealth::new(client.display_name(), Arc::clone(&metrics)));
            PrimaryAddress { client, health }
        };
        Self { all: clients.into_iter().map(address).collect(), metrics }
    }

    /// Returns all, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &PrimaryAddress> {
        self.all.iter()
    }

    /// Returns whether there are several.
    pub fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Returns the first from `start` on that a request of this class may be sent to, with its index. An unsigned request is also sent to
    /// an address that refuses what is signed: our secret may be the wrong one, and says nothing of its own credentials.
    pub fn available_from(&self, start: usize, class: RequestClass) -> Option<(usize, &PrimaryAddress)> {
        let stops = |outage: &Outage| outage.is_silent() || class != RequestClass::Unsigned;
        self.all.iter().enumerate().skip(start).find(|(_, address)| !address.health.outage().is_some_and(|outage| stops(&outage)))
    }

    /// Returns the outage of the primary: while all addresses fail, since the last of them has.
    pub fn outage(&self) -> Option<Outage> {
        if let [only] = &self.all[..] {
            return only.health.outage();
        }
        let outages: Vec<Outage> = self.all.iter().map(|address| address.health.outage()).collect::<Option<_>>()?;
        let latest = outages.iter().max_by_key(|outage| outage.started_at)?.clone();
        let reasons: Vec<String> =
            self.all.iter().zip(&outages).map(|(address, outage)| format!("{}: {}", address.health.name(), outage.reason)).collect();
        let kind = if outages.iter().all(|outage| outage.kind == latest.kind) { latest.kind } else { OutageKind::NoDecision };
        Some(Outage { kind, reason: reasons.join("; ").into(), ..latest })
    }

    /// Waits until all addresses are found not to answer.
    pub async fn wait_until_failing(&self) {
        loop {
            for address in &self.all {
                address.health.wait_until_failing().await;
            }
            // While the later ones were waited for, an earlier one may have come back.
            if !self.are_several() || self.outage().is_some() {
                return;
            }
        }
    }

    /// Returns those that fail, or owe an answer.
    pub fn owing_answers(&self, now: BootTime) -> impl Iterator<Item = &PrimaryAddress> {
        self.all.iter().filter(move |address| address.health.outage().is_some() || address.health.is_answer_overdue(now))
    }

    /// Returns the limits of a request to the address with this index. Where another one follows, connecting to it takes at most its
    /// [`Self::share`], so that there is time for that one.
    pub fn send_limits(&self, index: usize, class: RequestClass, total: Duration, timeout: Duration) -> SendLimits {
        match self.available_from(index + 1, class) {
            Some(_) => SendLimits { connect: total.min(self.share(timeout)), total },
            None => SendLimits::total(total),
        }
    }

    /// Returns how much of `timeout` is for one address before the next is asked as well.
    pub fn share(&self, timeout: Duration) -> Duration {
        timeout / u32::try_from(self.all.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Registers what is counted of them.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

impl PrimaryAddress {
    /// Returns whether it has answered anybody since `then`.
    pub fn has_answered_since(&self, then: BootTime) -> bool {
        self.health.last_answer() >= Some(then)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::PrimaryAddresses;
    use crate::model::clock;
    use crate::net::client::http_client::HttpClient;
    use crate::sidecar::upstream::breaker::{FailedProbe, OutageKind};
    use crate::sidecar::upstream::concurrency_limit::RequestClass;

    fn addresses(count: usize) -> PrimaryAddresses {
        PrimaryAddresses::of((0..count).map(|number| HttpClient::new(&format!("https://git-{number}"), None, false).unwrap()).collect())
    }

    fn fail(addresses: &PrimaryAddresses, index: usize, kind: OutageKind) {
        let reason = format!("reason {index}").into();
        let probe = FailedProbe { sent_at: clock::boot_time(), sent_at_wall: clock::wall_time(), kind, reason };
        addresses.iter().nth(index).unwrap().health.record_failed_probe(probe);
    }

    fn available(addresses: &PrimaryAddresses, start: usize, class: RequestClass) -> Option<usize> {
        addresses.available_from(start, class).map(|(index, _)| index)
    }

    #[test]
    fn the_first_that_does_not_fail_is_tried_first_and_the_primary_fails_once_all_do() {
        let three = addresses(3);
        let (signed, unsigned) = (RequestClass::Other, RequestClass::Unsigned);
        assert_eq!((available(&three, 0, signed), available(&three, 3, signed)), (Some(0), None));
        fail(&three, 0, OutageKind::Refusal);
        fail(&three, 1, OutageKind::Silence);
        assert_eq!(
            (available(&three, 0, signed), available(&three, 0, unsigned), available(&three, 1, unsigned)),
            (Some(2), Some(0), Some(2))
        );
        assert_eq!(three.outage(), None);
        fail(&three, 2, OutageKind::Silence);
        let outage = three.outage().unwrap();
        let since = three.iter().nth(2).unwrap().health.outage().unwrap().since;
        assert_eq!((outage.since, outage.is_silent()), (since, false), "since the last has failed; one refuses what is signed");
        assert_eq!(&*outage.reason, "https://git-0: reason 0; https://git-1: reason 1; https://git-2: reason 2");
        assert_eq!(available(&three, 0, signed), None);
        three.iter().nth(1).unwrap().health.record_answer();
        assert_eq!((available(&three, 0, signed), three.outage()), (Some(1), None));
    }

    #[test]
    fn connecting_has_a_limit_of_its_own_only_where_another_address_follows() {
        let (total, timeout) = (Duration::from_secs(60), Duration::from_secs(2));
        let connect = |addresses: &PrimaryAddresses, index| addresses.send_limits(index, RequestClass::Other, total, timeout).connect;
        assert_eq!(connect(&addresses(1), 0), total);
        let two = addresses(2);
        assert_eq!((connect(&two, 0), connect(&two, 1)), (timeout / 2, total));
        fail(&two, 1, OutageKind::Silence);
        assert_eq!(connect(&two, 0), total);
    }

    #[test]
    fn one_address_is_as_the_primary() {
        let one = addresses(1);
        fail(&one, 0, OutageKind::Silence);
        assert_eq!(one.outage(), one.iter().next().unwrap().health.outage(), "its reason without a name");
        assert!(!one.are_several());
    }
}
