//! When questions are sent, on simulated time.

use std::sync::Arc;
use std::time::Duration;

use crate::mirror::gitlab::answer::Answer;
use crate::mirror::gitlab::clock::Clock as _;
use crate::mirror::gitlab::page::PageCursor;
use crate::mirror::gitlab::tests::scripted_gitlab::Scripted;
use crate::mirror::gitlab::turns::Priority;
use crate::model::id::Id;

const USER: &str = r#"{"id":7,"username":"u","name":"U","state":"active","is_admin":false}"#;

fn id() -> Id {
    Id::try_from(7).unwrap()
}

#[tokio::test]
async fn questions_of_all_kinds_are_an_interval_apart_and_a_hooks_goes_first() {
    let scripted = Arc::new(Scripted::new(10));
    for _ in 0..40 {
        scripted.answers(404, &[], r#"{"message":"404 Key Not Found"}"#);
    }
    let key = Arc::new("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti".parse().unwrap());
    let mut tasks = Vec::new();
    for number in 0..20 {
        let (scripted, key) = (Arc::clone(&scripted), Arc::clone(&key));
        tasks.push(tokio::spawn(async move {
            let priority = if number < 18 { Priority::Walk } else { Priority::Verification };
            if number % 2 == 0 {
                let _ = scripted.client.key_by_id(priority, id()).await;
            } else {
                let _ = scripted.client.authorized_keys(priority, &key).await;
            }
        }));
    }
    let hook = Arc::clone(&scripted);
    tasks.push(tokio::spawn(async move {
        hook.clock.sleep_until(crate::model::time::BootTime(hook.clock.boot_time().0 + Duration::from_millis(450))).await;
        let _ = hook.client.key_by_id(Priority::Hook, Id::try_from(99).unwrap()).await;
    }));
    scripted
        .clock
        .run(async {
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await;
    let asked = scripted.asked();
    assert_eq!(asked.iter().map(|(time, _)| *time).collect::<Vec<_>>(), (0..21).map(|number| number * 100).collect::<Vec<_>>());
    assert_eq!(asked[5].1, "/api/v4/keys/99", "the next turn after it came");
}

#[tokio::test]
async fn a_limit_is_obeyed_by_all() {
    let scripted = Arc::new(Scripted::new(10));
    scripted.answers(200, &[], &format!("[{USER}]"));
    scripted.answers(429, &[("retry-after", "30")], "Retry later\n");
    scripted.answers(200, &[], USER);
    scripted.answers(200, &[], USER);
    scripted
        .clock
        .run(async {
            let _ = scripted.client.users(Priority::Walk, &PageCursor::users_by_id()).await;
            let limited = scripted.client.user(Priority::Walk, id()).await.answer;
            assert_eq!(limited, Answer::Limited(Some(Duration::from_secs(30))));
            let hook = scripted.client.user(Priority::Hook, id());
            let walk = scripted.client.user(Priority::Walk, id());
            let _ = tokio::join!(hook, walk);
        })
        .await;
    assert_eq!(scripted.asked().into_iter().map(|(time, _)| time).collect::<Vec<_>>(), [0, 100, 30_100, 30_200]);
}

#[tokio::test]
async fn after_failures_the_next_question_waits_seconds_to_a_minute() {
    let scripted = Scripted::new(10);
    for _ in 0..9 {
        scripted.breaks_off("connection refused");
    }
    scripted.answers(200, &[], USER);
    scripted.answers(200, &[], USER);
    scripted
        .clock
        .run(async {
            for _ in 0..11 {
                let _ = scripted.client.user(Priority::Walk, id()).await;
            }
        })
        .await;
    let times: Vec<_> = scripted.asked().into_iter().map(|(time, _)| time).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[..9].iter().all(|wait| (1_000..=60_000).contains(wait)), "{waits:?}");
    assert!(waits[0] <= 2_000 && waits[8] >= 30_000, "{waits:?}");
    assert_eq!(waits[9], 100, "an answer ends it");
}

#[tokio::test]
async fn whoever_stops_waiting_keeps_nobody() {
    let scripted = Scripted::new(10);
    for _ in 0..3 {
        scripted.answers(200, &[], USER);
    }
    scripted
        .clock
        .run(async {
            let _ = scripted.client.user(Priority::Walk, id()).await;
            let mut given_up = Box::pin(scripted.client.user(Priority::Hook, id()));
            let mut patient = Box::pin(scripted.client.user(Priority::Walk, id()));
            tokio::select! {
                biased;
                _ = &mut given_up => panic!("it was not its turn"),
                _ = &mut patient => panic!("it was not its turn"),
                () = std::future::ready(()) => {}
            }
            drop(given_up);
            let _ = patient.await;
        })
        .await;
    assert_eq!(scripted.asked().into_iter().map(|(time, _)| time).collect::<Vec<_>>(), [0, 100]);
    assert_eq!(scripted.client.pacer().waiting(Priority::Hook), 0);
}
