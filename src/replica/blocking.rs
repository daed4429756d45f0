//! Work that blocks, kept off the thread that follows: short work on the runtime's pool, long work on a thread of low priority.

use tokio::sync::oneshot;

/// By how much a low-priority thread yields to others (`nice`): a thread that answers gets some three times its share of a processor.
const NICE_INCREMENT: i32 = 5;

/// Why blocking work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread of sidegate could not be started, or panicked")]
pub struct ThreadFailed;

/// Runs `work` on the pool of the runtime.
pub async fn run_blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<ThreadFailed> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_ended| ThreadFailed)?
}

/// Starts `work` at once on a thread of its own, so that whoever answers meanwhile goes first; the future only waits for its result.
/// A thread whose priority cannot be lowered does the work all the same.
pub fn spawn_low_priority<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, ThreadFailed>> {
    let (result_sender, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = rustix::process::nice(NICE_INCREMENT) {
            tracing::debug!("failed to lower the priority of a thread: {error}");
        }
        drop(result_sender.send(work()));
    });
    async move {
        thread.map_err(|_error| ThreadFailed)?;
        result.await.map_err(|_dropped| ThreadFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::{NICE_INCREMENT, ThreadFailed, run_blocking, spawn_low_priority};

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
        assert_eq!(run_blocking(|| -> Result<u8, ThreadFailed> { std::panic::resume_unwind(Box::new(())) }).await, Err(ThreadFailed));
    }
}
