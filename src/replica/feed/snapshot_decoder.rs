//! Decodes a snapshot while it arrives: unpacked and read on a thread of low priority, a few chunks of lines ahead of whoever
//! loads them. Memory stays bounded: by the window of the compression, the longest line, and the chunks ahead.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver as ChunkReceiver, SyncSender, sync_channel};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc::Receiver;

use crate::replica::blocking::spawn_low_priority;
use crate::replica::feed::line_splitter::LineSplitter;
use crate::replica::feed::source::{FeedError, SnapshotLines};
use crate::wire::directory::feed_lines::{SnapshotLine, parse_snapshot_line};

/// Chunks of decoded lines ahead of whoever loads them.
const CHUNK_CHANNEL_CAPACITY: usize = 4;
const MAX_CHUNK_LINES: usize = 512;
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// The largest window that a snapshot may ask the decoder to keep: 2^24 bytes.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;
/// How much is unpacked at a time.
const BUFFER_BYTES: usize = 128 << 10;

type Chunk = Vec<Result<SnapshotLine, FeedError>>;

/// Starts to decode the snapshot that arrives in `pieces`; returns its lines.
pub fn spawn_decoder(pieces: Receiver<Result<Bytes, FeedError>>) -> SnapshotLines {
    let (chunk_sender, chunks) = sync_channel(CHUNK_CHANNEL_CAPACITY);
    let reader = PieceReader { pieces, current_piece: Bytes::new() };
    drop(spawn_low_priority("decode", move || decode_snapshot(reader, &chunk_sender)));
    Box::new(DecodedLines { chunks, current_chunk: Vec::new().into_iter() })
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
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let length = self.current_piece.len().min(into.len());
        self.current_piece.copy_to_slice(into.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Decodes until the snapshot ends, after its first error, or when nobody takes its lines any more.
fn decode_snapshot(compressed: impl Read, chunks: &SyncSender<Chunk>) {
    let mut chunk = Chunk::new();
    if let Err(error) = decode_chunks(compressed, &mut chunk, chunks) {
        chunk.push(Err(error));
    }
    let _receiver_gone = chunks.send(chunk);
}

fn decode_chunks(compressed: impl Read, chunk: &mut Chunk, chunks: &SyncSender<Chunk>) -> Result<(), FeedError> {
    let mut decoder = zstd::stream::read::Decoder::new(compressed).map_err(decode_error)?;
    decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(decode_error)?;
    let mut lines = LineSplitter::default();
    let mut buffer = vec![0; BUFFER_BYTES];
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
        Ok(error) => error,
        Err(error) => FeedError::Malformed(error.to_string()),
    }
}

/// The lines of a snapshot, taken from the chunks of the thread that decodes.
struct DecodedLines {
    chunks: ChunkReceiver<Chunk>,
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

#[cfg(test)]
mod tests {
    use super::{Chunk, decode_snapshot};
    use crate::model::change::Epoch;
    use crate::replica::feed::source::FeedError;

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
