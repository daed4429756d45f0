//! Brings a whole new generation whenever one is wanted: fetch, load, catch up, guard against loss, hand over.
//!
//! It works beside the following of the old generation and never touches it. Whatever fails is tried again after a pause that
//! grows; an operator who asks shortens it. It alone sweeps, so that nothing is swept that is being loaded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::model::time::BootTime;
use crate::replica::alarm::Alarm;
use crate::replica::aside::{Unfinished, aside};
use crate::replica::feed::{ChangeLines, Feed, NoFeed};
use crate::replica::link::{Link, Moved};
use crate::replica::pause::Pauses;
use crate::replica::setup::Pace;
use crate::replica::shared::Shared;
use crate::replica::snapshot::{KeySet, Loaded, NotLoaded, load};
use crate::replica::status::Relation;
use crate::replica::tracked::{Broken, Took, Track, Tracked};
use crate::store::folder::Refused;
use crate::store::generation::{Damage, Generation, Options};
use crate::store::generations::Generations;

/// The first pause after a resync that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// So many broken connections in a row while catching up, and the snapshot is given up.
const BROKEN_CONNECTIONS: u32 = 5;

/// A generation that has caught up with the primary, and the lines it is to go on with.
pub struct Candidate {
    /// It, true at its head.
    pub tracked: Tracked,
    /// What follows.
    pub lines: ChangeLines,
    /// When it was proven equal to the primary.
    pub proven: BootTime,
    /// Where it lives.
    pub folder: PathBuf,
    /// Gives the generation that served before, once it does not any more; or why it still does.
    pub outcome: oneshot::Sender<Result<Option<Generation>, NotAdopted>>,
}

/// Why a candidate did not take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// It lacks commits that bind here.
    #[error(
        "the primary is at {primary}, behind {ours} which this host has followed to; it was restored from a backup: keep it so and run `sidegate admin new-epoch` at the primary"
    )]
    Behind {
        /// The primary's number.
        primary: u64,
        /// Ours.
        ours: u64,
    },
    /// Another life of the primary began while it was loaded.
    #[error("the primary began a new epoch while its snapshot was loaded")]
    OtherEpoch,
    /// Its feed or store failed in the last moment.
    #[error("{0}")]
    Failed(String),
}

/// Why there is no new generation.
#[derive(Debug, thiserror::Error)]
enum NotBrought {
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(
        "the snapshot lacks {lost} of the {had} keys that this host has; it is held back: if that is meant, run `sidegate admin accept-loss` at the primary"
    )]
    Held { had: u64, lost: u64 },
    #[error("the new generation could not catch up: {0}")]
    NotCaughtUp(String),
    #[error(transparent)]
    NotAdopted(#[from] NotAdopted),
    #[error("the snapshot could not be loaded: {0}")]
    Unfinished(#[from] Unfinished),
    #[error("the replica is stopping")]
    Stopping,
}

impl From<Damage> for NotBrought {
    fn from(damage: Damage) -> Self {
        Self::NotLoaded(damage.into())
    }
}

impl From<NoFeed> for NotBrought {
    fn from(no_feed: NoFeed) -> Self {
        Self::NotLoaded(no_feed.into())
    }
}

/// Brings generations.
pub struct Resyncer<F> {
    /// Where from.
    pub feed: Arc<F>,
    /// What the loops know.
    pub shared: Arc<Shared>,
    /// Where to.
    pub generations: Arc<Generations>,
    /// How much memory.
    pub options: Options,
    /// When a snapshot is held back.
    pub guard: LossGuard,
    /// How fast.
    pub pace: Pace,
    /// Who takes over.
    pub candidates: mpsc::Sender<Candidate>,
}

impl<F: Feed> Resyncer<F> {
    /// Waits for the wish and fulfils it, for ever.
    pub async fn run(self) {
        loop {
            let reason = self.shared.wanted.heard().await;
            tracing::info!("a snapshot is fetched: {reason}");
            self.shared.told().resyncing = Some(reason);
            self.try_until_brought().await;
            self.shared.told().resyncing = None;
            self.shared.stir();
        }
    }

    async fn try_until_brought(&self) {
        let mut pauses = Pauses::new(FIRST_PAUSE.min(self.pace.longest_resync_pause), self.pace.longest_resync_pause);
        loop {
            let failure = match self.bring().await {
                Ok(before) => return self.sweep_after(before).await,
                Err(NotBrought::Stopping) => return,
                Err(failure) => failure,
            };
            self.report(&failure);
            if self.is_idle(&failure) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.next(fastrand::f64())) => {}
                () = self.shared.wanted.asked() => pauses.reset(),
            }
        }
    }

    /// Makes one try; what it leaves behind when it fails may fill the disk, and goes.
    async fn bring(&self) -> Result<Option<Generation>, NotBrought> {
        self.shared.told().counted.snapshots_tried += 1;
        let folder = self.free_folder().await?;
        let brought = self.bring_into(folder.clone()).await;
        if brought.is_err() {
            drop(tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await);
        }
        brought
    }

    /// The recipe. Gives the generation that served before.
    async fn bring_into(&self, folder: PathBuf) -> Result<Option<Generation>, NotBrought> {
        let loaded = self.fetch(folder.clone()).await?;
        let Loaded { generation, head, accept_loss, keys } = loaded;
        let mut tracked = Tracked::new(generation, Track::True(head));
        let (lines, proven) = self.catch_up(&mut tracked).await?;
        self.hold_back_loss(keys, accept_loss, tracked.generation().clone()).await?;
        self.hand_over(tracked, lines, proven, folder).await
    }

    async fn free_folder(&self) -> Result<PathBuf, NotBrought> {
        let generations = Arc::clone(&self.generations);
        blocking(move || Ok(generations.next()?)).await
    }

    async fn fetch(&self, folder: PathBuf) -> Result<Loaded, NotBrought> {
        let lines = self.feed.snapshot().await?;
        let options = self.options;
        aside("load", move || load(&folder, &options, lines)).await?.map_err(NotBrought::from)
    }

    /// Judged after catching up: the primary may send a snapshot that is minutes old, and what was added since is no loss.
    async fn hold_back_loss(&self, keys: KeySet, accept_loss: bool, caught_up: Generation) -> Result<(), NotBrought> {
        let Some(serving) = self.shared.serving() else { return Ok(()) };
        let had = serving.counts().get("key").copied().unwrap_or(0);
        if accept_loss || had <= self.guard.more_than {
            return Ok(());
        }
        let missing = blocking(move || Ok(keys.missing_of(&serving, &caught_up)?)).await?;
        if self.guard.holds(missing) {
            return Err(NotBrought::Held { had: missing.held, lost: missing.lost });
        }
        Ok(())
    }

    /// Reads `changes` from where the snapshot ends until the generation equals the primary. A connection that is lost is
    /// made again: the snapshot is worth it.
    async fn catch_up(&self, tracked: &mut Tracked) -> Result<(ChangeLines, BootTime), NotBrought> {
        let mut link = Link::new(Pauses::new(self.pace.first_pause, self.pace.longest_pause));
        let mut broken = 0;
        loop {
            let received = match link.moved(&self.feed, tracked.position()).await {
                Moved::Connected => {
                    tracked.connected();
                    continue;
                }
                Moved::Line(received) => received,
                Moved::Lost(no_feed @ NoFeed::Gone(_)) => return Err(NotBrought::NotCaughtUp(no_feed.to_string())),
                Moved::Lost(NoFeed::Unlike { seq, .. }) => return Err(self.unlike(tracked, seq)),
                Moved::Lost(no_feed) => {
                    self.shared.problem(format!("the new generation waits for the feed: {no_feed}"));
                    continue;
                }
            };
            match tracked.take(received.line).await {
                Ok(Took::Proven) => {
                    let lines = link.into_lines().ok_or_else(|| NotBrought::NotCaughtUp("the stream ended".to_owned()))?;
                    return Ok((lines, received.at));
                }
                Ok(Took::Drifted) => return Err(NotBrought::NotCaughtUp("it does not equal what the primary says".to_owned())),
                Ok(Took::Applied | Took::Nothing) => link.went_well(),
                Err(Broken::Store(damage)) => return Err(damage.into()),
                Err(Broken::Stopped) => return Err(NotBrought::Stopping),
                Err(gap) => {
                    broken += 1;
                    if broken >= BROKEN_CONNECTIONS {
                        return Err(NotBrought::NotCaughtUp(gap.to_string()));
                    }
                    link.hang_up();
                }
            }
        }
    }

    fn unlike(&self, tracked: &Tracked, seq: Option<u64>) -> NotBrought {
        let ours = tracked.position().map_or(0, |head: Head| head.seq);
        NotBrought::NotCaughtUp(format!("the primary does not know its own snapshot's state (it is at {seq:?}, the snapshot at {ours})"))
    }

    async fn hand_over(
        &self,
        tracked: Tracked,
        lines: ChangeLines,
        proven: BootTime,
        folder: PathBuf,
    ) -> Result<Option<Generation>, NotBrought> {
        let (outcome, decided) = oneshot::channel();
        let candidate = Candidate { tracked, lines, proven, folder, outcome };
        self.candidates.send(candidate).await.map_err(|_| NotBrought::Stopping)?;
        Ok(decided.await.map_err(|_| NotBrought::Stopping)??)
    }

    /// Whether nothing is gained by trying again: an operator asked, the primary is behind, and what serves is sound.
    fn is_idle(&self, failure: &NotBrought) -> bool {
        let behind = matches!(failure, NotBrought::NotAdopted(NotAdopted::Behind { .. }));
        behind && self.shared.told().following == Relation::True
    }

    fn report(&self, failure: &NotBrought) {
        let message = format!("{failure}; answers go on from what is here, and their age grows");
        let alarm = match failure {
            NotBrought::Held { .. } => Some(Alarm::LossHeld),
            NotBrought::NotAdopted(NotAdopted::Behind { .. }) => Some(Alarm::PrimaryWentBack),
            NotBrought::Refused(_) | NotBrought::NotLoaded(NotLoaded::Store(_)) => Some(Alarm::Store),
            NotBrought::NotLoaded(NotLoaded::Feed(NoFeed::Forbidden(_))) => Some(Alarm::Forbidden),
            NotBrought::NotLoaded(NotLoaded::Form(_) | NotLoaded::Sum | NotLoaded::Feed(NoFeed::Garbled(_))) => Some(Alarm::Garbled),
            _ => None,
        };
        match alarm {
            Some(alarm) => self.shared.alarms.raise(alarm, &*message, clock::wall()),
            None => tracing::warn!("{message}"),
        }
        self.shared.problem(message);
        self.shared.stir();
    }

    /// The old generation is kept a while for the requests that still read it.
    async fn sweep_after(&self, before: Option<Generation>) {
        tokio::time::sleep(self.pace.linger).await;
        drop(tokio::task::spawn_blocking(move || drop(before)).await);
        self.sweep().await;
    }

    async fn sweep(&self) {
        let generations = Arc::clone(&self.generations);
        if let Err(failure) = blocking(move || Ok(generations.sweep()?)).await {
            tracing::warn!("old generations could not be removed: {failure}");
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, NotBrought> + Send + 'static) -> Result<T, NotBrought> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NotBrought::Stopping)?
}
