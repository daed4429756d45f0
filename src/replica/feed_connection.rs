//! The connection of the feed as a thing that moves: down, connecting, up; with a jittered pause before each new try.

use std::pin::Pin;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::model::change::Head;
use crate::net::client::backoff::Backoff;
use crate::replica::feed::{ChangeLines, FeedError, FeedSource, ReceivedLine};

/// What the link did.
pub enum ConnectionEvent {
    /// It is up.
    Connected,
    /// A line came.
    Line(ReceivedLine),
    /// It is down.
    Lost(FeedError),
}

/// The link of one generation to the feed.
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
    /// Down; the first try is made at once.
    #[must_use]
    pub const fn new(pauses: Backoff) -> Self {
        Self { phase: ConnectionPhase::Down { delay: None }, backoff: pauses }
    }

    /// Waits for the next thing to happen. Nothing happens without a position. May be dropped and called again at any time.
    pub async fn next_event<F: FeedSource>(&mut self, feed: &Arc<F>, position: Option<Head>) -> ConnectionEvent {
        loop {
            match &mut self.phase {
                ConnectionPhase::Down { delay: pause } => {
                    let Some(after) = position else { return std::future::pending().await };
                    if let Some(pause) = pause {
                        pause.as_mut().await;
                    }
                    let feed = Arc::clone(feed);
                    self.phase = ConnectionPhase::Connecting(tokio::spawn(async move { feed.changes(after).await }));
                }
                ConnectionPhase::Connecting(connecting) => match connecting.await {
                    Ok(Ok(lines)) => {
                        self.phase = ConnectionPhase::Up(lines);
                        return ConnectionEvent::Connected;
                    }
                    Ok(Err(no_feed)) => return self.disconnect_with(no_feed),
                    Err(_ended) => return self.disconnect_with(FeedError::Unreachable("the try to connect ended".to_owned())),
                },
                ConnectionPhase::Up(lines) => match lines.recv().await {
                    Some(Ok(received)) => return ConnectionEvent::Line(received),
                    Some(Err(no_feed)) => return self.disconnect_with(no_feed),
                    None => return self.disconnect_with(FeedError::Unreachable("the stream ended".to_owned())),
                },
            }
        }
    }

    /// The primary was heard and made sense: the next pause is a short one.
    pub const fn reset_backoff(&mut self) {
        self.backoff.reset();
    }

    /// Hangs up; connects again after a pause.
    pub fn disconnect(&mut self) {
        self.abort_connecting();
        let pause = self.backoff.next_delay(fastrand::f64());
        self.phase = ConnectionPhase::Down { delay: Some(Box::pin(tokio::time::sleep(pause))) };
    }

    /// Hangs up; connects again at once, from another position.
    pub fn reconnect_now(&mut self) {
        self.abort_connecting();
        self.phase = ConnectionPhase::Down { delay: None };
    }

    /// Goes on with lines that another has begun to read.
    pub fn adopt_lines(&mut self, lines: ChangeLines) {
        self.abort_connecting();
        self.backoff.reset();
        self.phase = ConnectionPhase::Up(lines);
    }

    /// The lines, for another to go on with; `None` if it is not up.
    #[must_use]
    pub fn into_lines(self) -> Option<ChangeLines> {
        match self.phase {
            ConnectionPhase::Up(lines) => Some(lines),
            ConnectionPhase::Down { .. } | ConnectionPhase::Connecting(_) => None,
        }
    }

    fn disconnect_with(&mut self, no_feed: FeedError) -> ConnectionEvent {
        self.disconnect();
        ConnectionEvent::Lost(no_feed)
    }

    fn abort_connecting(&mut self) {
        if let ConnectionPhase::Connecting(connecting) = &self.phase {
            connecting.abort();
        }
    }
}
