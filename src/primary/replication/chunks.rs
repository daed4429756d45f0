//! The channel through which a response body is sent in chunks to a host or an operator, and its bounds.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::net::body::StreamAborted;

/// How long a reader may take nothing before its stream is cut off.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How many chunks wait for a reader.
pub const QUEUED_CHUNKS: usize = 4;

/// Sends the chunks of one body; an error as the last one makes the body look cut off.
pub type ChunkSender = mpsc::Sender<Result<Bytes, StreamAborted>>;
