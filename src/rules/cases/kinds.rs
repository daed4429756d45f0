//! Cases H, J and N of wikis, designs and snippets.

use crate::model::question::{Action, Claimant, Protocol, Question};
use crate::model::table::Table;
use crate::rules::cases::{DEPLOY, MISSING, READ_ONLY, UPLOAD, by_id, by_key, by_user, house, no, project, pull, push, said, user, yes};

fn snippets(visibility: &str, more: &str) -> Table {
    house().with([
        format!(r#"{{"kind":"snippet","id":50,"author_id":7,"visibility":"{visibility}","storage":"default","relative_path":"s.git"{more}}}"#).as_str(),
        format!(r#"{{"kind":"snippet","id":51,"project_id":10,"author_id":3,"visibility":"{visibility}","storage":"default","relative_path":"t.git"{more}}}"#).as_str(),
        format!(r#"{{"kind":"snippet","id":52,"project_id":12,"author_id":4,"visibility":"{visibility}","storage":"default","relative_path":"u.git"{more}}}"#).as_str(),
    ])
}

/// H08 and server.md 3.7: wikis. Columns: nobody, outsider, guest, reporter, developer.
#[test]
fn a_wiki_is_pulled_as_code_is_and_pushed_from_developer_on() {
    let text = "You are not allowed to download files from this wiki.";
    for (visibility, feature, expected) in [
        ("private", "enabled", "..d++"),
        ("internal", "enabled", ".++++"),
        ("internal", "private", ".d+++"),
        ("public", "enabled", "+++++"),
        ("public", "disabled", "ddddd"),
    ] {
        let table = house().with([project(visibility, &format!(r#","repository_access":"disabled","wiki_access":"{feature}""#)).as_str()]);
        let actors = [Claimant::Nobody, by_user(7), by_user(6), by_user(4), by_user(3)];
        for (claimant, expected) in actors.into_iter().zip(expected.chars()) {
            let wanted = match expected {
                '+' => (200, String::new()),
                'd' => (401, text.to_owned()),
                _ => (404, MISSING.to_owned()),
            };
            assert_eq!(
                said(&table, &pull(claimant.clone(), &format!("g/{visibility}.wiki"))),
                wanted,
                "{visibility} {feature} {claimant:?}"
            );
        }
    }
    let write = "You are not allowed to write to this project's wiki.";
    let _ = yes(&house(), &push(by_user(3), "g/public.wiki"));
    no(&house(), &push(by_user(4), "g/public.wiki"), 401, write);
    no(&house(), &push(by_key(120), "g/public.wiki"), 401, write);
    no(&house(), &push(by_key(121), "g/public.wiki"), 401, DEPLOY);
    no(&house(), &push(Claimant::Nobody, "g/public.wiki"), 401, UPLOAD);
    no(&house().with([project("public", r#","archived":true"#).as_str()]), &push(by_user(3), "g/public.wiki"), 401, write);
    no(&house().with([project("public", r#","wiki_access":"disabled""#).as_str()]), &push(by_user(9), "g/public.wiki"), 401, write);
    let missing = house().with([project("public", r#","wiki_repository_exists":false"#).as_str()]);
    no(&missing, &pull(Claimant::Nobody, "g/public.wiki"), 404, "A repository for this wiki does not exist yet.");
    for word in ["wiki-10", "wiki-999", "group-1-wiki"] {
        no(&house(), &by_id(pull(by_user(7), ""), word), 404, "The wiki you were looking for could not be found.");
    }
}

/// J20.
#[test]
fn designs_are_for_the_web() {
    let web = "Designs are only accessible using the web interface";
    let manage = "You are not allowed to manage designs of this project";
    let over_web = |question| Question { protocol: Protocol::Web, ..question };
    for word in ["design-10", "design-999"] {
        no(&house(), &by_id(Question { action: Action::Unknown, ..pull(by_user(7), "") }, word), 401, web);
        no(&house(), &by_id(over_web(pull(by_user(7), "")), word), 401, manage);
    }
    let _ = yes(&house(), &by_id(over_web(push(by_user(3), "")), "design-10"));
    no(&house(), &over_web(push(by_user(4), "g/private.design")), 401, manage);
    no(&house(), &push(by_user(3), "g/private.design"), 401, web);
    no(&house(), &push(by_user(7), "g/private.design"), 404, MISSING);
}

/// H09, H10, N01 to N04.
#[test]
fn a_snippet_is_its_authors() {
    let (read, update) = ("You are not allowed to read this snippet.", "You are not allowed to update this snippet.");
    let private = snippets("private", "");
    for (author, path, word) in [(7, "snippets/50", "snippet-50"), (3, "g/private/snippets/51", "snippet-51")] {
        for question in [pull(by_user(author), path), push(by_key(100 + author), path), by_id(push(by_user(author), ""), word)] {
            assert_eq!(yes(&private, &question).repository.word(), word);
        }
    }
    assert_eq!(yes(&private, &pull(by_user(7), "snippets/50")).root_namespace, None);
    no(&private, &pull(by_user(3), "snippets/50"), 401, read);
    no(&private, &pull(Claimant::Nobody, "snippets/50"), 401, read);
    no(&private, &push(by_user(3), "snippets/50"), 401, update);
    no(&private, &pull(by_user(7), "g/private/snippets/51"), 404, MISSING);
    no(&private, &pull(by_user(6), "g/private/snippets/51"), 401, read);
    no(&private, &push(by_user(4), "g/private/snippets/51"), 401, update);
    let _ = yes(&private, &push(by_user(2), "g/private/snippets/51"));
    let _ = yes(&private, &pull(by_user(9), "snippets/50"));
    let _ = yes(&snippets("public", ""), &pull(Claimant::Nobody, "snippets/50"));
    no(&snippets("internal", ""), &pull(by_user(8), "snippets/50"), 401, read);
    let _ = yes(&snippets("internal", ""), &pull(by_user(3), "snippets/50"));
    for question in [pull(by_key(120), "snippets/50"), push(by_key(120), "snippets/50")] {
        no(&private, &question, 401, "The authentication mechanism is not supported.");
    }
    let blocked = private.with([user(3, r#","state":"blocked""#).as_str()]);
    no(&blocked, &by_id(pull(by_user(3), ""), "snippet-99"), 404, "The snippet you were looking for could not be found.");
    let gone = snippets("private", r#","repository_exists":false"#);
    no(&gone, &pull(by_user(7), "snippets/50"), 404, "The snippet repository you were looking for could not be found.");
    let still = snippets("private", r#","repository_read_only":true"#);
    no(&still, &push(by_user(7), "snippets/50"), 401, READ_ONLY);
    let _ = yes(&still, &pull(by_user(7), "snippets/50"));
}

/// N06.
#[test]
fn a_snippet_of_an_archived_project_is_only_pulled() {
    let table = snippets("private", "").with([project("public", r#","archived":true"#).as_str()]);
    for id in [3, 4] {
        no(&table, &push(by_user(id), "g/public/snippets/52"), 401, "You are not allowed to update this snippet.");
        let _ = yes(&table, &pull(by_user(id), "g/public/snippets/52"));
    }
}
