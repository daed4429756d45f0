//! Figures of the store for whoever watches the primary. Reading them waits for a write under way, and with it for a disk that hangs: so
//! they are waited for only so long, and equal reads are made once, so that a disk that hangs holds one thread and not one for each question.

use std::time::Duration;

use serde_json::Value;

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::api::single_flight::SingleFlight;
use crate::store::error::StoreError;

/// How long an answer waits for figures; without them it is given all the same.
const FIGURES_WAIT: Duration = Duration::from_secs(1);

/// Reads figures of one store.
#[derive(Default)]
pub struct StoreFigures {
    reads: SingleFlight<&'static str, Result<Value, ApiError>>,
}

impl StoreFigures {
    /// Returns the figures of this name, or `None` if the store does not give them within `FIGURES_WAIT`. To be called on a tokio runtime.
    pub async fn read(
        &self,
        name: &'static str,
        read: impl FnOnce() -> Result<Value, StoreError> + Send + 'static,
    ) -> Result<Option<Value>, ApiError> {
        self.read_within(FIGURES_WAIT, name, read).await
    }

    async fn read_within(
        &self,
        limit: Duration,
        name: &'static str,
        read: impl FnOnce() -> Result<Value, StoreError> + Send + 'static,
    ) -> Result<Option<Value>, ApiError> {
        match tokio::time::timeout(limit, self.reads.run(name, || run_blocking(read))).await {
            Ok(Some(figures)) => figures.map(Some),
            Ok(None) => Err(ApiError::internal(format_args!("reading the figures of {name} ended without a result"))),
            Err(_too_long) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use serde_json::json;

    use super::StoreFigures;
    use crate::store::error::StoreError;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn figures_that_the_store_does_not_give_are_left_out_and_hold_one_thread() {
        let figures = StoreFigures::default();
        let (go_on, wait) = mpsc::channel::<()>();
        let hanging = move || {
            let _sender_gone = wait.recv();
            Ok(json!(7))
        };
        assert_eq!(figures.read_within(Duration::ZERO, "status", hanging).await, Ok(None));
        let never = || -> Result<_, StoreError> { unreachable!("read twice at once") };
        assert_eq!(figures.read_within(Duration::ZERO, "status", never).await, Ok(None));
        assert_eq!(figures.read_within(LONG, "metrics", || Ok(json!(1))).await, Ok(Some(json!(1))), "others are read");
        let joined = figures.read_within(LONG, "status", || Ok(json!("again")));
        drop(go_on);
        assert!(matches!(joined.await, Ok(Some(value)) if value == json!(7) || value == json!("again")));
        assert!(figures.read_within(LONG, "status", || Err(StoreError("a bit is wrong".to_owned()))).await.is_err());
    }
}
