//! Runs work that blocks away from the threads that answer requests.

use crate::api::error::ApiError;

/// Runs `work` on a thread for blocking work. A panic in it is answered with 500, and affects this request only.
pub async fn run_blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Send + 'static,
    ApiError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(ApiError::from),
        Err(panicked) => Err(ApiError::internal(panicked)),
    }
}
