//! Cases H, J and N of wikis, designs and snippets.

use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol};
use crate::model::memory_directory::MemoryDirectory;
use crate::rules::tests::{
    DEPLOY, MISSING, READ_ONLY, UPLOAD, assert_granted, assert_refused, key_claimant, project, pull, push, sample_directory,
    status_and_message, user, user_claimant, with_gl_repository,
};

fn directory_with_snippets(visibility: &str, more: &str) -> MemoryDirectory {
    sample_directory().with_lines([
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
        let directory =
            sample_directory()
                .with_lines([project(visibility, &format!(r#","repository_access":"disabled","wiki_access":"{feature}""#)).as_str()]);
        let actors = [ClaimedActor::Unspecified, user_claimant(7), user_claimant(6), user_claimant(4), user_claimant(3)];
        for (claimed_actor, expected) in actors.into_iter().zip(expected.chars()) {
            let wanted = match expected {
                '+' => (200, String::new()),
                'd' => (401, text.to_owned()),
                _ => (404, MISSING.to_owned()),
            };
            assert_eq!(
                status_and_message(&directory, &pull(claimed_actor.clone(), &format!("g/{visibility}.wiki"))),
                wanted,
                "{visibility} {feature} {claimed_actor:?}"
            );
        }
    }
    let write = "You are not allowed to write to this project's wiki.";
    let _ = assert_granted(&sample_directory(), &push(user_claimant(3), "g/public.wiki"));
    assert_refused(&sample_directory(), &push(user_claimant(4), "g/public.wiki"), 401, write);
    assert_refused(&sample_directory(), &push(key_claimant(120), "g/public.wiki"), 401, write);
    assert_refused(&sample_directory(), &push(key_claimant(121), "g/public.wiki"), 401, DEPLOY);
    assert_refused(&sample_directory(), &push(ClaimedActor::Unspecified, "g/public.wiki"), 401, UPLOAD);
    assert_refused(
        &sample_directory().with_lines([project("public", r#","archived":true"#).as_str()]),
        &push(user_claimant(3), "g/public.wiki"),
        401,
        write,
    );
    assert_refused(
        &sample_directory().with_lines([project("public", r#","wiki_access":"disabled""#).as_str()]),
        &push(user_claimant(9), "g/public.wiki"),
        401,
        write,
    );
    let missing = sample_directory().with_lines([project("public", r#","wiki_repository_exists":false"#).as_str()]);
    assert_refused(&missing, &pull(ClaimedActor::Unspecified, "g/public.wiki"), 404, "A repository for this wiki does not exist yet.");
    for word in ["wiki-10", "wiki-999", "group-1-wiki"] {
        assert_refused(
            &sample_directory(),
            &with_gl_repository(pull(user_claimant(7), ""), word),
            404,
            "The wiki you were looking for could not be found.",
        );
    }
}

/// J20.
#[test]
fn designs_are_for_the_web() {
    let web = "Designs are only accessible using the web interface";
    let manage = "You are not allowed to manage designs of this project";
    let over_web = |request| AllowedRequest { protocol: Protocol::Web, ..request };
    for word in ["design-10", "design-999"] {
        assert_refused(
            &sample_directory(),
            &with_gl_repository(AllowedRequest { action: Action::Unknown, ..pull(user_claimant(7), "") }, word),
            401,
            web,
        );
        assert_refused(&sample_directory(), &with_gl_repository(over_web(pull(user_claimant(7), "")), word), 401, manage);
    }
    let _ = assert_granted(&sample_directory(), &with_gl_repository(over_web(push(user_claimant(3), "")), "design-10"));
    assert_refused(&sample_directory(), &over_web(push(user_claimant(4), "g/private.design")), 401, manage);
    assert_refused(&sample_directory(), &push(user_claimant(3), "g/private.design"), 401, web);
    assert_refused(&sample_directory(), &push(user_claimant(7), "g/private.design"), 404, MISSING);
}

/// H09, H10, N01 to N04.
#[test]
fn a_snippet_is_its_authors() {
    let (read, update) = ("You are not allowed to read this snippet.", "You are not allowed to update this snippet.");
    let private = directory_with_snippets("private", "");
    for (author, path, word) in [(7, "snippets/50", "snippet-50"), (3, "g/private/snippets/51", "snippet-51")] {
        for request in [
            pull(user_claimant(author), path),
            push(key_claimant(100 + author), path),
            with_gl_repository(push(user_claimant(author), ""), word),
        ] {
            assert_eq!(assert_granted(&private, &request).repository.gl_repository(), word);
        }
    }
    assert_eq!(assert_granted(&private, &pull(user_claimant(7), "snippets/50")).root_namespace, None);
    assert_refused(&private, &pull(user_claimant(3), "snippets/50"), 401, read);
    assert_refused(&private, &pull(ClaimedActor::Unspecified, "snippets/50"), 401, read);
    assert_refused(&private, &push(user_claimant(3), "snippets/50"), 401, update);
    assert_refused(&private, &pull(user_claimant(7), "g/private/snippets/51"), 404, MISSING);
    assert_refused(&private, &pull(user_claimant(6), "g/private/snippets/51"), 401, read);
    assert_refused(&private, &push(user_claimant(4), "g/private/snippets/51"), 401, update);
    let _ = assert_granted(&private, &push(user_claimant(2), "g/private/snippets/51"));
    let _ = assert_granted(&private, &pull(user_claimant(9), "snippets/50"));
    let _ = assert_granted(&directory_with_snippets("public", ""), &pull(ClaimedActor::Unspecified, "snippets/50"));
    assert_refused(&directory_with_snippets("internal", ""), &pull(user_claimant(8), "snippets/50"), 401, read);
    let _ = assert_granted(&directory_with_snippets("internal", ""), &pull(user_claimant(3), "snippets/50"));
    for request in [pull(key_claimant(120), "snippets/50"), push(key_claimant(120), "snippets/50")] {
        assert_refused(&private, &request, 401, "The authentication mechanism is not supported.");
    }
    let blocked = private.with_lines([user(3, r#","state":"blocked""#).as_str()]);
    assert_refused(
        &blocked,
        &with_gl_repository(pull(user_claimant(3), ""), "snippet-99"),
        404,
        "The snippet you were looking for could not be found.",
    );
    let gone = directory_with_snippets("private", r#","repository_exists":false"#);
    assert_refused(&gone, &pull(user_claimant(7), "snippets/50"), 404, "The snippet repository you were looking for could not be found.");
    let still = directory_with_snippets("private", r#","repository_read_only":true"#);
    assert_refused(&still, &push(user_claimant(7), "snippets/50"), 401, READ_ONLY);
    let _ = assert_granted(&still, &pull(user_claimant(7), "snippets/50"));
}

/// N06.
#[test]
fn a_snippet_of_an_archived_project_is_only_pulled() {
    let directory = directory_with_snippets("private", "").with_lines([project("public", r#","archived":true"#).as_str()]);
    for id in [3, 4] {
        assert_refused(&directory, &push(user_claimant(id), "g/public/snippets/52"), 401, "You are not allowed to update this snippet.");
        let _ = assert_granted(&directory, &pull(user_claimant(id), "g/public/snippets/52"));
    }
}
