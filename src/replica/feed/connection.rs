//! The connection of one generation to the feed: down, connecting or up, with a jittered delay before each new try.

use std::pin::Pin;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::model::change::Head;
use crate::net::client::backoff::Backoff;
use crate::replica::feed::source::{ChangeLines, FeedError, FeedSource, ReceivedLine};

/// What happened on a connection.
pub enum ConnectionEvent {
    /// It is up.
    Connected,
    /// A line arrived.
    Line(ReceivedLine),
    /// It is down.
    Lost(FeedError),
}

/// A connection that is made again after each loss.
pub struct FeedConnection {
    phase: ConnectionPhase,
    backoff: Backoff,
}

enum ConnectionPhase {
    Down { delay: Option<Pin<Box<Sleep>>> },
    Connecting(JoinHandle<Result<ChangeLines, FeedError>>),
    Up(ChangeLines),
}

impl FeedConnection {
    /// Creates a connection that is down; the first try is made at once.
    #[must_use]
    pub const fn new(backoff: Backoff) -> Self {
        Self { phase: ConnectionPhase::Down { delay: None }, backoff }
    }

    /// Waits for the next event. Without a position there is none. May be dropped and called again at any time.
    pub async fn next_event<F: FeedSource>(&mut self, feed: &Arc<F>, position: Option<Head>) -> ConnectionEvent {
        loop {
            match &mut self.phase {
                ConnectionPhase::Down { delay } => {
                    let Some(after) = position else { return std::future::pending().await };
                    if let Some(delay) = delay {
                        delay.as_mut().await;
                    }
                    let feed = Arc::clone(feed);
                    self.phase = ConnectionPhase::Connecting(tokio::spawn(async move { feed.changes(after).await }));
                }
                ConnectionPhase::Connecting(connecting) => match connecting.await {
                    Ok(Ok(lines)) => {
                        self.phase = ConnectionPhase::Up(lines);
                        return ConnectionEvent::Connected;
                    }
                    Ok(Err(error)) => return self.disconnect_with(error),
                    Err(_ended) => return self.disconnect_with(FeedError::Unreachable("the task that connects ended".to_owned())),
                },
                ConnectionPhase::Up(lines) => match lines.recv().await {
                    Some(Ok(received)) => return ConnectionEvent::Line(received),
                    Some(Err(error)) => return self.disconnect_with(error),
                    None => return self.disconnect_with(FeedError::Unreachable("the stream ended".to_owned())),
                },
            }
        }
    }

    /// Makes the next delay a short one: the primary was heard and made sense.
    pub const fn reset_backoff(&mut self) {
        self.backoff.reset();
    }

    /// Disconnects; connects again after a delay.
    pub fn disconnect(&mut self) {
        self.abort_connecting();
        let delay = self.backoff.next_delay(fastrand::f64());
        self.phase = ConnectionPhase::Down { delay: Some(Box::pin(tokio::time::sleep(delay))) };
    }

    /// Disconnects; connects again at once, from another position.
    pub fn reconnect_now(&mut self) {
        self.abort_connecting();
        self.phase = ConnectionPhase::Down { delay: None };
    }

    /// Returns whether it is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.phase, ConnectionPhase::Up(_))
    }

    /// Goes on with lines that another connection has begun to read.
    pub fn adopt_lines(&mut self, lines: ChangeLines) {
        self.abort_connecting();
        self.backoff.reset();
        self.phase = ConnectionPhase::Up(lines);
    }

    /// Returns the lines, for another connection to go on with; `None` if it is not up.
    #[must_use]
    pub fn into_lines(self) -> Option<ChangeLines> {
        match self.phase {
            ConnectionPhase::Up(lines) => Some(lines),
            ConnectionPhase::Down { .. } | ConnectionPhase::Connecting(_) => None,
        }
    }

    fn disconnect_with(&mut self, error: FeedError) -> ConnectionEvent {
        self.disconnect();
        ConnectionEvent::Lost(error)
    }

    fn abort_connecting(&mut self) {
        if let ConnectionPhase::Connecting(connecting) = &self.phase {
            connecting.abort();
        }
    }
}
