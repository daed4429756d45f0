//! Cases L: the project that a push would make.

use crate::model::access_request::{AllowedRequest, ClaimedActor, RefChanges};
use crate::rules::tests::{MISSING, assert_refused, key_claimant, pull, push, sample_directory, status_and_message, user, user_claimant};

/// L02 to L10.
#[test]
fn a_push_creates_a_project_only_where_its_user_may() {
    let directory = sample_directory().with_lines([
        r#"{"kind":"namespace","id":4,"type":"user","path":"guest","name":"g","owner_id":6}"#,
        r#"{"kind":"namespace","id":5,"type":"group","path":"strict","name":"s","project_creation":"maintainer"}"#,
        r#"{"kind":"namespace","id":6,"type":"group","path":"shut","name":"s","project_creation":"noone"}"#,
        r#"{"kind":"namespace","id":7,"type":"group","path":"gone","name":"s","archived":true}"#,
        r#"{"kind":"member","namespace_id":5,"user_id":3,"access_level":30}"#,
        r#"{"kind":"member","namespace_id":5,"user_id":2,"access_level":40}"#,
        r#"{"kind":"member","namespace_id":6,"user_id":1,"access_level":50}"#,
        r#"{"kind":"member","namespace_id":7,"user_id":1,"access_level":50}"#,
    ]);
    let made = |claimed_actor, path: &str| status_and_message(&directory, &push(claimed_actor, path));
    assert_eq!(made(user_claimant(7), "/Outsider/fresh.git"), (201, "outsider/fresh".to_owned()));
    assert_eq!(made(user_claimant(3), "g/sub/fresh"), (201, "g/sub/fresh".to_owned()));
    assert_eq!(made(user_claimant(2), "strict/fresh"), (201, "strict/fresh".to_owned()));
    assert_eq!(made(user_claimant(9), "strict/fresh"), (201, "strict/fresh".to_owned()));
    for (claimed_actor, path) in [
        (user_claimant(7), "guest/fresh"),
        (user_claimant(9), "guest/fresh"),
        (user_claimant(4), "g/fresh"),
        (user_claimant(3), "strict/fresh"),
        (user_claimant(1), "shut/fresh"),
        (user_claimant(9), "shut/fresh"),
        (user_claimant(1), "gone/fresh"),
        (user_claimant(7), "nowhere/fresh"),
        (key_claimant(120), "g/fresh"),
        (ClaimedActor::Unspecified, "g/fresh"),
        (user_claimant(7), "outsider/snippets/fresh"),
        (user_claimant(7), "snippets/notexist.git"),
        (user_claimant(3), "g/notexist/snippets/notexist.git"),
        (user_claimant(3), "g/private/snippets/notexist.git"),
        (user_claimant(3), "g/none.wiki"),
        (user_claimant(7), "guest/-bad"),
    ] {
        assert_eq!(made(claimed_actor.clone(), path), (404, MISSING.to_owned()), "{claimed_actor:?} {path}");
    }
    assert_refused(&directory, &pull(user_claimant(7), "outsider/fresh"), 404, MISSING);
    assert_refused(&directory, &AllowedRequest { changes: RefChanges::Absent, ..push(user_claimant(7), "outsider/fresh") }, 404, MISSING);
    for (path, why) in [
        ("outsider/-bad", "Path can contain only letters"),
        ("outsider/b ad", "Path can contain only letters"),
        ("outsider/bad.atom", "Path can contain only letters"),
        ("outsider/wikis", "Path wikis is a reserved name"),
        (&format!("outsider/{}", "x".repeat(256)), "Path is too long"),
    ] {
        let (status, text) = made(user_claimant(7), path);
        assert_eq!(status, 422, "{path}");
        assert!(text.starts_with(&format!("Could not create project: {why}")), "{text}");
    }
    assert_eq!(made(user_claimant(3), "g/sub").0, 422);
}

/// server.md 3.6: room in one's own namespace.
#[test]
fn a_project_is_created_only_within_the_users_limit() {
    for (more, status) in
        [(r#","projects_limit":2"#, 201), (r#","projects_limit":1"#, 404), (r#","bot":true"#, 404), (r#","external":true"#, 404)]
    {
        let directory = sample_directory().with_lines([user(7, more).as_str()]);
        assert_eq!(status_and_message(&directory, &push(user_claimant(7), "outsider/fresh")).0, status, "{more}");
    }
}
