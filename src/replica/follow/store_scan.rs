//! Reading the serving generation through: whether its records are what was stored decides whether a denial may be answered from it.

use tokio::task::JoinHandle;

use crate::model::change::Head;
use crate::replica::blocking::{ThreadFailed, run_blocking};
use crate::replica::follow::store_task::StoreTaskError;
use crate::replica::state::status::{VerifyReport, VerifyResult};
use crate::store::generations::generation::Generation;

/// What is known of the records of the serving generation.
pub enum StoreScan {
    /// They are being read.
    Running(JoinHandle<Result<bool, StoreTaskError>>),
    /// They are what was stored.
    Intact,
    /// There is nothing to read.
    Idle,
}

impl StoreScan {
    /// Starts reading the generation, beside the following.
    pub fn start(generation: &Generation) -> Self {
        let reader = generation.clone();
        Self::Running(tokio::spawn(run_blocking(move || Ok(reader.is_intact()?))))
    }

    /// Waits for a scan that runs to end; for ever if none does. Returns whether the records are what was stored.
    pub async fn wait_finished(&mut self) -> Result<bool, StoreTaskError> {
        match self {
            Self::Running(scan) => scan.await.unwrap_or_else(|_ended| Err(ThreadFailed.into())),
            Self::Intact | Self::Idle => std::future::pending().await,
        }
    }
}

/// Reads a generation through, which nobody may write meanwhile, and compares it with what it says of itself and with the
/// primary's line at its number, if that was heard.
pub async fn verify_generation(generation: Generation, primary: Option<Head>) -> Result<VerifyReport, StoreTaskError> {
    let stored = generation.state();
    let (is_intact, scanned) = run_blocking(move || {
        let is_intact = generation.is_intact()?;
        Ok::<_, StoreTaskError>((is_intact, if is_intact { generation.state() } else { generation.recompute_state()? }))
    })
    .await?;
    let finding = match primary {
        _ if !is_intact => VerifyResult::Damaged,
        None => VerifyResult::PrimaryNotHeard,
        Some(head) if head.state == scanned => VerifyResult::Equal,
        Some(_) => VerifyResult::Unlike,
    };
    Ok(VerifyReport { scanned, stored, primary, finding })
}
