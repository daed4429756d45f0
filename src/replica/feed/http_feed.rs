//! The feed as the primary itself publishes it over HTTP: `changes`, `snapshot` and `ack`.
//!
//! Each stream has a connection of its own, and a task that reads a little ahead of the follower, so that memory stays bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response};
use serde::Deserialize;
use tokio::sync::mpsc::{Sender, channel};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::clock_reading::ClockReading;
use crate::model::coverage::Coverage;
use crate::model::freshness::ProofSource;
use crate::model::time::{BootTime, Time};
use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::RequestError;
use crate::replica::config::Timing;
use crate::replica::feed::clock_offset::ClockOffsets;
use crate::replica::feed::confirmed_bound::ConfirmedBound;
use crate::replica::feed::line_splitter::LineSplitter;
use crate::replica::feed::snapshot_decoder::spawn_decoder;
use crate::replica::feed::source::{ChangeLines, FeedError, FeedSource, LineDate, ReceivedLine, SnapshotLines};
use crate::wire::auth::jwt::{Issuer, issue_token};
use crate::wire::auth::secret::Secret;
use crate::wire::directory::feed_lines::{Ack, parse_dated_line};

/// The header of `changes` that says which bound of this host the primary has on disk.
const CONFIRMED_BOUND_HEADER: &str = "x-sidegate-max-stale";
/// The header of `changes` that names the kinds of records that are published, where these are not all.
const COVERS_HEADER: &str = "x-sidegate-covers";
/// The header of a response that carries the primary's clock.
const CLOCK_HEADER: &str = "x-sidegate-clock";
/// What the primary is told of the version.
const PRODUCT: &str = concat!("sidegate/", env!("CARGO_PKG_VERSION"));
/// The header that names the alarms that stand here, separated by commas.
const ALARMS_HEADER: &str = "x-sidegate-alarms";
/// The header of a follower's token.
const SYNC_TOKEN_HEADER: &str = "Sidegate-Sync-Request";
const API_ROOT: &str = "/api/v4/internal/sidegate";
/// Lines of `changes` that are read ahead.
const LINE_CHANNEL_CAPACITY: usize = 4;
/// Pieces of a snapshot that are read ahead.
const PIECE_CHANNEL_CAPACITY: usize = 16;
/// Most bytes that are read of an error response.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
/// Most characters of the primary's message that are repeated in ours.
const MAX_MESSAGE_CHARS: usize = 400;

/// The primary's feed over HTTP.
pub struct HttpFeed {
    client: HttpClient,
    sync_secret: Arc<ArcSwap<Secret>>,
    host: String,
    timing: Timing,
    identity: HostIdentity,
    /// What the answers so far have shown of the primary's clock.
    clock_offsets: Arc<Mutex<ClockOffsets>>,
    /// What the stream that was opened last covers, if it says so.
    covers: Mutex<Option<Coverage>>,
}

/// What the primary is told of this host's store beside the host's name.
#[derive(Clone, Default)]
pub struct HostIdentity {
    /// The random id of the store.
    pub instance: String,
    /// How long it may be answered from without the primary.
    pub bound: Arc<ConfirmedBound>,
}

impl HostIdentity {
    /// Notes that the primary has this bound on disk, in seconds.
    pub fn confirm_bound(&self, max_stale: u64) {
        if !self.bound.confirm(max_stale) {
            return;
        }
        tracing::info!(max_stale, "the primary has confirmed that this host may answer for {max_stale} s without it");
        let bound = Arc::clone(&self.bound);
        // A process that ends before this is stored asks the primary again.
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = bound.store() {
                tracing::warn!("failed to store the bound that the primary has confirmed; it is asked again after a restart: {error}");
            }
        }));
    }
}

impl HttpFeed {
    /// Creates a feed that is read through `client` in the name of `host`. The secret may be replaced at any time.
    #[must_use]
    pub fn new(client: HttpClient, sync_secret: Arc<ArcSwap<Secret>>, host: String, timing: Timing, identity: HostIdentity) -> Self {
        Self { client, sync_secret, host, timing, identity, clock_offsets: Arc::default(), covers: Mutex::default() }
    }

    /// Takes in the primary's clock of a response to what was asked at `asked`; an older primary sends none.
    fn record_exchange(&self, asked: BootTime, headers: &HeaderMap) {
        let reading = headers.get(CLOCK_HEADER).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        if let Some(reading) = reading {
            lock(&self.clock_offsets).record_exchange(asked, clock::boot_time(), &reading);
        }
    }

    fn build_request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<OutgoingBody>, FeedError> {
        let token = issue_token(Issuer::Follower, Some(&self.host), &self.sync_secret.load(), clock::wall_time());
        let mut request =
            Request::builder().method(method).uri(format!("{API_ROOT}{path}")).header(SYNC_TOKEN_HEADER, token).header(USER_AGENT, PRODUCT);
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        request
            .body(OutgoingBody::from_bytes(body))
            .map_err(|error| FeedError::Unreachable(format!("failed to build the request: {error}")))
    }

    async fn open_stream(&self, path: &str, timeout: Duration) -> Result<Response<IncomingBody>, FeedError> {
        let request = self.build_request(Method::GET, path, Bytes::new())?;
        let asked = clock::boot_time();
        let response = self.client.send_unpooled(request, timeout).await.map_err(unreachable_error)?;
        self.record_exchange(asked, response.headers());
        if response.status().is_success() { Ok(response) } else { Err(self.read_error(response).await) }
    }

    async fn read_error(&self, response: Response<IncomingBody>) -> FeedError {
        let status = response.status().as_u16();
        let body = response.into_body().read(MAX_ERROR_BODY_BYTES, self.timing.response_timeout).await.unwrap_or_default();
        status_error(status, &body)
    }
}

impl FeedSource for HttpFeed {
    async fn changes(&self, after: Head) -> Result<ChangeLines, FeedError> {
        let (instance, max_stale) = (&self.identity.instance, self.identity.bound.claimed());
        let Head { epoch, seq, state } = after;
        let path = format!("/changes?epoch={epoch}&after={seq}&digest={}&instance={instance}&max_stale={max_stale}", state.digest);
        let response = self.open_stream(&path, self.timing.response_timeout).await?;
        // A primary of an older version says nothing here, and confirms the bound with the first acknowledgement.
        let confirmed = response.headers().get(CONFIRMED_BOUND_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(confirmed) = confirmed {
            self.identity.confirm_bound(confirmed);
        }
        let covers = response.headers().get(COVERS_HEADER).and_then(|value| value.to_str().ok());
        *lock(&self.covers) = covers.map(|kinds| Coverage::from(Some(kinds.split(',').map(str::to_owned).collect::<Vec<_>>())));
        let body = response.into_body();
        let (line_sender, lines) = channel(LINE_CHANNEL_CAPACITY);
        tokio::spawn(read_changes(body, Arc::clone(&self.clock_offsets), self.timing.silence_timeout, line_sender));
        Ok(lines)
    }

    async fn snapshot(&self, unsized_limit: u64) -> Result<SnapshotLines, FeedError> {
        let body = self.open_stream("/snapshot", self.timing.snapshot_timeout).await?.into_body();
        let (piece_sender, pieces) = channel(PIECE_CHANNEL_CAPACITY);
        tokio::spawn(read_pieces(body, self.timing.snapshot_timeout, piece_sender));
        Ok(spawn_decoder(pieces, unsized_limit))
    }

    fn covers(&self) -> Option<Coverage> {
        lock(&self.covers).clone()
    }

    async fn ack(&self, ack: Ack, alarms: &[&str]) -> Result<(), FeedError> {
        let body = serde_json::to_vec(&ack).map_err(|error| FeedError::Unreachable(error.to_string()))?;
        let mut request = self.build_request(Method::POST, "/ack", body.into())?;
        if let Ok(kinds) = HeaderValue::try_from(alarms.join(",")) {
            request.headers_mut().insert(ALARMS_HEADER, kinds);
        }
        let asked = clock::boot_time();
        let response = self.client.send(request, self.timing.response_timeout).await.map_err(unreachable_error)?;
        self.record_exchange(asked, response.headers());
        if response.status().is_success() { Ok(()) } else { Err(self.read_error(response).await) }
    }
}

fn unreachable_error(error: RequestError) -> FeedError {
    FeedError::Unreachable(error.reason)
}

/// Returns what a response without success means.
fn status_error(status: u16, body: &[u8]) -> FeedError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ErrorBody {
        message: String,
        seq: Option<u64>,
    }
    let error: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let message: String = error.message.chars().filter(|letter| !letter.is_control()).take(MAX_MESSAGE_CHARS).collect();
    match status {
        410 => FeedError::CursorGone(serde_json::from_slice::<Head>(body).ok()),
        409 => FeedError::StateMismatch { seq: error.seq },
        403 if !message.is_empty() => FeedError::Refused(message),
        401 | 403 => FeedError::Forbidden(status),
        _ => FeedError::UnexpectedStatus { status, message },
    }
}

/// Reads `changes` until it ends or nobody wants it any more. A follower that takes no line for the time of a silence has lost the
/// connection as well: what waits here would be taken for newer than it is.
async fn read_changes(
    body: IncomingBody,
    clock_offsets: Arc<Mutex<ClockOffsets>>,
    silence_timeout: Duration,
    lines: Sender<Result<ReceivedLine, FeedError>>,
) {
    let mut reader = ChangesReader { body, lines: LineSplitter::default(), clock_offsets, last_reading: None };
    loop {
        let line = tokio::select! {
            () = lines.closed() => return,
            line = reader.next_line(silence_timeout) => line,
        };
        let is_last = line.is_err();
        if lines.send_timeout(line, silence_timeout).await.is_err() || is_last {
            return;
        }
    }
}

struct ChangesReader {
    body: IncomingBody,
    lines: LineSplitter,
    clock_offsets: Arc<Mutex<ClockOffsets>>,
    /// The primary's clock in the last line of this stream that carried one.
    last_reading: Option<ClockReading>,
}

impl ChangesReader {
    async fn next_line(&mut self, silence_timeout: Duration) -> Result<ReceivedLine, FeedError> {
        loop {
            if let Some(text) = self.lines.next_line()? {
                let (received_at, wall_time) = (clock::boot_time(), clock::wall_time());
                let (line, reading) = parse_dated_line(&text)?;
                // A commit that was no longer the newest when it was sent carries no clock. What was sent after another line holds all
                // that was current when that one was written.
                self.last_reading = reading.or(self.last_reading.take());
                let date = date_line(self.last_reading.as_ref(), &lock(&self.clock_offsets), received_at, wall_time);
                return Ok(ReceivedLine { line, received_at, date });
            }
            let piece = next_piece(&mut self.body, silence_timeout).await?;
            self.lines.push(&piece.ok_or_else(|| FeedError::Unreachable("the primary ended the stream".to_owned()))?);
        }
    }
}

/// Returns when a line was written at the earliest, by the last clock of its stream. If the primary sends none, that is when the line
/// arrived; without an exchange with that boot of the primary it is found by the wall clocks of both.
fn date_line(reading: Option<&ClockReading>, offsets: &ClockOffsets, received_at: BootTime, wall_time: Time) -> LineDate {
    let Some(reading) = reading else { return LineDate { at: received_at, source: ProofSource::Arrival } };
    match offsets.place(reading, received_at) {
        Some(at) => LineDate { at, source: ProofSource::Exchange },
        None => {
            let age = wall_time.since(reading.wall_time);
            LineDate { at: BootTime(received_at.0.saturating_sub(age)), source: ProofSource::WallClocks }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_pieces(mut body: IncomingBody, silence_timeout: Duration, pieces: Sender<Result<Bytes, FeedError>>) {
    loop {
        let Some(piece) = next_piece(&mut body, silence_timeout).await.transpose() else { return };
        let is_last = piece.is_err();
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

async fn next_piece(body: &mut IncomingBody, silence_timeout: Duration) -> Result<Option<Bytes>, FeedError> {
    let piece = tokio::time::timeout(silence_timeout, body.next_chunk()).await.map_err(|_late| FeedError::Silent(silence_timeout))?;
    piece.transpose().map_err(|error| FeedError::Unreachable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{ChangesReader, status_error};
    use crate::model::change::{Epoch, Head};
    use crate::model::clock;
    use crate::model::clock_reading::{BootId, ClockReading};
    use crate::model::digest::DirectoryDigest;
    use crate::model::freshness::ProofSource;
    use crate::model::time::{BootTime, Time};
    use crate::net::body::IncomingBody;
    use crate::replica::feed::clock_offset::ClockOffsets;
    use crate::replica::feed::line_splitter::LineSplitter;
    use crate::replica::feed::source::FeedError;
    use crate::wire::directory::feed_lines::{encode_heartbeat, with_clock};

    /// Reads two lines: one with the primary's clock of a minute ago, if `dated`, and one without. Returns how old each is, and by which
    /// proof.
    async fn read_dated_and_undated(dated: bool) -> [(Duration, ProofSource); 2] {
        let reading = |seconds| ClockReading {
            boot_id: BootId::parse("b").unwrap(),
            boot_time: BootTime(Duration::from_secs(seconds)),
            wall_time: Time::EPOCH,
        };
        let (now, mut offsets) = (clock::boot_time(), ClockOffsets::default());
        offsets.record_exchange(now, now, &reading(1_000));
        let line = encode_heartbeat(7, DirectoryDigest::default());
        let first = if dated { with_clock(&line, &reading(940)) } else { line.clone() };
        let body = IncomingBody::from_bytes(format!("{first}\n{line}\n").into());
        let clock_offsets = Arc::new(Mutex::new(offsets));
        let mut reader = ChangesReader { body, lines: LineSplitter::default(), clock_offsets, last_reading: None };
        let mut ages = Vec::new();
        for _ in 0..2 {
            let line = reader.next_line(Duration::from_secs(1)).await.unwrap();
            ages.push((line.received_at.since(line.date.at), line.date.source));
        }
        ages.try_into().unwrap()
    }

    #[tokio::test]
    async fn a_line_without_a_clock_is_no_younger_than_the_last_one_with_it() {
        let minute = Duration::from_secs(60);
        let dated = read_dated_and_undated(true).await;
        assert!(dated.iter().all(|(age, source)| *age >= minute && *source == ProofSource::Exchange), "{dated:?}");
        let undated = read_dated_and_undated(false).await;
        assert!(undated.iter().all(|line| *line == (Duration::ZERO, ProofSource::Arrival)), "an older primary: {undated:?}");
    }

    #[test]
    fn each_error_status_maps_to_its_feed_error() {
        let head = Head { epoch: Epoch(7), seq: 9, state: DirectoryDigest::default() };
        assert_eq!(status_error(410, serde_json::to_string(&head).unwrap().as_bytes()), FeedError::CursorGone(Some(head)));
        assert_eq!(status_error(410, b"<html>"), FeedError::CursorGone(None));
        let mismatch = format!(r#"{{"message":"no","epoch":"{}","seq":3}}"#, Epoch(7));
        assert_eq!(status_error(409, mismatch.as_bytes()), FeedError::StateMismatch { seq: Some(3) });
        assert_eq!(status_error(401, br#"{"message":"401 Unauthorized"}"#), FeedError::Forbidden(401));
        assert_eq!(status_error(403, b""), FeedError::Forbidden(403));
        assert_eq!(status_error(403, br#"{"message":"too long"}"#), FeedError::Refused("too long".to_owned()));
        assert_eq!(status_error(503, br#"{"message":"busy\n"}"#), FeedError::UnexpectedStatus { status: 503, message: "busy".to_owned() });
    }
}
