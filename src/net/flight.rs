//! Single-flight: one question of many askers is asked once; the leader's hang-up cancels nothing for the others.

use std::hash::Hash;

/// Questions under way.
pub struct Flights<K, V> {
    _inner: std::marker::PhantomData<(K, V)>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// None under way.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// The answer to `key`: asked by `ask` in a task of its own, or the one that is under way. A panic of `ask` gives `None`.
    pub async fn join<F>(&self, _key: K, _ask: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        todo!()
    }
}
