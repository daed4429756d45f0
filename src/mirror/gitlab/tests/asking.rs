//! What each answer is worth.

use crate::mirror::gitlab::answer::Answer;
use crate::mirror::gitlab::page::PageCursor;
use crate::mirror::gitlab::tests::scripted_gitlab::Scripted;
use crate::mirror::gitlab::turns::Priority;
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::wire::gitlab::key::FoundKey;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn id(number: u64) -> Id {
    Id::try_from(number).unwrap()
}

fn key() -> PublicKey {
    KEY.parse().unwrap()
}

fn user(number: u64) -> String {
    format!(r#"{{"id":{number},"username":"u{number}","name":"U","state":"active","is_admin":false}}"#)
}

fn key_body(number: u64) -> String {
    format!(r#"{{"id":{number},"title":"t","key":"{KEY} c","created_at":"2026-01-31T12:00:00.000Z","expires_at":null}}"#)
}

fn reason<T: std::fmt::Debug>(answer: Answer<T>) -> String {
    match answer {
        Answer::Failed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// The answers that are worth nothing, whatever was asked.
const WORTHLESS: [(u16, &str); 12] = [
    (200, ""),
    (200, "<html><body>Sign in</body></html>"),
    (200, r#"{"message":"GitLab is not responding"}"#),
    (200, "null"),
    (200, r#"[{"id":1,"#),
    (204, ""),
    (302, ""),
    (400, r#"{"error":"x"}"#),
    (404, r#"{"error":"404 Not Found"}"#),
    (404, "<html>404 Key Not Found</html>"),
    (500, r#"{"message":"500 Internal Server Error"}"#),
    (502, "<html>Whoops, GitLab is taking too much time to respond</html>"),
];

#[tokio::test]
async fn what_is_not_gitlabs_answer_is_a_failure_of_every_question() {
    for (status, body) in WORTHLESS {
        let scripted = Scripted::new(50);
        for _ in 0..7 {
            scripted.answers(status, &[], body);
        }
        let client = &scripted.client;
        scripted
            .clock
            .run(async {
                let walk = Priority::Walk;
                assert!(matches!(client.users(walk, &PageCursor::users_by_id()).await.answer, Answer::Failed(_)), "{status} {body}");
                assert!(matches!(client.deploy_keys(walk, &PageCursor::deploy_keys()).await.answer, Answer::Failed(_)), "{status} {body}");
                assert!(matches!(client.user(walk, id(7)).await.answer, Answer::Failed(_)), "{status} {body}");
                assert!(matches!(client.user_keys(walk, id(7)).await.answer, Answer::Failed(_)), "{status} {body}");
                assert!(matches!(client.key_by_id(walk, id(7)).await.answer, Answer::Failed(_)), "{status} {body}");
                assert!(matches!(client.key_by_fingerprint(walk, key().fingerprint()).await.answer, Answer::Failed(_)), "{status} {body}");
                assert!(matches!(client.authorized_keys(walk, &key()).await.answer, Answer::Failed(_)), "{status} {body}");
            })
            .await;
        assert_eq!(scripted.asked().len(), 7);
    }
}

#[tokio::test]
async fn an_empty_first_page_of_users_is_a_failure_and_a_later_one_the_end() {
    let scripted = Scripted::new(50);
    scripted.answers(200, &[], "[]");
    scripted.answers(200, &[("link", r#"<http://h/api/v4/users?cursor=a>; rel="next""#)], &format!("[{}]", user(1)));
    scripted.answers(200, &[], "[]");
    scripted.answers(200, &[], "[]");
    scripted
        .clock
        .run(async {
            let first = PageCursor::users_by_id();
            let answer = scripted.client.users(Priority::Walk, &first).await.answer;
            assert!(reason(answer).contains("first page of users is empty"));
            let Answer::Found(page) = scripted.client.users(Priority::Walk, &first).await.answer else { panic!("no page") };
            let next = page.next.unwrap();
            let last = scripted.client.users(Priority::Walk, &next).await.answer;
            assert!(matches!(last, Answer::Found(page) if page.items.is_empty() && page.next.is_none()));
            let none = scripted.client.deploy_keys(Priority::Walk, &PageCursor::deploy_keys()).await.answer;
            assert!(matches!(none, Answer::Found(page) if page.items.is_empty()));
        })
        .await;
}

#[tokio::test]
async fn a_token_that_is_not_an_administrators_is_an_alarm() {
    let scripted = Scripted::new(50);
    let user = |id: u64| format!(r#"{{"id":{id},"username":"a{id}","name":"A","state":"active","avatar_url":null,"web_url":"x"}}"#);
    scripted.answers(200, &[], &format!("[{},{}]", user(2), user(1)));
    scripted.answers(401, &[], r#"{"message":"401 Unauthorized"}"#);
    scripted.answers(403, &[], r#"{"message":"403 Forbidden"}"#);
    scripted.answers(401, &[], r#"{"message":"401 Unauthorized"}"#);
    scripted
        .clock
        .run(async {
            for expected in ["administrator", "token", "token"] {
                let answer = scripted.client.users(Priority::Walk, &PageCursor::users_by_id()).await.answer;
                assert!(matches!(&answer, Answer::Unauthorized(reason) if reason.contains(expected)), "{answer:?}");
            }
            let answer = scripted.client.authorized_keys(Priority::Verification, &key()).await.answer;
            assert!(matches!(&answer, Answer::Unauthorized(reason) if reason.contains("shell secret")), "{answer:?}");
        })
        .await;
}

#[tokio::test]
async fn a_token_that_stops_being_an_administrators_between_two_pages_is_an_alarm() {
    let scripted = Scripted::new(50);
    let next = r#"<http://h/api/v4/users?cursor=a&order_by=id&pagination=keyset&per_page=100&sort=asc>; rel="next""#;
    scripted.answers(200, &[("link", next)], &format!("[{},{}]", user(1), user(2)));
    scripted.answers(200, &[], &format!("[{},{}]", user(9), user(8)));
    scripted
        .clock
        .run(async {
            let Answer::Found(page) = scripted.client.users(Priority::Walk, &PageCursor::users_by_id()).await.answer else {
                panic!("no page")
            };
            let answer = scripted.client.users(Priority::Walk, &page.next.unwrap()).await.answer;
            assert!(matches!(&answer, Answer::Unauthorized(reason) if reason.contains("administrator")), "{answer:?}");
        })
        .await;
}

#[tokio::test]
async fn gitlabs_own_404_is_a_no_of_each_question() {
    let scripted = Scripted::new(50);
    for message in ["404 User Not Found", "404 User Not Found", "404 Not found", "404 Key Not Found", "404 Key Not Found"] {
        scripted.answers(404, &[], &format!(r#"{{"message":"{message}"}}"#));
    }
    scripted
        .clock
        .run(async {
            let (client, hook) = (&scripted.client, Priority::Hook);
            assert_eq!(client.user(hook, id(7)).await.answer, Answer::NotFound);
            assert_eq!(client.user_keys(hook, id(7)).await.answer, Answer::NotFound);
            assert_eq!(client.key_by_id(hook, id(7)).await.answer, Answer::NotFound);
            assert_eq!(client.key_by_fingerprint(hook, key().fingerprint()).await.answer, Answer::NotFound);
            assert_eq!(client.authorized_keys(hook, &key()).await.answer, Answer::NotFound);
        })
        .await;
    let targets: Vec<_> = scripted.asked().into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets[0], "/api/v4/users/7");
    assert_eq!(targets[1], "/api/v4/users/7/keys?per_page=100");
    assert_eq!(targets[2], "/api/v4/keys/7");
    assert!(targets[3].starts_with("/api/v4/keys?fingerprint=SHA256%3A"), "{}", targets[3]);
    assert!(targets[4].starts_with("/api/v4/internal/authorized_keys?key=AAAAC3NzaC1lZDI1NTE5AAAAILM%2BrvN"), "{}", targets[4]);
}

#[tokio::test]
async fn only_an_answer_about_what_was_asked_counts() {
    let scripted = Scripted::new(50);
    scripted.answers(200, &[], &user(8));
    let of_another = KEY.replace("Sqti", "Sqtj");
    scripted.answers(200, &[], &format!(r#"{{"id":11,"key":"{of_another} a (h)"}}"#));
    scripted.answers(200, &[], &format!(r#"{{"id":11,"key":"{KEY} a (h)"}}"#));
    scripted
        .clock
        .run(async {
            assert_eq!(reason(scripted.client.user(Priority::Hook, id(7)).await.answer), "the answer speaks of another user");
            assert_eq!(reason(scripted.client.authorized_keys(Priority::Hook, &key()).await.answer), "the answer speaks of another key");
            assert_eq!(scripted.client.authorized_keys(Priority::Hook, &key()).await.answer, Answer::Found(id(11)));
        })
        .await;
}

#[tokio::test]
async fn all_pages_of_a_users_keys_come_or_none() {
    let scripted = Scripted::new(10);
    let next = ("link", r#"<http://h/api/v4/users/7/keys?page=2&per_page=100>; rel="next""#);
    for second in [200, 500] {
        scripted.answers(200, &[next], &format!("[{}]", key_body(11)));
        scripted.answers(second, &[], &format!("[{}]", key_body(12)));
    }
    scripted
        .clock
        .run(async {
            let asked = scripted.client.user_keys(Priority::Walk, id(7)).await;
            let Answer::Found(keys) = asked.answer else { panic!("no keys") };
            assert_eq!(keys.iter().filter_map(FoundKey::id).map(u64::from).collect::<Vec<_>>(), [11, 12]);
            assert_eq!(asked.asked_at, crate::mirror::gitlab::tests::simulated_clock::START, "the time of the first page");
            assert_eq!(reason(scripted.client.user_keys(Priority::Walk, id(7)).await.answer), "status 500");
        })
        .await;
}

#[tokio::test]
async fn a_link_to_another_path_ends_in_a_failure() {
    let scripted = Scripted::new(50);
    scripted.answers(200, &[("link", r#"<https://evil.example/api/v4/personal_access_tokens?x>; rel="next""#)], &format!("[{}]", user(1)));
    scripted.answers(200, &[("link", r#"<https://evil.example/api/v4/users?page=2>; rel="next""#)], &format!("[{}]", user(1)));
    scripted
        .clock
        .run(async {
            let first = PageCursor::users_by_id();
            assert!(reason(scripted.client.users(Priority::Walk, &first).await.answer).contains("another path"));
            let Answer::Found(page) = scripted.client.users(Priority::Walk, &first).await.answer else { panic!("no page") };
            assert_eq!(page.next.unwrap().to_string(), "/api/v4/users?page=2", "to the configured GitLab, and to nobody else");
        })
        .await;
}
