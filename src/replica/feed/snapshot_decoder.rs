//! Decodes a snapshot while it arrives: unpacked and read on a thread of low priority, a few chunks of lines ahead of whoever
//! loads them. Memory stays bounded: by the window of the compression, the longest line, and the chunks ahead. So does the disk: a snapshot
//! that goes on beyond the size in its first line is refused there, and an older primary's, which says none, beyond a limit.

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

/// Starts to decode the snapshot that arrives in `pieces`; returns its lines. One that does not say its size may have `unsized_limit` bytes.
pub fn spawn_decoder(pieces: Receiver<Result<Bytes, FeedError>>, unsized_limit: u64) -> SnapshotLines {
    let (chunk_sender, chunks) = sync_channel(CHUNK_CHANNEL_CAPACITY);
    let reader = PieceReader { pieces, current_piece: Bytes::new() };
    drop(spawn_low_priority("decode", move || decode_snapshot(reader, unsized_limit, &chunk_sender)));
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
fn decode_snapshot(compressed: impl Read, unsized_limit: u64, chunks: &SyncSender<Chunk>) {
    let mut chunk = Chunk::new();
    if let Err(error) = decode_chunks(compressed, SizeLimit::new(unsized_limit), &mut chunk, chunks) {
        chunk.push(Err(error));
    }
    let _receiver_gone = chunks.send(chunk);
}

fn decode_chunks(compressed: impl Read, mut size: SizeLimit, chunk: &mut Chunk, chunks: &SyncSender<Chunk>) -> Result<(), FeedError> {
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
            let line = parse_snapshot_line(&text)?;
            size.add_line(text.len(), &line)?;
            chunk.push(Ok(line));
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

/// How much a snapshot may still contain.
struct SizeLimit {
    /// What its first line says, or what it may have as long as that says nothing.
    bytes: u64,
    promised: bool,
    remaining: u64,
}

impl SizeLimit {
    const fn new(unsized_limit: u64) -> Self {
        Self { bytes: unsized_limit, promised: false, remaining: unsized_limit }
    }

    /// Takes a line with its line feed into account. Refuses the one that goes beyond the limit.
    fn add_line(&mut self, length: usize, line: &SnapshotLine) -> Result<(), FeedError> {
        if let SnapshotLine::Header(header) = line {
            if let Some(bytes) = header.bytes {
                *self = Self { bytes, promised: true, remaining: bytes };
            }
            return Ok(());
        }
        let remaining = self.remaining.checked_sub(length as u64 + 1);
        self.remaining = remaining.ok_or_else(|| {
            let bytes = self.bytes;
            FeedError::Malformed(if self.promised {
                format!("the snapshot goes on beyond the {bytes} bytes that its first line promises")
            } else {
                format!(
                    "the snapshot goes on beyond {bytes} bytes, and its first line does not say its size: that is more than the records of \
                     this primary should take, or than this disk has free; free some, or install this version at the primary"
                )
            })
        })?;
        Ok(())
    }
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
    use crate::wire::directory::feed_lines::{SNAPSHOT_FORMAT, SnapshotHeader, encode_snapshot_header};

    fn decode_all(compressed: &[u8]) -> Chunk {
        decode_within(compressed, u64::MAX)
    }

    fn decode_within(compressed: &[u8], unsized_limit: u64) -> Chunk {
        let (chunks, received) = std::sync::mpsc::sync_channel(64);
        decode_snapshot(compressed, unsized_limit, &chunks);
        drop(chunks);
        received.iter().flatten().collect()
    }

    const RECORD: &str = r#"{"kind":"user","id":7,"username":"zoe","name":"Zoe"}"#;

    /// A snapshot of `records` users, whose first line says this size; each part in a frame of its own.
    fn snapshot(bytes: Option<u64>, records: usize) -> Vec<u8> {
        let header = SnapshotHeader { format: SNAPSHOT_FORMAT, epoch: Epoch(1), from_seq: 0, bytes, covers: None };
        let frame = |text: String| zstd::encode_all(text.as_bytes(), 1).unwrap();
        [frame(encode_snapshot_header(&header) + "\n"), frame(format!("{RECORD}\n").repeat(records))].concat()
    }

    #[test]
    fn a_snapshot_may_have_the_size_that_its_first_line_says_and_not_a_byte_more() {
        let size = (RECORD.len() as u64 + 1) * 2000;
        for (promised, limit, named) in [(Some(size), 0, "promises"), (None, size, "does not say its size")] {
            let decoded = decode_within(&snapshot(promised, 2000), limit);
            assert!(decoded.len() == 2001 && decoded.iter().all(Result::is_ok), "{promised:?}");
            let (promised, limit) = (promised.map(|bytes| bytes - 1), limit.saturating_sub(1));
            let decoded = decode_within(&snapshot(promised, 2000), limit);
            assert!(matches!(decoded.last(), Some(Err(FeedError::Malformed(reason))) if reason.contains(named)), "{promised:?}");
            assert_eq!(decoded.len(), 2001, "the header, all but the last record, and the error");
        }
    }

    #[test]
    fn a_snapshot_that_never_ends_is_refused_long_before_it_was_unpacked() {
        let decoded = decode_within(&snapshot(Some(100_000), 1_000_000), u64::MAX);
        assert!(decoded.len() < 2_000 && matches!(decoded.last(), Some(Err(FeedError::Malformed(_)))), "{}", decoded.len());
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
