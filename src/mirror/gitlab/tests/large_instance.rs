//! All of a large GitLab, asked page by page on simulated time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::instance::generated;
use super::instance::rest::ApiVersion;
use crate::mirror::gitlab::answer::Answer;
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::page::PageCursor;
use crate::mirror::gitlab::tests::simulated_gitlab::Simulation;
use crate::mirror::gitlab::turns::Priority;
use crate::model::id::Id;
use crate::wire::gitlab::key::FoundKey;

const PER_SECOND: u32 = 50;

/// Asks for every page of users; the ids are returned in the order in which they came.
async fn all_users(client: &GitlabClient, first: PageCursor) -> Vec<Id> {
    let (mut users, mut next) = (Vec::new(), Some(first));
    while let Some(page) = next {
        let Answer::Found(found) = client.users(Priority::Walk, &page).await.answer else { panic!("no page") };
        users.extend(found.items.into_iter().map(|user| user.unwrap().id));
        next = found.next;
    }
    users
}

async fn keys_of(client: &GitlabClient, user: Id) -> Vec<u64> {
    let Answer::Found(keys) = client.user_keys(Priority::Walk, user).await.answer else { panic!("no keys") };
    let login = |found: FoundKey| match found {
        FoundKey::Login(key) => key.id.number(),
        other => panic!("{other:?}"),
    };
    keys.into_iter().map(login).collect()
}

/// How many users there are: 100,000 if the environment asks for the volumes of a release.
fn user_count() -> u64 {
    if std::env::var("SIDEGATE_TEST_SCALE").is_ok_and(|scale| scale == "full") { 100_000 } else { 5_000 }
}

#[tokio::test]
async fn all_of_a_large_instance_is_read_at_the_configured_rate_without_a_burst() {
    let (user_count, key_count) = (user_count(), user_count() * 3 / 2);
    let instance = generated::instance(7, user_count, key_count);
    let simulation = Simulation::new(instance, ApiVersion::V17, PER_SECOND, Duration::from_millis(5));
    let client = &simulation.client;
    let (users, keys) = simulation
        .clock
        .run(async {
            let users = all_users(client, PageCursor::users_by_id()).await;
            let mut keys = BTreeSet::new();
            for user in &users {
                keys.extend(keys_of(client, *user).await);
            }
            (users, keys)
        })
        .await;
    assert_eq!(users.iter().map(|id| id.number()).collect::<Vec<_>>(), (1..=user_count).collect::<Vec<_>>());
    assert_eq!(keys.len() as u64, key_count);
    let requests = simulation.gitlab.requests();
    let more_pages = requests.len() as u64 - user_count / 100 - user_count;
    assert!((1..user_count / 100).contains(&more_pages), "users with more than a page of keys take {more_pages} requests more");
    let interval = Duration::from_secs(1) / PER_SECOND;
    assert!(requests.windows(2).all(|pair| pair[1].since(pair[0]) == interval), "no burst, and no turn lost");
}

#[tokio::test]
async fn every_version_gives_every_user_in_both_orders() {
    for version in [ApiVersion::V15, ApiVersion::V17] {
        let mut instance = generated::instance(7, 300, 0);
        instance.sign_in(5);
        let simulation = Simulation::new(instance, version, PER_SECOND, Duration::ZERO);
        let (by_id, by_update) = simulation
            .clock
            .run(async {
                let by_id = all_users(&simulation.client, PageCursor::users_by_id()).await;
                (by_id, all_users(&simulation.client, PageCursor::users_by_update()).await)
            })
            .await;
        assert!(by_id.is_sorted() && by_id.len() == 300, "{version:?}");
        assert_eq!((by_update[0].number(), by_update.len()), (5, 300), "{version:?}");
        assert_eq!(simulation.gitlab.requests().len(), 6, "{version:?}");
    }
}

#[tokio::test]
async fn a_user_deleted_between_two_pages_hides_another_only_where_pages_are_numbered() {
    for (version, hidden) in [(ApiVersion::V17, None), (ApiVersion::V15, Some(101))] {
        let simulation = Simulation::new(generated::instance(7, 250, 0), version, PER_SECOND, Duration::ZERO);
        let client = &simulation.client;
        let rest = simulation
            .clock
            .run(async {
                let Answer::Found(first) = client.users(Priority::Walk, &PageCursor::users_by_id()).await.answer else { panic!("no page") };
                simulation.gitlab.instance.lock().unwrap().delete_user(50);
                all_users(client, first.next.unwrap()).await
            })
            .await;
        let rest: BTreeSet<u64> = rest.into_iter().map(Id::number).collect();
        assert_eq!((101..=250).find(|id| !rest.contains(id)), hidden, "{version:?}");
    }
}
