//! A file as the body of a request, read while it is sent.

use std::io::{self, Read};

use bytes::Bytes;

use crate::net::body::{OutgoingBody, StreamAborted};

/// How many bytes of a file are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Returns a file as the body of a request. One that cannot be read to its end aborts the request, so that nothing is applied.
pub fn stream_file(mut source: Box<dyn Read + Send>) -> OutgoingBody {
    let (sender, chunks) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let chunk = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Err(StreamAborted),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    OutgoingBody::from_channel(chunks)
}
