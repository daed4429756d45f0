//! The connection of the feed as a thing that moves: down, connecting, up; with a jittered pause before each new try.

use std::pin::Pin;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::model::change::Head;
use crate::replica::feed::{ChangeLines, Feed, NoFeed, Received};
use crate::replica::pause::Pauses;

/// What the link did.
pub enum Moved {
    /// It is up.
    Connected,
    /// A line came.
    Line(Received),
    /// It is down.
    Lost(NoFeed),
}

/// The link of one generation to the feed.
pub struct Link {
    stage: Stage,
    pauses: Pauses,
}

enum Stage {
    Down { pause: Option<Pin<Box<Sleep>>> },
    Connecting(JoinHandle<Result<ChangeLines, NoFeed>>),
    Up(ChangeLines),
}

impl Link {
    /// Down; the first try is made at once.
    #[must_use]
    pub const fn new(pauses: Pauses) -> Self {
        Self { stage: Stage::Down { pause: None }, pauses }
    }

    /// Waits for the next thing to happen. Nothing happens without a position. May be dropped and called again at any time.
    pub async fn moved<F: Feed>(&mut self, feed: &Arc<F>, position: Option<Head>) -> Moved {
        loop {
            match &mut self.stage {
                Stage::Down { pause } => {
                    let Some(after) = position else { return std::future::pending().await };
                    if let Some(pause) = pause {
                        pause.as_mut().await;
                    }
                    let feed = Arc::clone(feed);
                    self.stage = Stage::Connecting(tokio::spawn(async move { feed.changes(after).await }));
                }
                Stage::Connecting(connecting) => match connecting.await {
                    Ok(Ok(lines)) => {
                        self.stage = Stage::Up(lines);
                        return Moved::Connected;
                    }
                    Ok(Err(no_feed)) => return self.lost(no_feed),
                    Err(_ended) => return self.lost(NoFeed::Unreachable("the try to connect ended".to_owned())),
                },
                Stage::Up(lines) => match lines.recv().await {
                    Some(Ok(received)) => return Moved::Line(received),
                    Some(Err(no_feed)) => return self.lost(no_feed),
                    None => return self.lost(NoFeed::Unreachable("the stream ended".to_owned())),
                },
            }
        }
    }

    /// The primary was heard and made sense: the next pause is a short one.
    pub const fn went_well(&mut self) {
        self.pauses.reset();
    }

    /// Hangs up; connects again after a pause.
    pub fn hang_up(&mut self) {
        self.abandon();
        let pause = self.pauses.next(fastrand::f64());
        self.stage = Stage::Down { pause: Some(Box::pin(tokio::time::sleep(pause))) };
    }

    /// Hangs up; connects again at once, from another position.
    pub fn turn(&mut self) {
        self.abandon();
        self.stage = Stage::Down { pause: None };
    }

    /// Goes on with lines that another has begun to read.
    pub fn take_over(&mut self, lines: ChangeLines) {
        self.abandon();
        self.pauses.reset();
        self.stage = Stage::Up(lines);
    }

    /// The lines, for another to go on with; `None` if it is not up.
    #[must_use]
    pub fn into_lines(self) -> Option<ChangeLines> {
        match self.stage {
            Stage::Up(lines) => Some(lines),
            Stage::Down { .. } | Stage::Connecting(_) => None,
        }
    }

    fn lost(&mut self, no_feed: NoFeed) -> Moved {
        self.hang_up();
        Moved::Lost(no_feed)
    }

    fn abandon(&mut self) {
        if let Stage::Connecting(connecting) = &self.stage {
            connecting.abort();
        }
    }
}
