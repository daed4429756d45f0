//! Work that blocks, kept off the threads that answer.

use crate::authority::refusal::Refusal;

/// Runs `work` on a thread for work that blocks. A panic in it is a fault of ours, and only of this request.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Refusal>
where
    T: Send + 'static,
    E: Send + 'static,
    Refusal: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Refusal::from),
        Err(ended) => Err(Refusal::fault(ended)),
    }
}
