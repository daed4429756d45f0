//! Tells streams and waiting requests that the primary shuts down; they would otherwise last for as long as somebody reads them.

use tokio::sync::watch;

/// Asks all holders of its signals to end.
#[derive(Default)]
pub struct ShutdownSender(watch::Sender<bool>);

/// Becomes true once the primary shuts down.
#[derive(Clone)]
pub struct ShutdownSignal(watch::Receiver<bool>);

impl ShutdownSender {
    /// Asks for the end.
    pub fn shut_down(&self) {
        self.0.send_replace(true);
    }

    /// Returns a signal to wait for.
    #[must_use]
    pub fn signal(&self) -> ShutdownSignal {
        ShutdownSignal(self.0.subscribe())
    }
}

impl ShutdownSignal {
    /// Waits until the primary shuts down.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        let _dropped = receiver.wait_for(|shut_down| *shut_down).await;
    }
}
