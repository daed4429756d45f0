//! Finds out whether every thread that answers still does: each makes a look-up of the daemon's own, and says when it has ended.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

/// One round: each thread sends once when its look-up has ended.
#[derive(Clone, Debug)]
pub struct ProbeRound(pub(super) mpsc::UnboundedSender<()>);

/// Asks the threads of one server. `Clone` asks the same.
#[derive(Clone, Debug)]
pub struct Prober {
    rounds: Arc<watch::Sender<Option<ProbeRound>>>,
    threads: usize,
}

impl Prober {
    /// Returns the prober of so many threads, each of which watches what is returned beside it.
    #[must_use]
    pub fn new(threads: usize) -> (Self, watch::Receiver<Option<ProbeRound>>) {
        let (rounds, received) = watch::channel(None);
        (Self { rounds: Arc::new(rounds), threads }, received)
    }

    /// Waits until each thread has made a look-up. Waits for ever while one does not answer.
    pub async fn all_answer(&self) {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.rounds.send_replace(Some(ProbeRound(sender)));
        for _ in 0..self.threads {
            // The round holds a sender for as long as it is the last one.
            if answers.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use tokio::sync::watch;

    use super::{ProbeRound, Prober};

    #[tokio::test]
    async fn a_round_ends_when_each_thread_has_answered_and_not_before() {
        let (prober, mut first) = Prober::new(2);
        let mut second = first.clone();
        let mut round = Box::pin(prober.all_answer());
        assert!(round.as_mut().now_or_never().is_none());
        let answer = |rounds: &mut watch::Receiver<Option<ProbeRound>>| {
            let round = rounds.borrow_and_update().clone();
            round.unwrap().0.send(()).unwrap();
        };
        answer(&mut first);
        assert!(round.as_mut().now_or_never().is_none(), "one thread hangs");
        answer(&mut second);
        assert!(round.as_mut().now_or_never().is_some());
        let mut next = Box::pin(prober.all_answer());
        assert!(next.as_mut().now_or_never().is_none(), "each round is answered anew");
    }
}
