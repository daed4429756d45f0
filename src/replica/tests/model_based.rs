//! Whatever the primary commits and however often the connection breaks, the replica ends equal, and on the way never serves a
//! state that the primary never had as one that a denial may be answered from.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::model::change::{Change, Head};
use crate::replica::service::Replica;
use crate::replica::tests::test_replica::{TestReplica, delete_key, key_entry, put_entry, user_and_keys};
use crate::store::generations::generation::Generation;

#[derive(Clone, Debug)]
enum ReplicaStep {
    Commit { delete: Vec<u64>, put: Vec<u64> },
    Disconnect,
    CutAfter(Option<usize>),
    DuplicateLines(bool),
    ClearJournal,
    Resync,
    Restart,
    WrongDigest,
    WaitSynced,
}

fn any_step() -> impl Strategy<Value = ReplicaStep> {
    let some = |most| prop::collection::vec(1_u64..200, 0..most);
    prop_oneof![
        12 => (some(40), some(120)).prop_map(|(delete, put)| ReplicaStep::Commit { delete, put }),
        3 => Just(ReplicaStep::Disconnect),
        2 => prop::option::of(0_usize..5).prop_map(ReplicaStep::CutAfter),
        1 => any::<bool>().prop_map(ReplicaStep::DuplicateLines),
        1 => Just(ReplicaStep::ClearJournal),
        1 => Just(ReplicaStep::Resync),
        1 => Just(ReplicaStep::Restart),
        1 => Just(ReplicaStep::WrongDigest),
        2 => Just(ReplicaStep::WaitSynced),
    ]
}

fn build_changes(delete: &[u64], add: &[u64], title: usize) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut once = |number: &&u64| seen.insert(**number);
    let puts: Vec<_> = add.iter().filter(&mut once).map(|number| put_entry(key_entry(*number, &title.to_string()))).collect();
    let mut all: Vec<_> = delete.iter().filter(&mut once).map(|number| delete_key(*number)).collect();
    all.extend(puts);
    all
}

/// Reads meanwhile, as answering threads do.
struct ReaderThread {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl ReaderThread {
    fn start(replica: Arc<Replica>, known: Arc<Mutex<Vec<Head>>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let serving = replica.serving();
                if let Some(head) = serving.head {
                    assert!(known.lock().unwrap().contains(&head), "a cursor that the primary never was at: {head:?}");
                }
                // What the store holds at this moment, also between two batches of a commit.
                let Some(state) = serving.generation.as_ref().map(Generation::state) else { continue };
                let verified = serving.reading.view.as_ref().is_some_and(|view| view.verified);
                if verified && Arc::ptr_eq(&serving, &replica.serving()) {
                    assert!(
                        known.lock().unwrap().iter().any(|head| head.state == state),
                        "a denial could be answered from a state that the primary never had"
                    );
                }
                std::thread::yield_now();
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn the_replica_ends_equal_and_never_serves_another_state_as_verified(steps in prop::collection::vec(any_step(), 5..40)) {
        let mut env = TestReplica::start_synced(user_and_keys(1..=100));
        env.primary.update(|primary| primary.accept_loss = true);
        let known = Arc::new(Mutex::new(Vec::new()));
        let note = |head: Head| known.lock().unwrap().push(head);
        note(env.primary.head());
        let mut watcher = Some(ReaderThread::start(Arc::clone(env.replica()), Arc::clone(&known)));
        for (title, step) in steps.into_iter().enumerate() {
            match step {
                ReplicaStep::Commit { delete, put } => {
                    let changes = build_changes(&delete, &put, title);
                    // Known before it can be followed.
                    env.primary.update(|primary| note(primary.commit(changes)));
                }
                ReplicaStep::Disconnect => env.primary.disconnect_all(),
                ReplicaStep::CutAfter(most) => env.primary.update(|primary| primary.faults.cut_after_lines = most),
                ReplicaStep::DuplicateLines(twice) => env.primary.update(|primary| primary.faults.duplicate_lines = twice),
                ReplicaStep::ClearJournal => env.primary.update(crate::replica::tests::fake_primary_state::FakePrimaryState::clear_journal),
                ReplicaStep::Resync => env.replica().resync(),
                ReplicaStep::WrongDigest => env.primary.update(|primary| primary.faults.wrong_digest_at = Some(primary.head().seq + 1)),
                ReplicaStep::Restart => {
                    watcher.take().unwrap().stop();
                    env.stop();
                    env.start();
                    watcher = Some(ReaderThread::start(Arc::clone(env.replica()), Arc::clone(&known)));
                }
                ReplicaStep::WaitSynced => {
                    env.primary.update(|primary| primary.faults = Default::default());
                    env.wait_synced();
                }
            }
        }
        env.primary.update(|primary| {
            primary.faults = Default::default();
            primary.disconnects += 1;
        });
        let head = env.wait_synced();
        watcher.take().unwrap().stop();
        let records: Vec<_> = env.primary.state().records.values().map(|entry| entry.text().to_owned()).collect();
        env.stop();
        let generation = env.open_stopped_store();
        prop_assert_eq!(generation.head(), Some(head));
        let held: Vec<_> = generation.entries().map(|entry| entry.unwrap().text().to_owned()).collect();
        prop_assert_eq!(held, records);
    }
}
