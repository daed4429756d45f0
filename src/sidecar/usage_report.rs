//! Reports of use to the primary: in batches, now and then. (server.md 1.5)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::json;

use crate::api::response_headers::FORWARDED_HEADER;
use crate::model::clock;
use crate::model::id::Id;
use crate::net::body::OutgoingBody;
use crate::sidecar::state::SidecarState;
use crate::sidecar::usage_buffer::UsedItem;

/// How often a batch is sent.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);

impl SidecarState {
    /// Reports uses to the primary until the task is dropped. A batch that fails is kept for the next time.
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
            self.usage.count_reported(batch.len());
        } else {
            self.usage.restore_batch(&batch);
        }
    }
}
