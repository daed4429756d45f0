//! Single-flight: one question of many askers is asked once; the leader's hang-up cancels nothing for the others.
//!
//! Who joins gets an answer that was asked for before it came. Where that is too early (a revocation in between), what has changed
//! has to be part of the key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Questions under way.
pub struct SingleFlight<K, V> {
    in_flight: InFlightMap<K, V>,
}

type InFlightMap<K, V> = Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>;

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> SingleFlight<K, V> {
    /// None under way.
    #[must_use]
    pub fn new() -> Self {
        Self { in_flight: Arc::default() }
    }

    /// The answer to `key`: asked by `ask` in a task of its own, or the one that is under way. A panic of `ask` gives `None`, and so
    /// does the end of the runtime that the task is on. To be called on a tokio runtime.
    pub async fn run<F>(&self, key: K, ask: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut answer = match self.join(key) {
            Joined::Follower(answer) => answer,
            Joined::Leader(flight, answer) => {
                let asked = ask();
                tokio::spawn(async move { flight.complete(asked.await) });
                answer
            }
        };
        answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone())
    }

    fn join(&self, key: K) -> Joined<K, V> {
        match lock(&self.in_flight).entry(key) {
            Entry::Occupied(under) => Joined::Follower(under.get().clone()),
            Entry::Vacant(free) => {
                let (tell, answer) = watch::channel(None);
                let flight = InFlight { key: free.key().clone(), in_flight: Arc::clone(&self.in_flight), sender: tell };
                free.insert(answer.clone());
                Joined::Leader(flight, answer)
            }
        }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

enum Joined<K: Hash + Eq, V> {
    Follower(watch::Receiver<Option<V>>),
    Leader(InFlight<K, V>, watch::Receiver<Option<V>>),
}

/// One question under way. However it ends, its entry goes and nobody waits for it any longer.
struct InFlight<K: Hash + Eq, V> {
    key: K,
    in_flight: InFlightMap<K, V>,
    sender: watch::Sender<Option<V>>,
}

impl<K: Hash + Eq, V> InFlight<K, V> {
    fn complete(self, answer: V) {
        // The entry first: who comes now asks again instead of taking an answer that is already old.
        lock(&self.in_flight).remove(&self.key);
        self.sender.send_replace(Some(answer));
    }
}

impl<K: Hash + Eq, V> Drop for InFlight<K, V> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.in_flight);
        // After a landing the same key may already be under way again, for others.
        if under_way.get(&self.key).is_some_and(|answer| self.sender.subscribe().same_channel(answer)) {
            under_way.remove(&self.key);
        }
    }
}

fn lock<K, V>(under_way: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::oneshot;

    use super::{SingleFlight, lock};

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn many_askers_of_one_question_ask_once_and_all_hear_the_answer() {
        runtime().block_on(async {
            let flights = Arc::new(SingleFlight::new());
            let asked = Arc::new(AtomicUsize::new(0));
            let (answer, wait) = oneshot::channel::<u32>();
            let mut wait = Some(wait);
            let mut askers = Vec::new();
            for _ in 0..40 {
                let (flights, asked, wait) = (Arc::clone(&flights), Arc::clone(&asked), wait.take());
                askers.push(tokio::spawn(async move {
                    let ask = || {
                        asked.fetch_add(1, Ordering::Relaxed);
                        async move { wait.unwrap().await.unwrap() }
                    };
                    flights.run("question", ask).await
                }));
            }
            tokio::task::yield_now().await;
            answer.send(7).unwrap();
            for asker in askers {
                assert_eq!(asker.await.unwrap(), Some(7));
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            assert!(lock(&flights.in_flight).is_empty());
        });
    }

    #[test]
    fn different_questions_do_not_share_and_a_second_time_is_asked_again() {
        runtime().block_on(async {
            let flights = SingleFlight::new();
            assert_eq!(flights.run(1, || async { "one" }).await, Some("one"));
            assert_eq!(flights.run(2, || async { "two" }).await, Some("two"));
            assert_eq!(flights.run(1, || async { "another" }).await, Some("another"));
        });
    }

    #[test]
    fn the_leaders_hang_up_cancels_nothing() {
        runtime().block_on(async {
            let flights = Arc::new(SingleFlight::new());
            let (answer, wait) = oneshot::channel::<u32>();
            let leader = tokio::spawn({
                let flights = Arc::clone(&flights);
                async move { flights.run((), || async { wait.await.unwrap() }).await }
            });
            while lock(&flights.in_flight).is_empty() {
                tokio::task::yield_now().await;
            }
            leader.abort();
            assert!(leader.await.unwrap_err().is_cancelled());
            let follower = flights.run((), || async { unreachable!("asked twice") });
            answer.send(7).unwrap();
            assert_eq!(follower.await, Some(7));
        });
    }

    #[test]
    fn a_panic_is_no_answer_and_leaves_nothing_behind() {
        runtime().block_on(async {
            let flights = SingleFlight::new();
            assert_eq!(flights.run((), || async { panic!("while asking") }).await, None::<u32>);
            assert!(lock(&flights.in_flight).is_empty());
            assert_eq!(flights.run((), || async { 7 }).await, Some(7));
        });
    }

    #[test]
    fn the_end_of_the_leaders_runtime_is_no_answer_for_others() {
        let flights = Arc::new(SingleFlight::<(), u32>::new());
        let first = runtime();
        let leader = Arc::clone(&flights);
        let leader = first.spawn(async move { leader.run((), std::future::pending).await });
        while lock(&flights.in_flight).is_empty() {
            first.block_on(tokio::task::yield_now());
        }
        drop(first);
        assert!(lock(&flights.in_flight).is_empty());
        assert!(runtime().block_on(leader).unwrap_err().is_cancelled());
    }
}
