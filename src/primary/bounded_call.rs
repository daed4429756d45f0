//! A call that may hang with the disk, on a thread of its own: whoever made it waits for as long as it chooses, and asks again later.

use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::time::BootTime;

/// How long dropping it waits for the call: what the call uses of the store is free then. A call that hangs is left behind.
const DROP_WAIT: Duration = Duration::from_secs(1);

/// One call, until it has been answered.
pub struct BoundedCall<T> {
    begun: BootTime,
    answer: Receiver<T>,
    thread: Option<JoinHandle<()>>,
}

/// What has become of a call.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum CallOutcome<T> {
    /// It returned this.
    Returned(T),
    /// It has not ended.
    Pending,
    /// It panicked.
    Panicked,
}

impl<T: Send + 'static> BoundedCall<T> {
    /// Begins a call at `now`. Fails if no thread can be started.
    pub fn begin(name: &str, now: BootTime, call: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Self> {
        let (sender, answer) = mpsc::sync_channel(1);
        let run = move || {
            // What the call owns is dropped before its answer is seen.
            let returned = call();
            let _nobody_waits = sender.send(returned);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { begun: now, answer, thread: Some(thread) })
    }
}

impl<T> BoundedCall<T> {
    /// Waits at most so long for the call to end.
    pub fn wait(&self, limit: Duration) -> CallOutcome<T> {
        match self.answer.recv_timeout(limit) {
            Ok(returned) => CallOutcome::Returned(returned),
            Err(mpsc::RecvTimeoutError::Timeout) => CallOutcome::Pending,
            Err(mpsc::RecvTimeoutError::Disconnected) => CallOutcome::Panicked,
        }
    }

    /// Returns when it was begun.
    #[must_use]
    pub const fn begun(&self) -> BootTime {
        self.begun
    }
}

impl<T> Drop for BoundedCall<T> {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let is_over = thread.is_finished() || !matches!(self.wait(DROP_WAIT), CallOutcome::Pending);
        if is_over && thread.join().is_err() {
            tracing::error!("a thread that looks at the store panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{BoundedCall, CallOutcome};
    use crate::model::time::BootTime;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_call_that_hangs_is_pending_until_it_returns_and_then_has_let_go_of_what_it_used() {
        let (go_on, wait) = mpsc::channel::<()>();
        let used = Arc::new(());
        let held = Arc::clone(&used);
        let call = BoundedCall::begin("test", BootTime::default(), move || {
            let _held = held;
            let _sender_gone = wait.recv();
            7
        });
        let call = call.unwrap();
        assert_eq!(call.wait(Duration::ZERO), CallOutcome::Pending);
        drop(go_on);
        assert_eq!((call.wait(LONG), Arc::strong_count(&used)), (CallOutcome::Returned(7), 1));
    }

    #[test]
    fn a_panic_is_told_from_a_call_that_hangs() {
        let call: BoundedCall<()> = BoundedCall::begin("test", BootTime::default(), || panic!("as the database may")).unwrap();
        assert_eq!(call.wait(LONG), CallOutcome::Panicked);
    }
}
