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

use crate::model::change::{Epoch, Head};
use crate::model::clock;
use crate::net::client::{Client, Failed};
use crate::net::message::{Incoming, Outgoing};
use crate::replica::aside::aside;
use crate::replica::feed::{ChangeLines, Feed, NoFeed, Received, SnapshotLines};
use crate::replica::lines::{BadText, Lines};
use crate::replica::setup::Pace;
use crate::wire::feed::{Ack, BadLine, SnapshotLine, read_line, read_snapshot_line};
use crate::wire::secret::Secret;
use crate::wire::token::{Issuer, mint};

/// The header that a follower shows its token in.
const TOKEN_HEADER: &str = "Sidegate-Sync-Request";
const ROOT: &str = "/api/v4/internal/sidegate";
/// Lines of `changes` read ahead.
const LINES_AHEAD: usize = 4;
/// Pieces of a snapshot read ahead.
const PIECES_AHEAD: usize = 16;
/// Chunks of decoded lines ahead of who loads them.
const CHUNKS_AHEAD: usize = 4;
const CHUNK_LINES: usize = 512;
const CHUNK_BYTES: usize = 1 << 20;
/// The largest window a snapshot may ask the decoder to keep: 2^24 bytes.
const WINDOW_LOG: u32 = 24;
/// What is read of an answer that is no feed.
const REFUSAL_BYTES: usize = 64 << 10;

/// The primary, asked over HTTP.
pub struct HttpFeed {
    client: Client,
    secret: Arc<ArcSwap<Secret>>,
    host: String,
    pace: Pace,
}

impl HttpFeed {
    /// Asks through `client` in the name of `host`; the secret may be replaced at any time.
    #[must_use]
    pub const fn new(client: Client, secret: Arc<ArcSwap<Secret>>, host: String, pace: Pace) -> Self {
        Self { client, secret, host, pace }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Outgoing>, NoFeed> {
        let token = mint(Issuer::Sync, Some(&self.host), &self.secret.load(), clock::wall());
        let mut request = Request::builder().method(method).uri(format!("{ROOT}{path}")).header(TOKEN_HEADER, token);
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        request.body(Outgoing::of(body)).map_err(|error| NoFeed::Unreachable(format!("no request could be made: {error}")))
    }

    async fn stream(&self, path: &str, within: Duration) -> Result<Incoming, NoFeed> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        let answer = self.client.send_alone(request, within).await.map_err(unreachable)?;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(self.refusal(answer).await) }
    }

    async fn refusal(&self, answer: Response<Incoming>) -> NoFeed {
        let status = answer.status().as_u16();
        let body = answer.into_body().read(REFUSAL_BYTES, self.pace.answer).await.unwrap_or_default();
        refused(status, &body)
    }
}

impl Feed for HttpFeed {
    async fn changes(&self, after: Head) -> Result<ChangeLines, NoFeed> {
        let path = format!("/changes?epoch={}&after={}&digest={}", after.epoch, after.seq, after.state.digest);
        let body = self.stream(&path, self.pace.answer).await?;
        let (lines, received) = channel(LINES_AHEAD);
        tokio::spawn(read_changes(body, self.pace.silence, lines));
        Ok(received)
    }

    async fn snapshot(&self) -> Result<SnapshotLines, NoFeed> {
        let body = self.stream("/snapshot", self.pace.snapshot).await?;
        let (pieces, arrived) = channel(PIECES_AHEAD);
        tokio::spawn(read_pieces(body, self.pace.snapshot, pieces));
        let (chunks, decoded) = sync_channel(CHUNKS_AHEAD);
        drop(aside("decode", move || decode(Arrived { pieces: arrived, piece: Bytes::new() }, &chunks)));
        Ok(Box::new(Decoded { chunks: decoded, chunk: Vec::new().into_iter() }))
    }

    async fn ack(&self, ack: Ack) -> Result<(), NoFeed> {
        let body = serde_json::to_vec(&ack).map_err(|error| NoFeed::Unreachable(error.to_string()))?;
        let request = self.request(Method::POST, "/ack", body.into())?;
        let answer = self.client.send(request, self.pace.answer).await.map_err(unreachable)?;
        if answer.status().is_success() { Ok(()) } else { Err(self.refusal(answer).await) }
    }
}

fn unreachable(failed: Failed) -> NoFeed {
    NoFeed::Unreachable(failed.reason)
}

/// What an answer that is no feed means.
fn refused(status: u16, body: &[u8]) -> NoFeed {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        message: String,
        epoch: Option<Epoch>,
        seq: Option<u64>,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    match status {
        410 => NoFeed::Gone(serde_json::from_slice::<Head>(body).ok()),
        409 => NoFeed::Unlike { epoch: said.epoch, seq: said.seq },
        401 | 403 => NoFeed::Forbidden(status),
        _ => NoFeed::Refused { status, message: said.message.chars().filter(|letter| !letter.is_control()).take(200).collect() },
    }
}

/// Reads `changes` until it ends or nobody wants it any more. A follower that takes no line for `silence` has lost the
/// connection as well: what waits here would be taken for newer than it is.
async fn read_changes(body: Incoming, silence: Duration, lines: Sender<Result<Received, NoFeed>>) {
    let mut reader = ChangesReader { body, lines: Lines::default() };
    loop {
        let next = tokio::select! {
            () = lines.closed() => return,
            next = reader.next(silence) => next,
        };
        let ended = next.is_err();
        if lines.send_timeout(next, silence).await.is_err() || ended {
            return;
        }
    }
}

struct ChangesReader {
    body: Incoming,
    lines: Lines,
}

impl ChangesReader {
    async fn next(&mut self, silence: Duration) -> Result<Received, NoFeed> {
        loop {
            if let Some(text) = self.lines.take()? {
                return Ok(Received { line: read_line(&text)?, at: clock::boot() });
            }
            let piece = tokio::time::timeout(silence, self.body.piece()).await.map_err(|_| NoFeed::Silent(silence))?;
            self.lines.push(&whole(piece)?.ok_or_else(|| NoFeed::Unreachable("the primary ended the stream".to_owned()))?);
        }
    }
}

async fn read_pieces(mut body: Incoming, silence: Duration, pieces: Sender<Result<Bytes, NoFeed>>) {
    loop {
        let piece = match tokio::time::timeout(silence, body.piece()).await {
            Ok(piece) => whole(piece).transpose(),
            Err(_late) => Some(Err(NoFeed::Silent(silence))),
        };
        let Some(piece) = piece else { return };
        let ended = piece.is_err();
        if pieces.send(piece).await.is_err() || ended {
            return;
        }
    }
}

fn whole(piece: Option<Result<Bytes, crate::net::message::BodyRefused>>) -> Result<Option<Bytes>, NoFeed> {
    piece.transpose().map_err(|refused| NoFeed::Unreachable(refused.to_string()))
}

/// The pieces of a snapshot as a reader that blocks.
struct Arrived {
    pieces: Receiver<Result<Bytes, NoFeed>>,
    piece: Bytes,
}

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(no_feed)) => return Err(io::Error::other(no_feed)),
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(into.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

type Chunk = Vec<Result<SnapshotLine, NoFeed>>;

/// Unpacks and reads a snapshot; ends after the first error, or when nobody takes its lines.
fn decode(compressed: impl Read, chunks: &SyncSender<Chunk>) {
    let mut chunk = Chunk::new();
    if let Err(no_feed) = decode_into(compressed, &mut chunk, chunks) {
        chunk.push(Err(no_feed));
    }
    let _nobody_listens = chunks.send(chunk);
}

fn decode_into(compressed: impl Read, chunk: &mut Chunk, chunks: &SyncSender<Chunk>) -> Result<(), NoFeed> {
    let mut decoder = zstd::stream::read::Decoder::new(compressed).map_err(garbled)?;
    decoder.window_log_max(WINDOW_LOG).map_err(garbled)?;
    let mut lines = Lines::default();
    let mut buffer = vec![0; 128 << 10];
    let mut bytes = 0;
    loop {
        let length = decoder.read(&mut buffer).map_err(garbled)?;
        if length == 0 {
            break;
        }
        lines.push(buffer.get(..length).unwrap_or_default());
        while let Some(text) = lines.take()? {
            bytes += text.len();
            chunk.push(Ok(read_snapshot_line(&text)?));
            if chunk.len() >= CHUNK_LINES || bytes >= CHUNK_BYTES {
                bytes = 0;
                if chunks.send(std::mem::take(chunk)).is_err() {
                    return Ok(());
                }
            }
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(NoFeed::Garbled("it ends within a line".to_owned())) }
}

fn garbled(error: io::Error) -> NoFeed {
    match error.downcast::<NoFeed>() {
        Ok(no_feed) => no_feed,
        Err(error) => NoFeed::Garbled(error.to_string()),
    }
}

/// The lines of a snapshot, in chunks from the thread that unpacks.
struct Decoded {
    chunks: ChunksReceiver<Chunk>,
    chunk: std::vec::IntoIter<Result<SnapshotLine, NoFeed>>,
}

impl Iterator for Decoded {
    type Item = Result<SnapshotLine, NoFeed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.chunk.next() {
                return Some(line);
            }
            self.chunk = self.chunks.recv().ok()?.into_iter();
        }
    }
}

impl From<BadText> for NoFeed {
    fn from(bad: BadText) -> Self {
        Self::Garbled(bad.to_string())
    }
}

impl From<BadLine> for NoFeed {
    fn from(bad: BadLine) -> Self {
        Self::Garbled(bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, decode, refused};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::State;
    use crate::replica::feed::NoFeed;

    #[test]
    fn each_answer_that_is_no_feed_says_what_to_do() {
        let head = Head { epoch: Epoch(7), seq: 9, state: State::default() };
        assert_eq!(refused(410, serde_json::to_string(&head).unwrap().as_bytes()), NoFeed::Gone(Some(head)));
        assert_eq!(refused(410, b"<html>"), NoFeed::Gone(None));
        let unlike = format!(r#"{{"message":"no","epoch":"{}","seq":3}}"#, Epoch(7));
        assert_eq!(refused(409, unlike.as_bytes()), NoFeed::Unlike { epoch: Some(Epoch(7)), seq: Some(3) });
        assert_eq!(refused(401, b""), NoFeed::Forbidden(401));
        assert_eq!(refused(503, br#"{"message":"busy\n"}"#), NoFeed::Refused { status: 503, message: "busy".to_owned() });
    }

    fn decoded(compressed: &[u8]) -> Chunk {
        let (chunks, received) = std::sync::mpsc::sync_channel(64);
        decode(compressed, &chunks);
        drop(chunks);
        received.iter().flatten().collect()
    }

    #[test]
    fn a_snapshot_that_is_cut_or_no_zstd_ends_with_an_error() {
        let line = format!("{{\"format\":1,\"epoch\":\"{}\",\"from_seq\":0}}\n", Epoch(1));
        let packed = zstd::encode_all(line.repeat(2000).as_bytes(), 1).unwrap();
        assert!(decoded(&packed).iter().all(Result::is_ok));
        for bad in [&packed[..packed.len() - 1], b"not zstd at all".as_slice()] {
            assert!(matches!(decoded(bad).last(), Some(Err(NoFeed::Garbled(_)))), "{} bytes", bad.len());
        }
        let within = zstd::encode_all(format!("{line}{{\"for").as_bytes(), 1).unwrap();
        assert!(matches!(decoded(&within).last(), Some(Err(NoFeed::Garbled(_)))));
    }
}
