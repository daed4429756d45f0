//! Which kinds of records a feed has: kept with what is served, over a restart too, and fetched anew where the feed says otherwise.

use crate::model::coverage::Coverage;
use crate::replica::tests::test_replica::{TestReplica, user_and_keys};

fn kinds(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn coverage(env: &TestReplica) -> Coverage {
    env.view().unwrap().coverage
}

fn mirror() -> TestReplica {
    let env = TestReplica::start_unsynced([]);
    env.primary.update(|primary| {
        primary.covers = Some(kinds(&["settings", "user", "key"]));
        for entry in user_and_keys(1..=20) {
            primary.records.insert(entry.sort_key().clone(), entry);
        }
    });
    env.replica().resync();
    env.wait_until("what the feed covers", |status| status.covers.is_some());
    env
}

#[test]
fn a_feed_that_says_nothing_covers_everything() {
    let env = TestReplica::start_synced(user_and_keys(1..=3));
    assert!(coverage(&env).is_whole() && env.replica().status().covers.is_none());
}

#[test]
fn what_a_head_covers_is_known_after_a_restart() {
    let mut env = mirror();
    assert_eq!(coverage(&env), Coverage::logins());
    assert!(!coverage(&env).is_whole() && coverage(&env).has_logins());
    env.wait_until("the store to be installed", |status| status.acknowledged.is_some());
    env.stop();
    env.start();
    env.wait_until("the store to be served", |status| status.cursor.is_some());
    assert_eq!(coverage(&env), Coverage::logins(), "before a word of the feed");
}

#[test]
fn a_feed_that_covers_other_kinds_than_before_is_fetched_anew() {
    let env = mirror();
    env.wait_until("the store to be installed", |status| status.acknowledged.is_some() && status.resyncing.is_none());
    let resyncs = env.replica().status().counted.resyncs;
    env.primary.update(|primary| {
        primary.covers = Some(kinds(&["settings", "user"]));
        primary.disconnects += 1;
    });
    let status = env.wait_until("another generation", |status| status.counted.resyncs > resyncs);
    assert_eq!(status.covers, Some(kinds(&["settings", "user"])));
    assert!(!coverage(&env).has_logins(), "whose a key is cannot be said without keys");
}
