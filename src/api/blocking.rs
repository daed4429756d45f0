//! Work that blocks, kept off the threads that answer.

use crate::api::error::ApiError;

/// Runs `work` on a thread for work that blocks. A panic in it is a fault of ours, and only of this request.
pub async fn run_blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Send + 'static,
    ApiError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(ended) => Err(ApiError::internal(ended)),
    }
}
