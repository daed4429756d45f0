//! Work that takes long and may: on a thread of its own, of low priority, so that whoever answers meanwhile goes first.

use tokio::sync::oneshot;

/// How much is left to others (`nice`): a thread that answers gets some three times as much of a processor as one of these.
const NICE_INCREMENT: i32 = 5;

/// There is no result: no thread could be made, or it ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its thread could not be made, or ended by a fault of this program")]
pub struct ThreadFailed;

/// Does the work aside; it begins at once, also if nobody waits. A thread whose priority cannot be lowered does it all the same.
pub fn spawn_low_priority<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, ThreadFailed>> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = rustix::process::nice(NICE_INCREMENT) {
            tracing::debug!(%error, "the priority of a thread stays as it is");
        }
        drop(done.send(work()));
    });
    async move {
        thread.map_err(|_| ThreadFailed)?;
        result.await.map_err(|_| ThreadFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::{NICE_INCREMENT, ThreadFailed, spawn_low_priority};

    fn current_nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn work_runs_at_low_priority_and_the_callers_is_unchanged() {
        let own = current_nice();
        assert_eq!(spawn_low_priority("test", current_nice).await, Ok((own + NICE_INCREMENT).min(19)));
        assert_eq!(current_nice(), own);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert_eq!(spawn_low_priority("test", || -> u8 { std::panic::resume_unwind(Box::new(())) }).await, Err(ThreadFailed));
    }
}
