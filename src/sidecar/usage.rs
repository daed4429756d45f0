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
use crate::net::message::Outgoing;
use crate::sidecar::headers::FORWARDED;
use crate::sidecar::house::Sidecar;

/// How many are noted before more are dropped until the day changes.
const NOTED: usize = 200_000;
/// How often a batch is sent.
const PERIOD: Duration = Duration::from_secs(15);
/// The most of one batch.
const BATCH: usize = 5_000;
const DAY: i64 = 86_400;

/// What was used today, and whether it has been reported.
#[derive(Default)]
pub(in crate::sidecar) struct Usage {
    noted: Mutex<Noted>,
    dropped: AtomicU64,
    reported: AtomicU64,
}

#[derive(Default)]
struct Noted {
    day: i64,
    used: HashMap<Used, bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Used {
    Key(Id),
    User(Id),
}

impl Usage {
    /// Notes that a key was used and a user was active.
    pub fn note(&self, key: Option<Id>, user: Option<Id>, now: Time) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.seconds().div_euclid(DAY);
        if noted.day != day {
            noted.used.retain(|_, reported| !*reported);
            noted.used.values_mut().for_each(|reported| *reported = false);
            noted.day = day;
        }
        for used in [key.map(Used::Key), user.map(Used::User)].into_iter().flatten() {
            if noted.used.contains_key(&used) {
                continue;
            }
            if noted.used.len() >= NOTED {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                noted.used.insert(used, false);
            }
        }
    }

    /// How many were reported, and how many were dropped for want of room.
    pub fn counted(&self) -> (u64, u64) {
        (self.reported.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    fn batch(&self) -> Vec<Used> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let batch: Vec<Used> = noted.used.iter().filter(|(_, reported)| !**reported).map(|(used, _)| *used).take(BATCH).collect();
        for used in &batch {
            noted.used.insert(*used, true);
        }
        batch
    }

    fn give_back(&self, batch: &[Used]) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for used in batch {
            noted.used.insert(*used, false);
        }
    }
}

impl Sidecar {
    /// Reports use until the task is dropped. A batch that fails is kept for the next time.
    pub async fn report_use(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            self.report_batch().await;
        }
    }

    async fn report_batch(&self) {
        let Some(token) = (self.setup.follower_token)(clock::wall()) else { return };
        let batch = self.usage.batch();
        if batch.is_empty() {
            return;
        }
        let day = clock::wall().day();
        let named = |wanted: fn(&Used) -> Option<Id>| -> HashMap<String, &str> {
            batch.iter().filter_map(wanted).map(|id| (id.to_string(), day.as_str())).collect()
        };
        let keys = named(|used| if let Used::Key(id) = used { Some(*id) } else { None });
        let users = named(|used| if let Used::User(id) = used { Some(*id) } else { None });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v4/internal/sidegate/usage")
            .header(CONTENT_TYPE, "application/json")
            .header("sidegate-sync-request", token)
            .header(FORWARDED, "1")
            .body(Outgoing::of(json!({"keys": keys, "users": users}).to_string()));
        let Ok(request) = request else { return };
        let sent = self.setup.client.send(request, self.setup.timeout).await;
        if sent.is_ok_and(|answer| answer.status().is_success()) {
            self.usage.reported.fetch_add(batch.len() as u64, Ordering::Relaxed);
        } else {
            self.usage.give_back(&batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Usage, Used};
    use crate::model::time::Time;

    fn at(seconds: i64) -> Time {
        Time::from_milliseconds(seconds * 1000).unwrap()
    }

    #[test]
    fn a_key_is_reported_once_a_day() {
        let usage = Usage::default();
        let key = "7".parse().ok();
        usage.note(key, None, at(10));
        assert_eq!(usage.batch(), [Used::Key("7".parse().unwrap())]);
        usage.note(key, None, at(20));
        assert!(usage.batch().is_empty());
        usage.note(key, None, at(86_400));
        assert_eq!(usage.batch().len(), 1);
    }

    #[test]
    fn a_batch_that_failed_is_sent_again() {
        let usage = Usage::default();
        usage.note("7".parse().ok(), "8".parse().ok(), at(10));
        let batch = usage.batch();
        usage.give_back(&batch);
        assert_eq!(usage.batch().len(), 2);
    }
}
