//! Cases L: the project that a push would make.

use crate::model::question::{Changes, Claimant, Question};
use crate::rules::cases::{MISSING, by_key, by_user, house, no, pull, push, said, user};

/// L02 to L10.
#[test]
fn a_push_makes_a_project_only_where_its_user_may() {
    let table = house().with([
        r#"{"kind":"namespace","id":4,"type":"user","path":"guest","name":"g","owner_id":6}"#,
        r#"{"kind":"namespace","id":5,"type":"group","path":"strict","name":"s","project_creation":"maintainer"}"#,
        r#"{"kind":"namespace","id":6,"type":"group","path":"shut","name":"s","project_creation":"noone"}"#,
        r#"{"kind":"namespace","id":7,"type":"group","path":"gone","name":"s","archived":true}"#,
        r#"{"kind":"member","namespace_id":5,"user_id":3,"access_level":30}"#,
        r#"{"kind":"member","namespace_id":5,"user_id":2,"access_level":40}"#,
        r#"{"kind":"member","namespace_id":6,"user_id":1,"access_level":50}"#,
        r#"{"kind":"member","namespace_id":7,"user_id":1,"access_level":50}"#,
    ]);
    let made = |claimant, path: &str| said(&table, &push(claimant, path));
    assert_eq!(made(by_user(7), "/Outsider/fresh.git"), (201, "outsider/fresh".to_owned()));
    assert_eq!(made(by_user(3), "g/sub/fresh"), (201, "g/sub/fresh".to_owned()));
    assert_eq!(made(by_user(2), "strict/fresh"), (201, "strict/fresh".to_owned()));
    assert_eq!(made(by_user(9), "strict/fresh"), (201, "strict/fresh".to_owned()));
    for (claimant, path) in [
        (by_user(7), "guest/fresh"),
        (by_user(9), "guest/fresh"),
        (by_user(4), "g/fresh"),
        (by_user(3), "strict/fresh"),
        (by_user(1), "shut/fresh"),
        (by_user(9), "shut/fresh"),
        (by_user(1), "gone/fresh"),
        (by_user(7), "nowhere/fresh"),
        (by_key(120), "g/fresh"),
        (Claimant::Nobody, "g/fresh"),
        (by_user(7), "outsider/snippets/fresh"),
        (by_user(7), "snippets/notexist.git"),
        (by_user(3), "g/notexist/snippets/notexist.git"),
        (by_user(3), "g/private/snippets/notexist.git"),
        (by_user(3), "g/none.wiki"),
        (by_user(7), "guest/-bad"),
    ] {
        assert_eq!(made(claimant.clone(), path), (404, MISSING.to_owned()), "{claimant:?} {path}");
    }
    no(&table, &pull(by_user(7), "outsider/fresh"), 404, MISSING);
    no(&table, &Question { changes: Changes::Absent, ..push(by_user(7), "outsider/fresh") }, 404, MISSING);
    for (path, why) in [
        ("outsider/-bad", "Path can contain only letters"),
        ("outsider/b ad", "Path can contain only letters"),
        ("outsider/bad.atom", "Path can contain only letters"),
        ("outsider/wikis", "Path wikis is a reserved name"),
        (&format!("outsider/{}", "x".repeat(256)), "Path is too long"),
    ] {
        let (status, text) = made(by_user(7), path);
        assert_eq!(status, 422, "{path}");
        assert!(text.starts_with(&format!("Could not create project: {why}")), "{text}");
    }
    assert_eq!(made(by_user(3), "g/sub").0, 422);
}

/// server.md 3.6: room in one's own namespace.
#[test]
fn a_project_is_made_only_while_there_is_room() {
    for (more, status) in
        [(r#","projects_limit":2"#, 201), (r#","projects_limit":1"#, 404), (r#","bot":true"#, 404), (r#","external":true"#, 404)]
    {
        let table = house().with([user(7, more).as_str()]);
        assert_eq!(said(&table, &push(by_user(7), "outsider/fresh")).0, status, "{more}");
    }
}
