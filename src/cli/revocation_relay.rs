//! Joins the replica, which starts first, with the sidecar, which keeps answers beside it: what the replica takes back waits until the
//! sidecar is there. That takes no longer than building it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::directory::Directory;
use crate::model::kept_answer::KeptSubject;
use crate::model::revocation_listener::{RevocationListener, TakenBack};

/// Passes on what a followed directory takes back.
#[derive(Default)]
pub struct RevocationRelay {
    listener: watch::Sender<Option<Arc<dyn RevocationListener>>>,
}

impl RevocationRelay {
    /// Passes everything on to `listener`, from the first of it on.
    pub fn connect(&self, listener: Arc<dyn RevocationListener>) {
        self.listener.send_replace(Some(listener));
    }

    async fn listener(&self) -> Option<Arc<dyn RevocationListener>> {
        let mut listener = self.listener.subscribe();
        // Its sender is ours, and lives as long.
        listener.wait_for(Option::is_some).await.ok().and_then(|listener| listener.clone())
    }
}

impl RevocationListener for RevocationRelay {
    fn revoke(&self, subjects: Vec<KeptSubject>) -> TakenBack<'_> {
        Box::pin(async move {
            if let Some(listener) = self.listener().await {
                listener.revoke(subjects).await;
            }
        })
    }

    fn replace(&self, directory: Arc<dyn Directory + Send + Sync>) -> TakenBack<'_> {
        Box::pin(async move {
            if let Some(listener) = self.listener().await {
                listener.replace(directory).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::RevocationRelay;
    use crate::model::directory::Directory;
    use crate::model::kept_answer::KeptSubject;
    use crate::model::revocation_listener::{RevocationListener, TakenBack};

    #[derive(Default)]
    struct Seen(Mutex<Vec<KeptSubject>>);

    impl RevocationListener for Seen {
        fn revoke(&self, subjects: Vec<KeptSubject>) -> TakenBack<'_> {
            self.0.lock().unwrap().extend(subjects);
            Box::pin(std::future::ready(()))
        }

        fn replace(&self, _directory: Arc<dyn Directory + Send + Sync>) -> TakenBack<'_> {
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn what_is_taken_back_before_the_sidecar_is_there_waits_for_it() {
        let (relay, seen) = (Arc::new(RevocationRelay::default()), Arc::new(Seen::default()));
        let key = KeptSubject::Key("7".parse().unwrap());
        let waiting = tokio::spawn({
            let (relay, key) = (Arc::clone(&relay), key.clone());
            async move { relay.revoke(vec![key]).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        relay.connect(Arc::clone(&seen) as Arc<dyn RevocationListener>);
        waiting.await.unwrap();
        assert_eq!(*seen.0.lock().unwrap(), [key]);
    }
}
