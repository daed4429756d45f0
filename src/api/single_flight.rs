//! Single-flight: equal requests that are under way at the same time are made once. If the caller that made the request goes away,
//! the others still get its result.
//!
//! Whoever joins gets the result of a request that was made before it came. Where that is too early (a revocation in between), what
//! has changed has to be part of the key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The requests under way, by key.
pub struct SingleFlight<K, V> {
    in_flight: InFlightMap<K, V>,
}

type InFlightMap<K, V> = Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>;

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> SingleFlight<K, V> {
    /// Returns the result for `key`: of `work`, run in a task of its own, or of the one that is under way. Returns `None` if `work`
    /// panics, and if the runtime that its task is on ends. To be called on a tokio runtime.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        match self.run_unless(key, || None::<Infallible>, work).await {
            Ok(result) => result,
            Err(never) => match never {},
        }
    }

    /// As [`Self::run`], unless no request is under way and `ready` has something: then returns that as `Err`. Whoever looked for what `work`
    /// leaves behind, and found nothing, may come a moment after the request that left it has ended; `ready` looks again when none can end
    /// unseen. It must not block.
    pub async fn run_unless<F, T>(&self, key: K, ready: impl FnOnce() -> Option<T>, work: impl FnOnce() -> F) -> Result<Option<V>, T>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut result = match self.join(key, ready)? {
            Joined::Follower(result) => result,
            Joined::Leader(in_flight, result) => {
                let work = work();
                tokio::spawn(async move { in_flight.complete(work.await) });
                result
            }
        };
        Ok(result.wait_for(Option::is_some).await.ok().and_then(|result| result.clone()))
    }

    fn join<T>(&self, key: K, ready: impl FnOnce() -> Option<T>) -> Result<Joined<K, V>, T> {
        match lock(&self.in_flight).entry(key) {
            Entry::Occupied(entry) => Ok(Joined::Follower(entry.get().clone())),
            Entry::Vacant(entry) => {
                if let Some(ready) = ready() {
                    return Err(ready);
                }
                let (sender, result) = watch::channel(None);
                let in_flight = InFlight { key: entry.key().clone(), map: Arc::clone(&self.in_flight), sender };
                entry.insert(result.clone());
                Ok(Joined::Leader(in_flight, result))
            }
        }
    }
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self { in_flight: Arc::default() }
    }
}

enum Joined<K: Hash + Eq, V> {
    Follower(watch::Receiver<Option<V>>),
    Leader(InFlight<K, V>, watch::Receiver<Option<V>>),
}

/// One request under way. However it ends, its entry goes and nobody waits for it any longer.
struct InFlight<K: Hash + Eq, V> {
    key: K,
    map: InFlightMap<K, V>,
    sender: watch::Sender<Option<V>>,
}

impl<K: Hash + Eq, V> InFlight<K, V> {
    fn complete(self, result: V) {
        // The entry first: whoever comes now makes the request again, instead of taking a result that is already old.
        lock(&self.map).remove(&self.key);
        self.sender.send_replace(Some(result));
    }
}

impl<K: Hash + Eq, V> Drop for InFlight<K, V> {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.map);
        // Once this request is complete, the same key may already be under way again, for others.
        if in_flight.get(&self.key).is_some_and(|result| self.sender.subscribe().same_channel(result)) {
            in_flight.remove(&self.key);
        }
    }
}

fn lock<K, V>(in_flight: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn who_looked_before_a_request_ended_and_comes_after_it_gets_what_it_left_and_makes_no_other() {
        runtime().block_on(async {
            let requests = SingleFlight::default();
            let left = Arc::new(AtomicUsize::new(0));
            let found = |left: &AtomicUsize| Some(left.load(Ordering::SeqCst)).filter(|left| *left > 0);
            let first_look = found(&left);
            let leaving = Arc::clone(&left);
            let first = requests.run(7, || async move { leaving.store(5, Ordering::SeqCst) }).await;
            assert_eq!((first_look, first), (None, Some(())));
            let second = requests.run_unless(7, || found(&left), || async { panic!("made again") }).await;
            assert_eq!(second, Err(5));
            assert!(lock(&requests.in_flight).is_empty(), "and nobody waits for it");
        });
    }

    #[test]
    fn many_callers_of_one_request_make_it_once_and_all_get_its_result() {
        runtime().block_on(async {
            let requests = Arc::new(SingleFlight::default());
            let calls = Arc::new(AtomicUsize::new(0));
            let (answer, wait) = oneshot::channel::<u32>();
            let mut wait = Some(wait);
            let mut callers = Vec::new();
            for _ in 0..40 {
                let (requests, calls, wait) = (Arc::clone(&requests), Arc::clone(&calls), wait.take());
                callers.push(tokio::spawn(async move {
                    let work = || {
                        calls.fetch_add(1, Ordering::Relaxed);
                        async move { wait.unwrap().await.unwrap() }
                    };
                    requests.run("request", work).await
                }));
            }
            tokio::task::yield_now().await;
            answer.send(7).unwrap();
            for caller in callers {
                assert_eq!(caller.await.unwrap(), Some(7));
            }
            assert_eq!(calls.load(Ordering::Relaxed), 1);
            assert!(lock(&requests.in_flight).is_empty());
        });
    }

    #[test]
    fn different_requests_do_not_share_and_a_later_one_is_made_again() {
        runtime().block_on(async {
            let requests = SingleFlight::default();
            assert_eq!(requests.run(1, || async { "one" }).await, Some("one"));
            assert_eq!(requests.run(2, || async { "two" }).await, Some("two"));
            assert_eq!(requests.run(1, || async { "another" }).await, Some("another"));
        });
    }

    #[test]
    fn the_first_callers_cancellation_cancels_nothing() {
        runtime().block_on(async {
            let requests = Arc::new(SingleFlight::default());
            let (answer, wait) = oneshot::channel::<u32>();
            let leader = tokio::spawn({
                let requests = Arc::clone(&requests);
                async move { requests.run((), || async { wait.await.unwrap() }).await }
            });
            while lock(&requests.in_flight).is_empty() {
                tokio::task::yield_now().await;
            }
            leader.abort();
            assert!(leader.await.unwrap_err().is_cancelled());
            let follower = requests.run((), || async { unreachable!("made twice") });
            answer.send(7).unwrap();
            assert_eq!(follower.await, Some(7));
        });
    }

    #[test]
    fn a_panic_is_no_result_and_leaves_nothing_behind() {
        runtime().block_on(async {
            let requests = SingleFlight::default();
            assert_eq!(requests.run((), || async { panic!("while it is made") }).await, None::<u32>);
            assert!(lock(&requests.in_flight).is_empty());
            assert_eq!(requests.run((), || async { 7 }).await, Some(7));
        });
    }

    #[test]
    fn the_end_of_the_first_callers_runtime_is_no_result_for_others() {
        let requests = Arc::new(SingleFlight::<(), u32>::default());
        let first = runtime();
        let leader = Arc::clone(&requests);
        let leader = first.spawn(async move { leader.run((), std::future::pending).await });
        while lock(&requests.in_flight).is_empty() {
            first.block_on(tokio::task::yield_now());
        }
        drop(first);
        assert!(lock(&requests.in_flight).is_empty());
        assert!(runtime().block_on(leader).unwrap_err().is_cancelled());
    }
}
