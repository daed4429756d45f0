//! Reports of use to the primary: which key was used, which user was active, by day. Batched, at most once a day each, lossy under
//! pressure and counted. (server.md 1.5)

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::json;

use crate::model::clock;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::net::body::OutgoingBody;
use crate::sidecar::headers::FORWARDED_HEADER;
use crate::sidecar::state::SidecarState;

/// How many are noted before more are dropped until the day changes.
const MAX_PENDING: usize = 200_000;
/// How often a batch is sent.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);
/// The most of one batch.
const MAX_BATCH_ITEMS: usize = 5_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// What was used today, and whether it has been reported.
#[derive(Default)]
pub(in crate::sidecar) struct UsageBuffer {
    pending: Mutex<PendingUsage>,
    dropped: AtomicU64,
    reported: AtomicU64,
}

#[derive(Default)]
struct PendingUsage {
    day: i64,
    reported_by_item: HashMap<UsedItem, bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum UsedItem {
    Key(Id),
    User(Id),
}

impl UsageBuffer {
    /// Notes that a key was used and a user was active.
    pub fn record(&self, key: Option<Id>, user: Option<Id>, now: Time) {
        let mut noted = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.seconds().div_euclid(SECONDS_PER_DAY);
        if noted.day != day {
            noted.reported_by_item.retain(|_, reported| !*reported);
            noted.reported_by_item.values_mut().for_each(|reported| *reported = false);
            noted.day = day;
        }
        for used in [key.map(UsedItem::Key), user.map(UsedItem::User)].into_iter().flatten() {
            if noted.reported_by_item.contains_key(&used) {
                continue;
            }
            if noted.reported_by_item.len() >= MAX_PENDING {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                noted.reported_by_item.insert(used, false);
            }
        }
    }

    /// How many were reported, and how many were dropped for want of room.
    pub fn totals(&self) -> (u64, u64) {
        (self.reported.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    fn take_batch(&self) -> Vec<UsedItem> {
        let mut noted = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let batch: Vec<UsedItem> =
            noted.reported_by_item.iter().filter(|(_, reported)| !**reported).map(|(used, _)| *used).take(MAX_BATCH_ITEMS).collect();
        for used in &batch {
            noted.reported_by_item.insert(*used, true);
        }
        batch
    }

    fn restore_batch(&self, batch: &[UsedItem]) {
        let mut noted = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for used in batch {
            noted.reported_by_item.insert(*used, false);
        }
    }
}

impl SidecarState {
    /// Reports use until the task is dropped. A batch that fails is kept for the next time.
    pub async fn report_usage(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        loop {
            ticks.tick().await;
            self.report_batch().await;
        }
    }

    async fn report_batch(&self) {
        let Some(token) = (self.config.follower_token)(clock::wall_time()) else { return };
        let batch = self.usage.take_batch();
        if batch.is_empty() {
            return;
        }
        let day = clock::wall_time().day();
        let named = |wanted: fn(&UsedItem) -> Option<Id>| -> HashMap<String, &str> {
            batch.iter().filter_map(wanted).map(|id| (id.to_string(), day.as_str())).collect()
        };
        let keys = named(|used| if let UsedItem::Key(id) = used { Some(*id) } else { None });
        let users = named(|used| if let UsedItem::User(id) = used { Some(*id) } else { None });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v4/internal/sidegate/usage")
            .header(CONTENT_TYPE, "application/json")
            .header("sidegate-sync-request", token)
            .header(FORWARDED_HEADER, "1")
            .body(OutgoingBody::from_bytes(json!({"keys": keys, "users": users}).to_string()));
        let Ok(request) = request else { return };
        let sent = self.config.primary_client.send(request, self.config.timeout).await;
        if sent.is_ok_and(|answer| answer.status().is_success()) {
            self.usage.reported.fetch_add(batch.len() as u64, Ordering::Relaxed);
        } else {
            self.usage.restore_batch(&batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{UsageBuffer, UsedItem};
    use crate::model::time::Time;

    fn at(seconds: i64) -> Time {
        Time::from_milliseconds(seconds * 1000).unwrap()
    }

    #[test]
    fn a_key_is_reported_once_a_day() {
        let usage = UsageBuffer::default();
        let key = "7".parse().ok();
        usage.record(key, None, at(10));
        assert_eq!(usage.take_batch(), [UsedItem::Key("7".parse().unwrap())]);
        usage.record(key, None, at(20));
        assert!(usage.take_batch().is_empty());
        usage.record(key, None, at(86_400));
        assert_eq!(usage.take_batch().len(), 1);
    }

    #[test]
    fn a_batch_that_failed_is_sent_again() {
        let usage = UsageBuffer::default();
        usage.record("7".parse().ok(), "8".parse().ok(), at(10));
        let batch = usage.take_batch();
        usage.restore_batch(&batch);
        assert_eq!(usage.take_batch().len(), 2);
    }
}
