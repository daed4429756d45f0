//! Whatever the primary commits and however often the connection breaks, the replica ends equal, and on the way never shows a
//! state that the primary never had as one that a no may be said from.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::model::change::{Change, Head};
use crate::model::freshness::Following as _;
use crate::replica::service::Replica;
use crate::replica::trial::{House, gone, key, people_and_keys, put};

#[derive(Clone, Debug)]
enum Step {
    Commit { delete: Vec<u64>, put: Vec<u64> },
    Kick,
    CutAfter(Option<usize>),
    Twice(bool),
    ForgetJournal,
    Resync,
    Restart,
    Lie,
    Await,
}

fn step() -> impl Strategy<Value = Step> {
    let some = |most| prop::collection::vec(1_u64..200, 0..most);
    prop_oneof![
        12 => (some(40), some(120)).prop_map(|(delete, put)| Step::Commit { delete, put }),
        3 => Just(Step::Kick),
        2 => prop::option::of(0_usize..5).prop_map(Step::CutAfter),
        1 => any::<bool>().prop_map(Step::Twice),
        1 => Just(Step::ForgetJournal),
        1 => Just(Step::Resync),
        1 => Just(Step::Restart),
        1 => Just(Step::Lie),
        2 => Just(Step::Await),
    ]
}

fn changes(delete: &[u64], add: &[u64], title: usize) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut once = |number: &&u64| seen.insert(**number);
    let puts: Vec<_> = add.iter().filter(&mut once).map(|number| put(key(*number, &title.to_string()))).collect();
    let mut all: Vec<_> = delete.iter().filter(&mut once).map(|number| gone(*number)).collect();
    all.extend(puts);
    all
}

/// Reads beside, as answering threads do.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watcher {
    fn start(replica: Arc<Replica>, known: Arc<Mutex<Vec<Head>>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(head) = replica.head() {
                    assert!(known.lock().unwrap().contains(&head), "a cursor that the primary never was at: {head:?}");
                }
                let (Some(before), Some(state), Some(after)) = (replica.view(), replica.state(), replica.view()) else { continue };
                if before.whole && Arc::ptr_eq(&before.directory, &after.directory) {
                    assert!(
                        known.lock().unwrap().iter().any(|head| head.state == state),
                        "a no could be said from a state that the primary never had"
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
    fn the_end_is_equal_and_nothing_between_is_shown_as_whole(steps in prop::collection::vec(step(), 5..40)) {
        let mut house = House::with(people_and_keys(1..=100));
        house.primary.change(|world| world.accept_loss = true);
        let known = Arc::new(Mutex::new(Vec::new()));
        let note = |head: Head| known.lock().unwrap().push(head);
        note(house.primary.head());
        let mut watcher = Some(Watcher::start(Arc::clone(house.replica()), Arc::clone(&known)));
        for (title, step) in steps.into_iter().enumerate() {
            match step {
                Step::Commit { delete, put } => {
                    let changes = changes(&delete, &put, title);
                    // Known before it can be followed.
                    house.primary.change(|world| note(world.commit(changes)));
                }
                Step::Kick => house.primary.kick(),
                Step::CutAfter(most) => house.primary.change(|world| world.mischief.cut_after = most),
                Step::Twice(twice) => house.primary.change(|world| world.mischief.twice = twice),
                Step::ForgetJournal => house.primary.change(crate::replica::trial::world::World::forget_journal),
                Step::Resync => house.replica().resync(),
                Step::Lie => house.primary.change(|world| world.mischief.lie_at = Some(world.head().seq + 1)),
                Step::Restart => {
                    watcher.take().unwrap().stop();
                    house.stop();
                    house.start();
                    watcher = Some(Watcher::start(Arc::clone(house.replica()), Arc::clone(&known)));
                }
                Step::Await => {
                    house.primary.change(|world| world.mischief = Default::default());
                    house.synced();
                }
            }
        }
        house.primary.change(|world| {
            world.mischief = Default::default();
            world.kicks += 1;
        });
        let head = house.synced();
        watcher.take().unwrap().stop();
        let records: Vec<_> = house.primary.world().records.values().map(|entry| entry.text().to_owned()).collect();
        house.stop();
        let generation = house.offline_store();
        prop_assert_eq!(generation.head(), Some(head));
        let held: Vec<_> = generation.entries().map(|entry| entry.unwrap().text().to_owned()).collect();
        prop_assert_eq!(held, records);
    }
}
