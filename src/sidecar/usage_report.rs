//! Reports of use, in batches: to a primary now and then, to the mirror of a GitLab at once, whose answer says how often it looks whether
//! a used key is still there. (server.md 1.5)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::api::response_headers::FORWARDED_HEADER;
use crate::model::clock;
use crate::model::id::Id;
use crate::net::body::OutgoingBody;
use crate::sidecar::state::SidecarState;
use crate::sidecar::usage_buffer::{ReportSchedule, UsedItem};

/// How often a batch is sent to a primary.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);
/// How long the first use of a key waits for others before a mirror is told.
const PROMPT_DELAY: Duration = Duration::from_millis(500);
/// After how long a batch is sent again that a mirror did not take.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// A mirror that looks more often is told no more than this often.
const SHORTEST_VERIFY_EVERY: Duration = Duration::from_secs(1);
/// The largest answer to a report that is read.
const MAX_ANSWER_BYTES: usize = 4 << 10;

/// What a mirror answers to a report.
#[derive(Deserialize)]
struct ReportAnswer {
    /// For so many seconds it does not look at the same key again.
    verify_every: u64,
}

impl SidecarState {
    /// Reports uses until the task is dropped. A batch that fails is kept for the next time.
    pub async fn report_usage(self: Arc<Self>) {
        if self.mirror.is_some() {
            return self.report_to_mirror().await;
        }
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        loop {
            ticks.tick().await;
            self.report_batch().await;
        }
    }

    async fn report_to_mirror(&self) {
        loop {
            self.usage.wait_for_use().await;
            sleep(PROMPT_DELAY).await;
            match self.report_batch().await {
                Some(schedule) => self.usage.set_schedule(schedule),
                None => sleep(RETRY_DELAY).await,
            }
        }
    }

    /// Sends one batch. Returns the schedule that the answer asks for; `None` if it was not taken.
    async fn report_batch(&self) -> Option<ReportSchedule> {
        let token = (self.config.follower_token)(clock::wall_time())?;
        let batch = self.usage.take_batch(clock::boot_time());
        if batch.is_empty() {
            return Some(self.usage.schedule());
        }
        let day = clock::wall_time().day();
        let named = |wanted: fn(&UsedItem) -> Option<Id>| -> HashMap<String, &str> {
            batch.iter().filter_map(wanted).map(|id| (id.to_string(), day.as_str())).collect()
        };
        let keys = named(|used| if let UsedItem::Key(id) = used { Some(*id) } else { None });
        let users = named(|used| if let UsedItem::User(id) = used { Some(*id) } else { None });
        let answer = self.send_report(&token, json!({"keys": keys, "users": users}).to_string()).await;
        match &answer {
            Some(_) => self.usage.count_reported(batch.len()),
            None => self.usage.restore_batch(&batch),
        }
        answer
    }

    async fn send_report(&self, token: &str, body: String) -> Option<ReportSchedule> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v4/internal/sidegate/usage")
            .header(CONTENT_TYPE, "application/json")
            .header("sidegate-sync-request", token)
            .header(FORWARDED_HEADER, "1")
            .body(OutgoingBody::from_bytes(body))
            .ok()?;
        let client = self.config.mirror.as_ref().map_or(&self.config.primary_client, |mirror| &mirror.client);
        let (head, body) = client.send(request, self.config.timeout).await.ok()?.into_parts();
        if !head.status.is_success() {
            return None;
        }
        let body = body.read(MAX_ANSWER_BYTES, self.config.timeout).await.unwrap_or_default();
        Some(schedule_of(head.status, &body).unwrap_or_else(|| self.usage.schedule()))
    }
}

/// Returns the schedule that an answer asks for; `None` if it cannot be understood.
fn schedule_of(status: StatusCode, body: &Bytes) -> Option<ReportSchedule> {
    if status == StatusCode::NO_CONTENT {
        return Some(ReportSchedule::Daily);
    }
    let answer: ReportAnswer = serde_json::from_slice(body).ok()?;
    Some(ReportSchedule::Every(Duration::from_secs(answer.verify_every).max(SHORTEST_VERIFY_EVERY)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::schedule_of;
    use crate::sidecar::usage_buffer::ReportSchedule;

    #[test]
    fn the_answer_to_a_report_says_how_often_a_key_is_reported() {
        let every = |seconds| Some(ReportSchedule::Every(Duration::from_secs(seconds)));
        for (status, body, expected) in [
            (204, "", Some(ReportSchedule::Daily)),
            (200, r#"{"verify_every": 600}"#, every(600)),
            (200, r#"{"verify_every": 0, "more": 1}"#, every(1)),
            (200, r#"{"verify_every": "soon"}"#, None),
            (200, "<html>", None),
        ] {
            assert_eq!(schedule_of(StatusCode::from_u16(status).unwrap(), &body.into()), expected, "{status} {body}");
        }
    }
}
