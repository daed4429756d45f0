//! Work that takes long and may: on a thread of its own, of low priority, so that whoever answers meanwhile goes first.

use tokio::sync::oneshot;

/// How much is left to others (`nice`): a thread that answers gets some three times as much of a processor as one of these.
const NICE: i32 = 5;

/// There is no result: no thread could be made, or it ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its thread could not be made, or ended by a fault of this program")]
pub struct Unfinished;

/// Does the work aside; it begins at once, also if nobody waits. A thread whose priority cannot be lowered does it all the same.
pub fn aside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = Result<T, Unfinished>> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(%error, "the priority of a thread stays as it is");
        }
        drop(done.send(work()));
    });
    async move {
        thread.map_err(|_| Unfinished)?;
        result.await.map_err(|_| Unfinished)
    }
}

#[cfg(test)]
mod tests {
    use super::{NICE, Unfinished, aside};

    fn priority() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn it_is_done_at_low_priority_and_nobody_elses_is_lowered() {
        let own = priority();
        assert_eq!(aside("test", priority).await, Ok((own + NICE).min(19)));
        assert_eq!(priority(), own);
    }

    #[tokio::test]
    async fn work_that_ends_without_a_result_is_said_to_have() {
        assert_eq!(aside("test", || -> u8 { std::panic::resume_unwind(Box::new(())) }).await, Err(Unfinished));
    }
}
