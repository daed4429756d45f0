//! Makes the generation that serves the one that the next start opens, beside the following of it. Until then nothing that it has is
//! acknowledged, and the one before stays on disk.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

use crate::replica::blocking::{ThreadFailed, run_blocking};
use crate::replica::follow::store_task::StoreTaskError;
use crate::replica::follow::unstored_changes::{StorePosition, UnstoredChanges};
use crate::replica::generation::candidate::AdoptError;
use crate::store::generations::generation::Generation;
use crate::store::generations::generations_folder::GenerationsFolder;

/// How long an attempt that failed waits before the next.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A generation that serves and is not yet the one that the next start opens.
pub struct PendingInstallation {
    /// How far it is.
    pub installation: Installation,
    /// What was recorded before it took over: it has that.
    pub superseded: StorePosition,
    /// The generation that served before.
    pub replaced: Option<Generation>,
    /// Takes the outcome; `None` once it was given up.
    pub result_sender: Option<oneshot::Sender<Result<Option<Generation>, AdoptError>>>,
}

/// The installation of one generation.
pub struct Installation {
    work: InstallWork,
    phase: InstallPhase,
}

#[derive(Clone)]
struct InstallWork {
    generations: Arc<GenerationsFolder>,
    unstored: Arc<UnstoredChanges>,
    generation: Generation,
    folder: PathBuf,
}

enum InstallPhase {
    Running(JoinHandle<Result<StorePosition, StoreTaskError>>),
    Waiting(Pin<Box<Sleep>>),
    /// Its database cannot be written any more: it serves until another takes over, and is never installed.
    GivenUp,
}

impl Installation {
    /// Begins to install `generation`, which is in `folder`.
    pub fn start(generations: Arc<GenerationsFolder>, unstored: Arc<UnstoredChanges>, generation: Generation, folder: PathBuf) -> Self {
        let work = InstallWork { generations, unstored, generation, folder };
        Self { phase: work.clone().start(), work }
    }

    /// Waits until it is installed, or an attempt has failed. Another follows, unless the database itself failed. Returns what was applied before it was flushed. May be
    /// dropped and called again at any time, until it has returned a success.
    pub async fn next_outcome(&mut self) -> Result<StorePosition, StoreTaskError> {
        loop {
            match &mut self.phase {
                InstallPhase::Waiting(delay) => {
                    delay.as_mut().await;
                    self.phase = self.work.clone().start();
                }
                InstallPhase::Running(attempt) => {
                    let outcome = attempt.await.unwrap_or_else(|_ended| Err(ThreadFailed.into()));
                    self.phase = match &outcome {
                        Err(StoreTaskError::Store(_)) => InstallPhase::GivenUp,
                        _ => InstallPhase::Waiting(Box::pin(sleep(RETRY_DELAY))),
                    };
                    return outcome;
                }
                InstallPhase::GivenUp => return std::future::pending().await,
            }
        }
    }
}

impl InstallWork {
    fn start(self) -> InstallPhase {
        InstallPhase::Running(tokio::spawn(run_blocking(move || {
            let applied = self.unstored.position();
            self.generation.flush()?;
            self.generations.install(&self.folder)?;
            Ok(applied)
        })))
    }
}

/// Waits until a pending installation has succeeded, or an attempt at it has failed; for ever if there is none.
pub async fn wait_installed(pending: &mut Option<PendingInstallation>) -> Result<StorePosition, StoreTaskError> {
    match pending {
        Some(pending) => pending.installation.next_outcome().await,
        None => std::future::pending().await,
    }
}
