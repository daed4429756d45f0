//! What a sidecar and a primary say of themselves to systemd: the first line of `sidegate status`, told again when it changes.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::cli::status::first_line;
use crate::net::message::Request;
use crate::net::notify;
use crate::net::server::handler::Handler;

/// How often it is looked how the daemon does.
const INTERVAL: Duration = Duration::from_secs(5);

/// Says it whenever it changes, for as long as it is polled.
pub async fn report<H: Handler>(daemon: &Arc<H>) {
    let mut interval = tokio::time::interval(INTERVAL);
    let mut said = String::new();
    loop {
        interval.tick().await;
        if let Some(line) = status_of(daemon).await.as_ref().and_then(line)
            && line != said
        {
            notify::status(&line);
            said = line;
        }
    }
}

async fn status_of<H: Handler>(daemon: &Arc<H>) -> Option<Value> {
    let response = daemon.handle(Request::own("/-/admin/status")).await;
    let body = response.body.collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}

/// Returns the line, with what the first alarm says.
fn line(status: &Value) -> Option<String> {
    let line = first_line(status)?;
    Some(match status["alarms"][0]["message"].as_str() {
        Some(alarm) => format!("{line}: {alarm}"),
        None => line,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::line;

    #[test]
    fn the_line_of_systemctl_status_is_the_first_of_ours_and_what_the_first_alarm_says() {
        let well = line(&json!({"daemon": "primary", "head": {"seq": 3}})).unwrap();
        assert!(well.starts_with("serving: commit 3, ") && well.ends_with(", 0 alarms"), "{well}");
        let alarm = json!({"kind": "disk_full", "message": "its disk is full"});
        let line = line(&json!({"daemon": "primary", "head": {"seq": 3}, "alarms": [alarm]})).unwrap();
        assert!(line.ends_with(", 1 alarms: its disk is full"), "{line}");
    }
}
