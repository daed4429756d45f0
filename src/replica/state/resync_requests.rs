//! Requests for a new generation, with their reason: an operator's, or because the serving one cannot be followed any further.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The requests that are waiting: at most one of each origin, the newest.
#[derive(Default)]
pub struct ResyncRequests {
    wakeup: Notify,
    pending: Mutex<PendingRequests>,
}

#[derive(Default)]
struct PendingRequests {
    automatic: Option<String>,
    by_operator: Option<String>,
}

impl ResyncRequests {
    /// Requests a new generation. A resync that is waiting between two tries goes on waiting.
    pub fn request(&self, reason: &str) {
        self.pending().automatic = Some(reason.to_owned());
        self.wakeup.notify_one();
    }

    /// Requests one for an operator, which also ends a wait between two tries.
    pub fn request_by_operator(&self, reason: &str) {
        self.pending().by_operator = Some(reason.to_owned());
        self.wakeup.notify_one();
    }

    /// Drops what was requested before: a new generation serves.
    pub fn clear(&self) {
        *self.pending() = PendingRequests::default();
    }

    /// Waits for the next request and takes all that wait; returns the reason, an operator's first.
    pub async fn next_request(&self) -> String {
        loop {
            let requests = std::mem::take(&mut *self.pending());
            if let Some(reason) = requests.by_operator.or(requests.automatic) {
                return reason;
            }
            self.wakeup.notified().await;
        }
    }

    /// Waits for an operator's request and takes it.
    pub async fn operator_request(&self) {
        while self.pending().by_operator.take().is_none() {
            self.wakeup.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, PendingRequests> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::ResyncRequests;

    #[tokio::test(flavor = "current_thread")]
    async fn a_request_is_delivered_once_and_an_operators_first() {
        use std::future::Future as _;
        let requests = ResyncRequests::default();
        requests.request("a");
        requests.request("b");
        assert_eq!(requests.next_request().await, "b");
        requests.request("c");
        requests.request_by_operator("d");
        requests.operator_request().await;
        assert_eq!(requests.next_request().await, "c");
        requests.request("e");
        requests.clear();
        let mut next = std::pin::pin!(requests.next_request());
        std::future::poll_fn(|context| {
            assert!(next.as_mut().poll(context).is_pending(), "a request that was cleared is not delivered");
            std::task::Poll::Ready(())
        })
        .await;
    }
}
