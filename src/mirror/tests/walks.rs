//! Walks over a GitLab in memory, alone and while GitLab changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::simulated_mirror::SimulatedMirror;
use super::{NO_GUARD, user};
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::gitlab::clock::Clock as _;
use crate::mirror::gitlab::tests::instance::generated::{self, key_line};
use crate::mirror::gitlab::tests::instance::records::{Hook, Instance};
use crate::mirror::gitlab::tests::instance::rest::ApiVersion;
use crate::mirror::gitlab::tests::simulated_clock::START;
use crate::model::enums::UserState;
use crate::model::key::PublicKey;
use crate::model::loss_guard::LossGuard;
use crate::model::record::Record;
use crate::model::sort_key::SortKey;
use crate::model::time::BootTime;

/// How many users there are: 100,000 if the environment asks for the volumes of a release.
fn user_count() -> u64 {
    if std::env::var("SIDEGATE_TEST_SCALE").is_ok_and(|scale| scale == "full") { 100_000 } else { 2_000 }
}

#[expect(clippy::print_stdout, reason = "the figures are printed")]
#[tokio::test]
async fn a_large_instance_is_mirrored_from_empty_and_walked_again_without_a_change() {
    let (users, keys) = (user_count(), user_count() * 3 / 2);
    let mirror = SimulatedMirror::new(generated::instance(3, users, keys), ApiVersion::V17, 50, LossGuard::default());
    let clock = Arc::clone(&mirror.simulation.clock);
    let first = clock.run(async { mirror.full.run().await.unwrap() }).await;
    let (asked, took) = (mirror.simulation.gitlab.requests().len(), clock.boot_time().since(START));
    assert_eq!((first.users, first.keys, first.changes), (users, keys, users + keys + 1), "and GitLab's own settings");
    mirror.assert_equal();
    let head = mirror.store.head();
    let again = clock.run(async { mirror.full.run().await.unwrap() }).await;
    assert_eq!((again.changes, mirror.store.head()), (0, head));
    let fewest = usize::try_from(users + users / 100 + 1).unwrap();
    assert!((fewest..fewest + 200).contains(&asked), "{asked} requests for {users} users");
    println!("{users} users and {keys} keys: {asked} requests, {:.0} s at 50 a second (simulated)", took.as_secs_f64());
}

#[tokio::test]
async fn what_a_walk_does_not_find_goes_once_gitlab_denies_it_and_never_beyond_the_loss_guard() {
    let guard = LossGuard { share: 0.2, more_than: 5 };
    let mirror = SimulatedMirror::new(generated::instance(5, 250, 300), ApiVersion::V15, 1000, guard);
    let clock = Arc::clone(&mirror.simulation.clock);
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    let backup = mirror.simulation.gitlab.instance.lock().unwrap().clone();
    {
        let mut instance = mirror.simulation.gitlab.instance.lock().unwrap();
        for id in 40..50 {
            instance.delete_user(id);
            instance.delete_key(id);
        }
    }
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    mirror.assert_equal();
    assert!(mirror.alarms.list().is_empty());
    // A database from long ago has hardly anybody.
    *mirror.simulation.gitlab.instance.lock().unwrap() = generated::instance(5, 100, 50);
    let before = mirror.store.head();
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    assert_eq!(mirror.alarms.list().iter().map(|alarm| alarm.reason).collect::<Vec<_>>(), ["loss_guard"]);
    let removed = before.state.count.saturating_sub(mirror.store.head().state.count);
    assert_eq!(removed, 0, "nothing is removed");
    *mirror.simulation.gitlab.instance.lock().unwrap() = backup;
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    mirror.assert_equal();
    assert!(mirror.alarms.list().is_empty(), "GitLab is as it was");
}

#[tokio::test]
async fn a_walk_that_was_cut_off_goes_on_and_removes_nothing_before_its_end() {
    let mirror = SimulatedMirror::new(generated::instance(6, 450, 100), ApiVersion::V17, 100, NO_GUARD);
    let clock = Arc::clone(&mirror.simulation.clock);
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    mirror.simulation.gitlab.instance.lock().unwrap().delete_user(20);
    let asked = mirror.simulation.gitlab.requests().len();
    let until = BootTime(clock.boot_time().0 + Duration::from_secs(3));
    clock
        .run(async {
            tokio::select! { _ = mirror.full.run() => panic!("it ended"), () = clock.sleep_until(until) => {} }
        })
        .await;
    assert!(mirror.settler.directory.has_user(20_u64.try_into().unwrap()), "half a walk removes nothing");
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    mirror.assert_equal();
    let asked = mirror.simulation.gitlab.requests().len() - asked;
    assert!(asked < 450 + 5 + 110, "{asked}: what was walked is not walked again");
}

#[tokio::test]
async fn a_short_walk_finds_who_was_blocked_behind_any_number_of_sign_ins() {
    for version in [ApiVersion::V15, ApiVersion::V17] {
        let mirror = SimulatedMirror::new(generated::instance(7, 900, 0), version, 1000, NO_GUARD);
        let clock = Arc::clone(&mirror.simulation.clock);
        clock.run(async { mirror.recent.run().await.unwrap() }).await;
        clock.run(async { mirror.full.run().await.unwrap() }).await;
        {
            let mut instance = mirror.simulation.gitlab.instance.lock().unwrap();
            instance.set_state(300, "blocked");
            for id in (1..=900).filter(|id| id % 3 == 1 && *id != 300) {
                instance.sign_in(id);
            }
        }
        let asked = mirror.simulation.gitlab.requests().len();
        clock.run(async { mirror.recent.run().await.unwrap() }).await;
        let entry = mirror.store.directory().load_entry(&SortKey::user(300_u64.try_into().unwrap())).unwrap().unwrap();
        assert!(matches!(entry.record().unwrap().as_ref(), Record::User(user) if user.state == UserState::Blocked), "{version:?}");
        let asked = mirror.simulation.gitlab.requests().len() - asked;
        assert!(asked <= 5, "{asked} pages to behind 301 users");
        clock.run(async { mirror.recent.run().await.unwrap() }).await;
        mirror.assert_equal();
    }
}

#[tokio::test]
async fn a_short_walk_leaves_users_to_the_first_full_walk_that_is_under_way() {
    let mirror = SimulatedMirror::new(generated::instance(7, 400, 100), ApiVersion::V17, 100, NO_GUARD);
    let clock = Arc::clone(&mirror.simulation.clock);
    let first = Finding::User(Box::new(user(1, "root")));
    mirror.settler.directory.publish_now(Source::FullWalk, &[(first, None)]).unwrap();
    let asked = || mirror.simulation.gitlab.requests().len();
    let before = asked();
    clock.run(async { mirror.recent.run().await.unwrap() }).await;
    assert_eq!(asked() - before, 4, "the pages of the list, and nobody by themselves");
    clock.run(async { mirror.full.run().await.unwrap() }).await;
    mirror.simulation.gitlab.instance.lock().unwrap().add_user("somebody-new");
    let before = asked();
    clock.run(async { mirror.recent.run().await.unwrap() }).await;
    assert!((3..=6).contains(&(asked() - before)), "a page or more, the new user and the new user's keys");
    mirror.assert_equal();
}

/// One thing that happens at GitLab.
#[derive(Clone, Copy, Debug)]
struct Event {
    kind: u8,
    who: u64,
    line: u64,
    is_told: bool,
    after: u64,
}

fn event() -> impl Strategy<Value = Event> {
    (0_u8..8, 2_u64..40, 0_u64..30, prop::bool::weighted(0.9), 0_u64..400).prop_map(|(kind, who, line, is_told, after)| Event {
        kind,
        who,
        line,
        is_told,
        after,
    })
}

fn happen(instance: &mut Instance, event: Event) -> Vec<Hook> {
    let Event { kind, who, line, .. } = event;
    let line = key_line(1000 + line);
    let blob = line.split(' ').nth(1).unwrap().to_owned();
    let held = instance.key_by_blob(&blob).map(|key| key.id);
    let user = instance.user(who).map(|user| (user.id, user.state.clone()));
    match (kind, user, held) {
        (0 | 1, Some((user, _)), None) => vec![instance.add_key(user, &line).1],
        (2, Some((user, _)), None) => instance.add_deploy_key(user, &line, &[]).1.into_iter().collect(),
        (0..=3, _, Some(key)) => instance.delete_key(key).into_iter().collect(),
        (4, Some((user, state)), _) => {
            instance.set_state(user, if state == "active" { "blocked" } else { "active" });
            Vec::new()
        }
        (5, Some((user, _)), _) => vec![instance.rename_user(user, &format!("renamed-{user}-{}", event.after))],
        (6, Some((user, _)), _) => instance.delete_user(user),
        (7, _, _) => vec![instance.add_user(&format!("new-{}-{}", who, event.after + 1000 * event.line)).1],
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Users and keys come and go while walks are under way and hooks are settled, one in ten of them lost. A key of whose end a hook has told
    /// is never seen again, unless it is added again. At the end one more walk of each kind has to make the directory equal to GitLab.
    #[test]
    fn the_directory_equals_gitlab_after_any_events_in_any_order(events in proptest::collection::vec(event(), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mirror = SimulatedMirror::new(generated::instance(9, 40, 20), ApiVersion::V17, 200, NO_GUARD);
            let (clock, gitlab) = (Arc::clone(&mirror.simulation.clock), Arc::clone(&mirror.simulation.gitlab));
            // The lines of keys that were destroyed, of which a hook has told; and how often each was added.
            let destroyed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
            let added: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
            let assert_destroyed = || {
                for line in destroyed.lock().unwrap().iter() {
                    let fingerprint = line.parse::<PublicKey>().unwrap().fingerprint();
                    let held = mirror.settler.directory.key_by_fingerprint(&fingerprint).unwrap();
                    assert!(held.is_none(), "{line} is back");
                }
            };
            let happening = async {
                let mut hooks = tokio::task::JoinSet::new();
                for event in events {
                    let until = BootTime(clock.boot_time().0 + Duration::from_millis(event.after));
                    clock.sleep_until(until).await;
                    let sent = happen(&mut gitlab.instance.lock().unwrap(), event);
                    let line = key_line(1000 + event.line);
                    if gitlab.instance.lock().unwrap().key_by_blob(line.split(' ').nth(1).unwrap()).is_some() {
                        destroyed.lock().unwrap().remove(&line);
                        *added.lock().unwrap().entry(line).or_default() += 1;
                    }
                    for hook in sent.into_iter().filter(|_| event.is_told) {
                        let (settler, destroyed, added) = (Arc::clone(&mirror.settler), Arc::clone(&destroyed), Arc::clone(&added));
                        hooks.spawn(async move {
                            // Without the comment.
                            let line = hook["key"].as_str().unwrap_or_default().split(' ').take(2).collect::<Vec<_>>().join(" ");
                            let before = added.lock().unwrap().get(&line).copied();
                            SimulatedMirror::take_hook(settler, hook.to_string()).await;
                            let was_added_again = added.lock().unwrap().get(&line).copied() != before;
                            if hook["event_name"] == "key_destroy" && !was_added_again {
                                destroyed.lock().unwrap().insert(line);
                            }
                        });
                    }
                    assert_destroyed();
                }
                while let Some(settled) = hooks.join_next().await {
                    settled.unwrap();
                }
            };
            let walking = async {
                for _ in 0..8 {
                    mirror.recent.run().await.unwrap();
                    mirror.full.run().await.unwrap();
                    assert_destroyed();
                }
            };
            clock.run(async { tokio::join!(happening, walking) }).await;
            clock.run(async {
                mirror.recent.run().await.unwrap();
                mirror.full.run().await.unwrap();
                mirror.full.run().await.unwrap();
            }).await;
            mirror.assert_equal();
        });
    }
}
