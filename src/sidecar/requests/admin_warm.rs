//! `POST /-/admin/warm`: the keys and users of a file are kept as stale answers of the file's age. (`age_seconds`)
//!
//! The body is the file. Nothing is kept of one that does not arrive whole.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::task::yield_now;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestBody};
use crate::model::freshness::ProofTime;
use crate::net::body::{BodyError, IncomingBody};
use crate::net::message::Response;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::line_splitter::LineSplitter;
use crate::sidecar::kept::load::WarmCounts;
use crate::sidecar::kept::warm_answers::answers_of;
use crate::sidecar::kept::warm_file::WarmFile;
use crate::sidecar::state::SidecarState;

/// How many answers are kept at once, while look-ups wait.
const BATCH_ANSWERS: usize = 200;
/// After how many batches it is waited for the disk, whose queue is bounded.
const FLUSH_BATCHES: usize = 50;

/// Reads the file, keeps its answers, and says what became of each line.
pub async fn handle(state: &Arc<SidecarState>, mut request: ApiRequest) -> HandlerResult {
    let Some(kept) = state.kept.as_ref().filter(|_| state.mirror.is_none()) else {
        let reason = "this host follows a feed, which brings every key: nothing is kept here that a file could warm; \
                      `sidegate warm` is for a host in front of a GitLab (`primary.feed = \"none\"`) without a mirror";
        return Err(ApiError::conflict(reason));
    };
    let age = request.number("age_seconds")?.map(Duration::from_secs).ok_or_else(|| ApiError::missing_parameter("age_seconds"))?;
    let max_stale = state.config.freshness_policy.keys.max_stale;
    if age > max_stale {
        let (age, bound) = (age.as_secs(), max_stale.as_secs());
        let reason = format!("the file is {age} s old, and `freshness.keys.max_stale` is {bound} s: nothing of it would ever be given");
        return Err(ApiError::conflict(reason));
    }
    let RequestBody::Unread(body) = request.take_body() else { return Err(ApiError::missing_parameter("the file")) };
    let mut file = WarmFile::new(kept.answers.bounds());
    read_file(body, &mut file, state.api.limits().body_time).await?;
    if !kept.answers.wait_until_open().await {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "what was kept before the start is still being read; try again"));
    }
    let proven_at = ProofTime::before(request.time.boot, age);
    let counts = keep_all(&kept.answers, &file, proven_at).await;
    let (lines, seconds) = (&file.counts, age.as_secs());
    let message = format!(
        "{} of {} lines taken, {} duplicates, {} left out, {} refused; {} answers kept, {} that are younger here left as they are, \
         {} not kept because the primary has said no, {} without room",
        lines.taken,
        lines.lines,
        lines.duplicates,
        lines.left_out,
        lines.refused,
        counts.kept,
        counts.younger,
        counts.denied,
        counts.no_room
    ) + &disk_text(&kept.answers.store().status().state);
    tracing::info!(age_seconds = seconds, kept = counts.kept, refused = lines.refused, "warmed from a file of {seconds} s ago: {message}");
    let named_all = file.named.len() == lines.duplicates + lines.refused;
    let body = json!({"message": message, "format": file.format, "age_seconds": seconds, "lines": lines, "answers": counts,
        "named": file.named, "named_all": named_all, "shadow": kept.shadow.is_some()});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Returns why the answers are not on disk; nothing where they are.
fn disk_text(state: &str) -> String {
    match state {
        "open" => String::new(),
        "opening" => "; not on disk yet: the database there is still being read".to_owned(),
        reason => format!("; {reason}; they do not survive a restart until there is room on the disk of store.path"),
    }
}

/// Reads lines as they arrive. Fails for a body of which nothing arrives for `idle_timeout`, and for one that is cut off.
async fn read_file(mut body: IncomingBody, file: &mut WarmFile, idle_timeout: Duration) -> Result<(), ApiError> {
    let mut splitter = LineSplitter::default();
    loop {
        let chunk = match tokio::time::timeout(idle_timeout, body.next_chunk()).await {
            Ok(Some(chunk)) => chunk?,
            Ok(None) => break,
            Err(_) => return Err(BodyError::TimedOut.into()),
        };
        splitter.push(&chunk, |line| file.take_line(line));
        yield_now().await;
    }
    splitter.finish(|line| file.take_line(line));
    Ok(())
}

/// Keeps the answers of a file a few at a time; returns once they are on disk.
async fn keep_all(kept: &KeptAnswers, file: &WarmFile, proven_at: ProofTime) -> WarmCounts {
    let mut counts = WarmCounts::default();
    let mut answers = answers_of(file, proven_at).peekable();
    let mut batches = 0;
    while answers.peek().is_some() {
        kept.warm(answers.by_ref().take(BATCH_ANSWERS).collect(), &mut counts);
        batches += 1;
        if batches % FLUSH_BATCHES == 0 {
            kept.flush().await;
        }
        yield_now().await;
    }
    kept.flush().await;
    counts
}

#[cfg(test)]
mod tests {
    use super::disk_text;

    #[test]
    fn answers_that_are_not_on_disk_are_said_to_be_lost_by_a_restart() {
        assert_eq!(disk_text("open"), "");
        assert!(disk_text("opening").contains("not on disk yet"));
        let full = disk_text("in memory only: No space left on device");
        assert!(full.starts_with("; in memory only: No space left on device; they do not survive a restart"), "{full}");
    }
}
