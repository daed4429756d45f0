//! Killed without warning in the middle of its work, a replica's cursor is never ahead of its data, and never behind what it acknowledged.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::model::clock;
use crate::replica::tests::fake_primary::FakePrimary;
use crate::replica::tests::fake_primary_state::FakePrimaryState;
use crate::replica::tests::test_replica::{STORE_OPTIONS, TIMING, delete_key, key_entry, put_entry, start_replica, user_and_keys};
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};

const STORE_ENV: &str = "SIDEGATE_CRASH_TEST_STORE";
const SOCKET_ENV: &str = "SIDEGATE_CRASH_TEST_SOCKET";

/// Killed when it is dropped, so that nothing is left running.
struct ChildProcess(Child);

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _already_dead = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Not a test of its own: the process that is killed. Without its environment it does nothing.
#[test]
fn crash_test_child() {
    let (Some(store), Some(socket)) = (std::env::var_os(STORE_ENV), std::env::var_os(SOCKET_ENV)) else { return };
    let _replica = start_replica(&PathBuf::from(store), &PathBuf::from(socket));
    loop {
        std::thread::park();
    }
}

#[test]
fn killed_at_any_moment_the_cursor_is_never_ahead_of_the_data() {
    let primary = FakePrimary::start(FakePrimaryState::with_entries(user_and_keys(1..=300)));
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut heads = vec![primary.head()];
    let mut number = 300;
    for round in 0..8_u64 {
        let test_binary = std::env::current_exe().unwrap();
        let mut command = Command::new(test_binary);
        command.args(["--exact", "replica::tests::crash::crash_test_child", "--nocapture"]);
        command.env(STORE_ENV, &store).env(SOCKET_ENV, &primary.socket).stdout(Stdio::null()).stderr(Stdio::null());
        let child = ChildProcess(command.spawn().unwrap());
        let before = primary.state().acks.len();
        primary.wait_until("the child has acknowledged", |primary| primary.acks.len() > before);
        let bursts = 20 + round * 7;
        for burst in 0..bursts {
            let many = if burst % 3 == 0 { 120 } else { 3 };
            let mut changes = vec![delete_key(number - 200)];
            changes.extend((1..=many).map(|more| put_entry(key_entry(number + more, "burst"))));
            number += many;
            heads.push(primary.update(|primary| primary.commit(changes)));
        }
        let seen = primary.state().acks.len();
        primary.wait_until("the child is in the middle of its work", |primary| primary.acks.len() > seen);
        drop(child);
        let acknowledged = primary.state().acks.last().unwrap().1.seq;
        let generations = GenerationsFolder::open(&store, STORE_OPTIONS).unwrap();
        let OpenedGeneration::Ready(generation) = generations.open_current(TIMING.open_timeout).unwrap() else {
            panic!("round {round}: the store did not open")
        };
        assert!(generation.is_intact().unwrap(), "round {round}");
        let cursor = generation.head().unwrap();
        assert!(heads.contains(&cursor), "round {round}: {cursor:?} is no state of the primary");
        assert!(cursor.seq >= acknowledged, "round {round}: {} was acknowledged and {} is on disk", acknowledged, cursor.seq);
        let age = crate::store::files::age_file::SavedAge::load(&store.join("age"));
        assert!(age.is_none_or(|kept| kept.wall_time <= clock::wall_time()));
    }
}
