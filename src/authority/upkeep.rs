//! What goes on beside requests: one thread that encodes each commit once for all followers, and one that writes now and
//! then what may be lost. Both end when the primary does.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::authority::following::hosts::Hosts;
use crate::authority::following::lines::Lines;
use crate::authority::messages;
use crate::authority::usage::Usage;
use crate::model::clock;
use crate::store::ledger::Ledger;
use crate::store::primary::PrimaryStore;

/// How often what may be lost is written.
pub const WRITTEN_EVERY: Duration = Duration::from_secs(5);

/// The two threads; dropping it ends them.
pub struct Upkeep {
    encoder: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    writer: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Upkeep {
    /// Starts both.
    pub fn start(store: &PrimaryStore, lines: &Arc<Lines>, hosts: &Arc<Hosts>, usage: &Arc<Usage>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (stop_encoder, stopped) = oneshot::channel();
        let encoding = encode(store.clone(), Arc::clone(lines), stopped);
        let encoder = std::thread::Builder::new().name("feed".to_owned()).spawn(move || runtime.block_on(encoding))?;
        let (stop_writer, stopped) = mpsc::channel();
        let (ledger, hosts, usage) = (store.ledger().clone(), Arc::clone(hosts), Arc::clone(usage));
        let writer = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || write(&ledger, &hosts, &usage, &stopped))?;
        Ok(Self { encoder: Some((stop_encoder, encoder)), writer: Some((stop_writer, writer)) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        let ended = [
            self.encoder.take().map(|(stop, thread)| {
                drop(stop);
                thread.join()
            }),
            self.writer.take().map(|(stop, thread)| {
                drop(stop);
                thread.join()
            }),
        ];
        if ended.into_iter().flatten().any(|outcome| outcome.is_err()) {
            tracing::error!("a thread of the primary had ended by a panic");
        }
    }
}

/// Encodes commits as they come. A journal that cannot be read is tried again: followers then read it themselves, or are cut off.
async fn encode(store: PrimaryStore, lines: Arc<Lines>, mut stopped: oneshot::Receiver<()>) {
    const AGAIN: Duration = Duration::from_secs(1);
    let mut heads = store.watch();
    loop {
        let caught_up = lines.catch_up(&store);
        if let Err(damage) = &caught_up {
            tracing::error!(%damage, "the journal cannot be read");
        }
        tokio::select! {
            _ = &mut stopped => return,
            changed = heads.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(AGAIN), if caught_up.is_err() => {}
        }
    }
}

/// Writes every [`WRITTEN_EVERY`], and once more at the end; and drops the sentences that nobody fetched.
fn write(ledger: &Ledger, hosts: &Hosts, usage: &Usage, stopped: &mpsc::Receiver<()>) {
    loop {
        let end = !matches!(stopped.recv_timeout(WRITTEN_EVERY), Err(RecvTimeoutError::Timeout));
        for outcome in [hosts.keep(ledger), usage.keep(ledger), messages::sweep(ledger, clock::wall())] {
            if let Err(damage) = outcome {
                tracing::warn!(%damage, "what was seen of hosts and uses, or what nobody waits for, could not be written");
            }
        }
        if end {
            return;
        }
    }
}
