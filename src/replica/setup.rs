//! What a replica is started with, and the pace at which it works.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::freshness::Limits;
use crate::model::loss_guard::LossGuard;
use crate::net::client::Client;
use crate::store::folder::Refused;
use crate::store::generation::Options;
use crate::wire::secret::Secret;

/// Everything a replica is told at its start.
pub struct Setup {
    /// The folder of the store; ours alone.
    pub store: PathBuf,
    /// How much memory the store may take.
    pub options: Options,
    /// The way to the primary.
    pub client: Client,
    /// What sync tokens are signed with.
    pub secret: Secret,
    /// This host, as the primary lists it.
    pub host: String,
    /// The limits of keys: how long this host may let a revoked key in is told to the primary.
    pub keys: Limits,
    /// When a snapshot is held back.
    pub loss_guard: LossGuard,
    /// Whether there is a feed.
    pub feeding: Feeding,
    /// How fast.
    pub pace: Pace,
}

/// Whether the primary publishes a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// `feed = "sidegate"`.
    Follow,
    /// `feed = "none"`: nothing is opened, nothing is known.
    Nothing,
}

/// Times of following. The defaults are what the documentation states; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// No line for so long is a lost connection.
    pub silence: Duration,
    /// How long a primary may take to begin its answer to `changes` and `ack`.
    pub answer: Duration,
    /// How long it may take to begin a snapshot (it may be building one), and between two pieces of it.
    pub snapshot: Duration,
    /// The first pause after a lost connection; doubled and jittered after each failure.
    pub first_pause: Duration,
    /// The longest pause between two tries to connect.
    pub longest_pause: Duration,
    /// The longest pause between two tries to resync.
    pub longest_resync_pause: Duration,
    /// At most one flush and ack in this time.
    pub ack_every: Duration,
    /// How often the age file is written.
    pub age_every: Duration,
    /// How long opening a generation may take.
    pub open: Duration,
    /// How long a replaced generation is kept for the requests that still read it.
    pub linger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(15),
            answer: Duration::from_secs(10),
            snapshot: Duration::from_secs(120),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            longest_resync_pause: Duration::from_secs(300),
            ack_every: Duration::from_millis(100),
            age_every: Duration::from_secs(30),
            open: Duration::from_secs(60),
            linger: Duration::from_secs(10),
        }
    }
}

/// Why a replica did not start. Damage of the store is never among them.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The folder is not ours alone, or another process holds it.
    #[error(transparent)]
    Store(#[from] Refused),
    /// No thread or no runtime.
    #[error("the thread that follows the primary did not start: {0}")]
    Thread(std::io::Error),
}
