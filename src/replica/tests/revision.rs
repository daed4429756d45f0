//! How far a replica has come, as those see it who wait for an answer of the primary: what takes access away counts before it is acknowledged.

use crate::model::change::Epoch;
use crate::model::freshness::{DirectoryReplica as _, DirectoryRevision};
use crate::replica::tests::test_replica::{TestReplica, delete_key, key_entry, put_entry, user_and_keys, user_entry};

fn revision(env: &TestReplica) -> DirectoryRevision {
    env.replica().read().revision
}

#[test]
fn what_takes_access_away_is_counted_before_it_is_acknowledged_and_what_gives_it_is_not() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    let first = revision(&env);
    let head = env.primary.head();
    assert_eq!((first.epoch, first.seq, first.epoch_changes), (Some(head.epoch), head.seq, 1));
    env.commit(vec![put_entry(key_entry(6, "desk"))]);
    env.wait_synced();
    assert_eq!(revision(&env), DirectoryRevision { seq: first.seq + 1, ..first });
    for (number, change) in (2..).zip([delete_key(1), put_entry(user_entry(r#","state":"blocked""#))]) {
        let before = revision(&env);
        env.commit(vec![put_entry(key_entry(6 + number, "desk")), change]);
        // Synced is acknowledged.
        env.wait_synced();
        let at = Some(env.primary.head().position());
        let expected = DirectoryRevision { seq: first.seq + number, reductions: before.reductions + 1, reduced_at: at, ..first };
        assert_eq!(revision(&env), expected);
    }
    let before = revision(&env);
    env.commit((20..=240).map(|number| put_entry(key_entry(number, "many"))).chain([delete_key(2)]).collect());
    env.wait_synced();
    let at = Some(env.primary.head().position());
    let expected = DirectoryRevision { seq: before.seq + 1, reductions: before.reductions + 1, reduced_at: at, ..before };
    assert_eq!(revision(&env), expected, "in several batches");
}

#[test]
fn another_generation_counts_also_of_the_same_epoch_and_another_epoch_by_itself() {
    let env = TestReplica::start_synced(user_and_keys(1..=5));
    let first = revision(&env);
    env.replica().resync();
    env.wait_until("the snapshot serves", |status| status.counted.resyncs == 2);
    env.wait_synced();
    assert_eq!(revision(&env), DirectoryRevision { reductions: first.reductions + 1, ..first });
    env.primary.update(|primary| primary.new_epoch(Epoch(2)));
    env.primary.disconnect_all();
    env.wait_until("another epoch serves", |status| status.counted.resyncs == 3);
    let third = revision(&env);
    assert_ne!(third.epoch, first.epoch);
    assert_eq!(third.epoch_changes, first.epoch_changes + 1);
    assert!(third.reductions > first.reductions + 1);
}
