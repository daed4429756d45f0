//! The answers to gitlab-shell that are being decided or sent. One that was decided before a revocation may still be a yes: whoever waits
//! for a revocation waits until each of them has been handed to its connection, or has come to nothing.
//!
//! An answer holds the period that it began in. A revocation ends the period, once its commit can be read, and waits until nobody holds it
//! or an earlier one.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

/// Held by an answer until it is sent.
#[derive(Clone)]
pub struct AnswerPeriod(#[expect(dead_code, reason = "held only to be dropped")] Arc<watch::Sender<()>>);

/// Knows which answers are under way.
pub struct AnswersUnderWay {
    current: ArcSwap<watch::Sender<()>>,
    /// The periods that were ended and may still be held.
    earlier: Mutex<Vec<watch::Receiver<()>>>,
}

impl Default for AnswersUnderWay {
    fn default() -> Self {
        Self { current: ArcSwap::from_pointee(watch::Sender::new(())), earlier: Mutex::default() }
    }
}

impl AnswersUnderWay {
    /// Notes that an answer is about to be decided. To be called before anything is read for it.
    #[must_use]
    pub fn begin(&self) -> AnswerPeriod {
        AnswerPeriod(self.current.load_full())
    }

    /// Ends the period: what is decided from now on reads what can be read now. The future ends once every answer has been sent that was
    /// begun before.
    pub fn end_period(&self) -> impl Future<Output = ()> + Send + use<> {
        let ended = self.current.swap(Arc::new(watch::Sender::new(())));
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.retain(is_held);
        earlier.push(ended.subscribe());
        let periods = earlier.clone();
        drop(ended);
        async move {
            for mut period in periods {
                // Nothing is ever sent: it fails once nobody holds the period.
                while period.changed().await.is_ok() {}
            }
        }
    }

    /// Returns whether an answer that was begun in an earlier period has not been sent.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_held)
    }
}

fn is_held(period: &watch::Receiver<()>) -> bool {
    period.has_changed().is_ok()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::AnswersUnderWay;

    fn is_over(waiting: &mut Pin<Box<impl Future<Output = ()>>>) -> bool {
        waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn what_was_begun_before_is_waited_for_and_what_is_begun_after_is_not() {
        let answers = AnswersUnderWay::default();
        let first = answers.begin();
        let mut after_first = Box::pin(answers.end_period());
        let second = answers.begin();
        let mut after_second = Box::pin(answers.end_period());
        let _third = answers.begin();
        assert!(!is_over(&mut after_first) && !is_over(&mut after_second));
        drop(second);
        assert!(!is_over(&mut after_second) && answers.has_unsent(), "the first goes on");
        drop(first);
        assert!(!answers.has_unsent());
        assert!(is_over(&mut after_first) && is_over(&mut after_second));
    }

    #[test]
    fn without_an_answer_under_way_nobody_waits() {
        let answers = AnswersUnderWay::default();
        assert!(is_over(&mut Box::pin(answers.end_period())));
    }
}
