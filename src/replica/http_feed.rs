//! The feed as the primary itself gives it, over HTTP. (DESIGN of following: changes, snapshot, ack)
//!
//! Streams have a connection each, and a task or two that reads ahead of who follows: a little, so that memory stays bounded.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver as ChunksReceiver, SyncSender, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Buf as _, Bytes};
use http::{Method, Request, Response};
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::model::change::Head;
use crate::model::clock;
use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::RequestError;
use crate::replica::config::Timing;
use crate::replica::feed::{ChangeLines, FeedError, FeedSource, ReceivedLine, SnapshotLines};
use crate::replica::line_splitter::{LineSplitError, LineSplitter};
use crate::replica::low_priority::spawn_low_priority;
use crate::wire::auth::jwt::{Issuer, issue_token};
use crate::wire::auth::secret::Secret;
use crate::wire::directory::feed_lines::{Ack, FeedLineError, SnapshotLine, parse_feed_line, parse_snapshot_line};

/// The header that a follower shows its token in.
const SYNC_TOKEN_HEADER: &str = "Sidegate-Sync-Request";
const API_ROOT: &str = "/api/v4/internal/sidegate";
/// Lines of `changes` read ahead.
const LINE_CHANNEL_CAPACITY: usize = 4;
/// Pieces of a snapshot read ahead.
const PIECE_CHANNEL_CAPACITY: usize = 16;
/// Chunks of decoded lines ahead of who loads them.
const CHUNK_CHANNEL_CAPACITY: usize = 4;
const MAX_CHUNK_LINES: usize = 512;
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// The largest window a snapshot may ask the decoder to keep: 2^24 bytes.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;
/// What is read of an answer that is no feed.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;

/// The primary, asked over HTTP.
pub struct HttpFeed {
    client: HttpClient,
    sync_secret: Arc<ArcSwap<Secret>>,
    host: String,
    timing: Timing,
}

impl HttpFeed {
    /// Asks through `client` in the name of `host`; the secret may be replaced at any time.
    #[must_use]
    pub const fn new(client: HttpClient, secret: Arc<ArcSwap<Secret>>, host: String, pace: Timing) -> Self {
        Self { client, sync_secret: secret, host, timing: pace }
    }

    fn build_request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<OutgoingBody>, FeedError> {
        let token = issue_token(Issuer::Follower, Some(&self.host), &self.sync_secret.load(), clock::wall_time());
        let mut request = Request::builder().method(method).uri(format!("{API_ROOT}{path}")).header(SYNC_TOKEN_HEADER, token);
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        request.body(OutgoingBody::from_bytes(body)).map_err(|error| FeedError::Unreachable(format!("no request could be made: {error}")))
    }

    async fn open_stream(&self, path: &str, within: Duration) -> Result<IncomingBody, FeedError> {
        let request = self.build_request(Method::GET, path, Bytes::new())?;
        let answer = self.client.send_unpooled(request, within).await.map_err(unreachable_error)?;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(self.read_error(answer).await) }
    }

    async fn read_error(&self, answer: Response<IncomingBody>) -> FeedError {
        let status = answer.status().as_u16();
        let body = answer.into_body().read(MAX_ERROR_BODY_BYTES, self.timing.response_timeout).await.unwrap_or_default();
        status_error(status, &body)
    }
}

impl FeedSource for HttpFeed {
    async fn changes(&self, after: Head) -> Result<ChangeLines, FeedError> {
        let path = format!("/changes?epoch={}&after={}&digest={}", after.epoch, after.seq, after.state.digest);
        let body = self.open_stream(&path, self.timing.response_timeout).await?;
        let (lines, received) = channel(LINE_CHANNEL_CAPACITY);
        tokio::spawn(read_changes(body, self.timing.silence_timeout, lines));
        Ok(received)
    }

    async fn snapshot(&self) -> Result<SnapshotLines, FeedError> {
        let body = self.open_stream("/snapshot", self.timing.snapshot_timeout).await?;
        let (pieces, arrived) = channel(PIECE_CHANNEL_CAPACITY);
        tokio::spawn(read_pieces(body, self.timing.snapshot_timeout, pieces));
        let (chunks, decoded) = sync_channel(CHUNK_CHANNEL_CAPACITY);
        drop(spawn_low_priority("decode", move || decode_snapshot(PieceReader { pieces: arrived, current_piece: Bytes::new() }, &chunks)));
        Ok(Box::new(DecodedLines { chunks: decoded, current_chunk: Vec::new().into_iter() }))
    }

    async fn ack(&self, ack: Ack) -> Result<(), FeedError> {
        let body = serde_json::to_vec(&ack).map_err(|error| FeedError::Unreachable(error.to_string()))?;
        let request = self.build_request(Method::POST, "/ack", body.into())?;
        let answer = self.client.send(request, self.timing.response_timeout).await.map_err(unreachable_error)?;
        if answer.status().is_success() { Ok(()) } else { Err(self.read_error(answer).await) }
    }
}

fn unreachable_error(failed: RequestError) -> FeedError {
    FeedError::Unreachable(failed.reason)
}

/// What an answer that is no feed means.
fn status_error(status: u16, body: &[u8]) -> FeedError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ErrorBody {
        message: String,
        seq: Option<u64>,
    }
    let said: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    match status {
        410 => FeedError::CursorGone(serde_json::from_slice::<Head>(body).ok()),
        409 => FeedError::StateMismatch { seq: said.seq },
        401 | 403 => FeedError::Forbidden(status),
        _ => {
            FeedError::UnexpectedStatus { status, message: said.message.chars().filter(|letter| !letter.is_control()).take(200).collect() }
        }
    }
}

/// Reads `changes` until it ends or nobody wants it any more. A follower that takes no line for `silence` has lost the
/// connection as well: what waits here would be taken for newer than it is.
async fn read_changes(body: IncomingBody, silence: Duration, lines: Sender<Result<ReceivedLine, FeedError>>) {
    let mut reader = ChangesReader { body, lines: LineSplitter::default() };
    loop {
        let next = tokio::select! {
            () = lines.closed() => return,
            next = reader.next_line(silence) => next,
        };
        let ended = next.is_err();
        if lines.send_timeout(next, silence).await.is_err() || ended {
            return;
        }
    }
}

struct ChangesReader {
    body: IncomingBody,
    lines: LineSplitter,
}

impl ChangesReader {
    async fn next_line(&mut self, silence: Duration) -> Result<ReceivedLine, FeedError> {
        loop {
            if let Some(text) = self.lines.next_line()? {
                return Ok(ReceivedLine { line: parse_feed_line(&text)?, received_at: clock::boot_time() });
            }
            let piece = tokio::time::timeout(silence, self.body.next_chunk()).await.map_err(|_| FeedError::Silent(silence))?;
            self.lines.push(&piece_or_error(piece)?.ok_or_else(|| FeedError::Unreachable("the primary ended the stream".to_owned()))?);
        }
    }
}

async fn read_pieces(mut body: IncomingBody, silence: Duration, pieces: Sender<Result<Bytes, FeedError>>) {
    loop {
        let piece = match tokio::time::timeout(silence, body.next_chunk()).await {
            Ok(piece) => piece_or_error(piece).transpose(),
            Err(_late) => Some(Err(FeedError::Silent(silence))),
        };
        let Some(piece) = piece else { return };
        let ended = piece.is_err();
        if pieces.send(piece).await.is_err() || ended {
            return;
        }
    }
}

fn piece_or_error(piece: Option<Result<Bytes, crate::net::body::BodyError>>) -> Result<Option<Bytes>, FeedError> {
    piece.transpose().map_err(|refused| FeedError::Unreachable(refused.to_string()))
}

/// The pieces of a snapshot as a reader that blocks.
struct PieceReader {
    pieces: Receiver<Result<Bytes, FeedError>>,
    current_piece: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current_piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.current_piece = piece,
                Some(Err(no_feed)) => return Err(io::Error::other(no_feed)),
                None => return Ok(0),
            }
        }
        let length = self.current_piece.len().min(into.len());
        self.current_piece.copy_to_slice(into.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

type Chunk = Vec<Result<SnapshotLine, FeedError>>;

/// Unpacks and reads a snapshot; ends after the first error, or when nobody takes its lines.
fn decode_snapshot(compressed: impl Read, chunks: &SyncSender<Chunk>) {
    let mut chunk = Chunk::new();
    if let Err(no_feed) = decode_chunks(compressed, &mut chunk, chunks) {
        chunk.push(Err(no_feed));
    }
    let _nobody_listens = chunks.send(chunk);
}

fn decode_chunks(compressed: impl Read, chunk: &mut Chunk, chunks: &SyncSender<Chunk>) -> Result<(), FeedError> {
    let mut decoder = zstd::stream::read::Decoder::new(compressed).map_err(decode_error)?;
    decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(decode_error)?;
    let mut lines = LineSplitter::default();
    let mut buffer = vec![0; 128 << 10];
    let mut bytes = 0;
    loop {
        let length = decoder.read(&mut buffer).map_err(decode_error)?;
        if length == 0 {
            break;
        }
        lines.push(buffer.get(..length).unwrap_or_default());
        while let Some(text) = lines.next_line()? {
            bytes += text.len();
            chunk.push(Ok(parse_snapshot_line(&text)?));
            if chunk.len() >= MAX_CHUNK_LINES || bytes >= MAX_CHUNK_BYTES {
                bytes = 0;
                if chunks.send(std::mem::take(chunk)).is_err() {
                    return Ok(());
                }
            }
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(FeedError::Malformed("it ends within a line".to_owned())) }
}

fn decode_error(error: io::Error) -> FeedError {
    match error.downcast::<FeedError>() {
        Ok(no_feed) => no_feed,
        Err(error) => FeedError::Malformed(error.to_string()),
    }
}

/// The lines of a snapshot, in chunks from the thread that unpacks.
struct DecodedLines {
    chunks: ChunksReceiver<Chunk>,
    current_chunk: std::vec::IntoIter<Result<SnapshotLine, FeedError>>,
}

impl Iterator for DecodedLines {
    type Item = Result<SnapshotLine, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.current_chunk.next() {
                return Some(line);
            }
            self.current_chunk = self.chunks.recv().ok()?.into_iter();
        }
    }
}

impl From<LineSplitError> for FeedError {
    fn from(bad: LineSplitError) -> Self {
        Self::Malformed(bad.to_string())
    }
}

impl From<FeedLineError> for FeedError {
    fn from(bad: FeedLineError) -> Self {
        Self::Malformed(bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, decode_snapshot, status_error};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::DirectoryDigest;
    use crate::replica::feed::FeedError;

    #[test]
    fn each_error_status_maps_to_its_feed_error() {
        let head = Head { epoch: Epoch(7), seq: 9, state: DirectoryDigest::default() };
        assert_eq!(status_error(410, serde_json::to_string(&head).unwrap().as_bytes()), FeedError::CursorGone(Some(head)));
        assert_eq!(status_error(410, b"<html>"), FeedError::CursorGone(None));
        let unlike = format!(r#"{{"message":"no","epoch":"{}","seq":3}}"#, Epoch(7));
        assert_eq!(status_error(409, unlike.as_bytes()), FeedError::StateMismatch { seq: Some(3) });
        assert_eq!(status_error(401, b""), FeedError::Forbidden(401));
        assert_eq!(status_error(503, br#"{"message":"busy\n"}"#), FeedError::UnexpectedStatus { status: 503, message: "busy".to_owned() });
    }

    fn decode_all(compressed: &[u8]) -> Chunk {
        let (chunks, received) = std::sync::mpsc::sync_channel(64);
        decode_snapshot(compressed, &chunks);
        drop(chunks);
        received.iter().flatten().collect()
    }

    #[test]
    fn a_snapshot_that_is_cut_or_no_zstd_ends_with_an_error() {
        let line = format!("{{\"format\":1,\"epoch\":\"{}\",\"from_seq\":0}}\n", Epoch(1));
        let packed = zstd::encode_all(line.repeat(2000).as_bytes(), 1).unwrap();
        assert!(decode_all(&packed).iter().all(Result::is_ok));
        for bad in [&packed[..packed.len() - 1], b"not zstd at all".as_slice()] {
            assert!(matches!(decode_all(bad).last(), Some(Err(FeedError::Malformed(_)))), "{} bytes", bad.len());
        }
        let within = zstd::encode_all(format!("{line}{{\"for").as_bytes(), 1).unwrap();
        assert!(matches!(decode_all(&within).last(), Some(Err(FeedError::Malformed(_)))));
    }
}
