//! Killed without warning in the middle of its work, a replica's cursor is never ahead of its data, and never behind its word.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::model::clock;
use crate::replica::trial::primary::Primary;
use crate::replica::trial::world::World;
use crate::replica::trial::{OPTIONS, PACE, gone, key, people_and_keys, put, start};
use crate::store::generations::{Generations, Opened};

const STORE: &str = "SIDEGATE_TRIAL_STORE";
const SOCKET: &str = "SIDEGATE_TRIAL_SOCKET";

/// Killed when it is dropped, so that nothing is left running.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _already_dead = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Not a test of its own: the process that is killed. Without its environment it does nothing.
#[test]
fn the_one_that_is_killed() {
    let (Some(store), Some(socket)) = (std::env::var_os(STORE), std::env::var_os(SOCKET)) else { return };
    let _replica = start(&PathBuf::from(store), &PathBuf::from(socket));
    loop {
        std::thread::park();
    }
}

#[test]
fn killed_at_any_moment_the_cursor_is_never_ahead_of_the_data() {
    let primary = Primary::start(World::of(people_and_keys(1..=300)));
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut heads = vec![primary.head()];
    let mut number = 300;
    for round in 0..8_u64 {
        let me = std::env::current_exe().unwrap();
        let mut command = Command::new(me);
        command.args(["--exact", "replica::trial::crash::the_one_that_is_killed", "--nocapture"]);
        command.env(STORE, &store).env(SOCKET, &primary.socket).stdout(Stdio::null()).stderr(Stdio::null());
        let victim = Victim(command.spawn().unwrap());
        let before = primary.world().acks.len();
        primary.until("it has come", |world| world.acks.len() > before);
        let bursts = 20 + round * 7;
        for burst in 0..bursts {
            let many = if burst % 3 == 0 { 120 } else { 3 };
            let mut changes = vec![gone(number - 200)];
            changes.extend((1..=many).map(|more| put(key(number + more, "burst"))));
            number += many;
            heads.push(primary.change(|world| world.commit(changes)));
        }
        let seen = primary.world().acks.len();
        primary.until("it is in the middle of it", |world| world.acks.len() > seen);
        drop(victim);
        let acknowledged = primary.world().acks.last().unwrap().1.seq;
        let generations = Generations::at(&store, OPTIONS).unwrap();
        let Opened::Ready(generation) = generations.open_current(PACE.open).unwrap() else {
            panic!("round {round}: the store did not open")
        };
        assert!(generation.whole().unwrap(), "round {round}");
        let cursor = generation.head().unwrap();
        assert!(heads.contains(&cursor), "round {round}: {cursor:?} is no state of the primary");
        assert!(cursor.seq >= acknowledged, "round {round}: {} was acknowledged and {} is on disk", acknowledged, cursor.seq);
        let age = crate::store::age::Kept::read(&store.join("age"));
        assert!(age.is_none_or(|kept| kept.wall <= clock::wall()));
    }
}
