//! Group H: what a yes of `allowed` looks like.
//!
//! Not made: H02 (an audit event that GitLab streams), H03 (flags of Gitaly are for a storage here, not for one project).

use serde_json::{Value, json};

use super::table::{Ask, check, row};
use super::world::{self, EXPIRED, EXPIRING, PUSHING, READING, allowed, key, pull, push};
use crate::house::House;
use crate::http::{Answer, Request};

const EXPIRES_SOON: &str = "INFO: Your SSH key expires soon. Please generate a new key.";

/// The whole yes to the developer's question for `team/private`.
fn yes() -> Value {
    json!({
        "status": true,
        "gl_repository": "project-10",
        "gl_project_path": "team/private",
        "gl_id": "user-4",
        "gl_username": "developer",
        "git_config_options": ["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"],
        "gitaly": {
            "repository": {
                "storage_name": "default",
                "relative_path": "team/private.git",
                "git_object_directory": "",
                "git_alternate_object_directories": [],
                "gl_repository": "project-10",
                "gl_project_path": "team/private"
            },
            "address": "unix:/run/gitaly.sock",
            "token": "gitaly-token",
            "features": {"gitaly-feature-a": "true"}
        },
        "gl_console_messages": [],
        "gl_key_type": "key",
        "gl_key_id": 104,
        "gl_project_id": 10,
        "gl_root_namespace_id": 1,
        "need_audit": false
    })
}

fn by_word(ask: Ask, word: &str) -> Ask {
    ask.without("project").with("gl_repository", word)
}

#[test]
fn a_yes_names_the_repository_the_person_and_the_way_to_gitaly() {
    let named = |word: &str, path: &str| json!({"status": true, "gl_repository": word, "gl_project_path": path});
    check(
        &world::plain(),
        vec![
            row("H01", "a pull", pull("developer", "team/private"), 200).is(yes()).from("local"),
            row("H01", "a pull by number", by_word(pull("developer", ""), "project-10"), 200).is(yes()).from("local"),
            row("H01", "both: the number counts", pull("developer", "team/none").with("gl_repository", "project-10"), 200).is(yes()),
            row("H01", "other letters, slash and suffix", pull("developer", "/Team/PRIVATE.git"), 200).is(yes()).from("local"),
            row("H01", "by name: no key is spoken of", pull("name:developer", "team/private"), 200)
                .has(json!({"gl_id": "user-4", "gl_username": "developer"}))
                .lacks("gl_key_type")
                .lacks("gl_key_id"),
            row("H07", "a push", push("developer", "team/private"), 200).is(yes()).from("local"),
            row("H08", "pull of a wiki", pull("developer", "team/private.wiki"), 200)
                .has(named("wiki-10", "team/private.wiki"))
                .has(json!({"gl_project_id": 10, "gitaly": {"repository": {"relative_path": "team/private.wiki.git"}}}))
                .from("local"),
            row("H08", "push of a wiki", push("developer", "team/private.wiki.git"), 200).has(named("wiki-10", "team/private.wiki")),
            row("H09", "pull of one's own snippet", pull("developer", "snippets/1"), 200)
                .has(json!({"gl_repository": "snippet-1"}))
                .lacks("gl_project_id")
                .lacks("gl_root_namespace_id"),
            row("H09", "push of one's own snippet", push("developer", "snippets/1"), 200)
                .has(json!({"gl_repository": "snippet-1"}))
                .lacks("gl_project_id"),
            row("H10", "pull of a project's snippet", pull("reporter", "team/private/snippets/3"), 200)
                .has(json!({"gl_repository": "snippet-3", "gl_project_id": 10})),
            row("H10", "push of a project's snippet", push("reporter", "team/private/snippets/3"), 200)
                .has(json!({"gl_repository": "snippet-3", "gl_project_id": 10})),
            row("H11", "an archive for a deploy key", allowed(&key(READING), "git-upload-archive", "team/private"), 200)
                .has(json!({"gl_key_type": "deploy_key", "gl_key_id": READING, "gitaly": {"address": "unix:/run/gitaly.sock"}})),
            row("H12", "a deploy key is spoken of as its creator", push(&key(PUSHING), "team/private"), 200)
                .has(json!({"gl_id": "user-4", "gl_username": "developer", "gl_key_type": "deploy_key"})),
            row("H13", "nobody known, a public project", pull("key:9999", "team/public"), 200)
                .has(json!({"gl_id": "", "gl_repository": "project-16"}))
                .lacks("gl_username")
                .lacks("gl_key_id"),
            row("H14", "a key that ends in two days", pull(&key(EXPIRING), "team/private"), 200)
                .has(json!({"gl_console_messages": [EXPIRES_SOON], "gl_key_id": EXPIRING}))
                .from("local"),
            row("H14", "an expired key says so instead", pull(&key(EXPIRED), "team/private"), 401),
            row("H15", "by a former path", pull("developer", "Former/place.git"), 200).is(yes()).from("forwarded"),
            row("H15", "a member by a share", pull("friend", "other/lent"), 200).has(json!({"gl_username": "friend"})).from("local"),
            row("H16", "over SSH", pull("developer", "team/private"), 200).header("enable-workhorse-circuit-breaker", Some("true")),
            row("H16", "over HTTP", pull("developer", "team/private").with("protocol", "http"), 200)
                .header("enable-workhorse-circuit-breaker", None),
            row("H16", "over SSH, refused", push("reporter", "team/private"), 401).header("enable-workhorse-circuit-breaker", Some("true")),
        ],
    );
}

#[test]
fn only_a_token_makes_the_circuit_breaker_count() {
    use super::table::bare;
    use base64::Engine as _;
    let house = world::plain();
    let secret = base64::engine::general_purpose::STANDARD.encode(house.shared_secret());
    let request = |ask: Ask| ask.as_json().header("Gitlab-Shared-Secret", &secret);
    check(
        &house,
        vec![
            bare("H16", "the shared secret and no token", request(pull("developer", "team/private")), 200)
                .is(yes())
                .header("enable-workhorse-circuit-breaker", None),
            bare("H16", "the same, refused", request(push("reporter", "team/private")), 401)
                .header("enable-workhorse-circuit-breaker", None),
        ],
    );
}

#[test]
fn the_size_of_a_push_is_an_option_where_it_is_limited() {
    let house = world::own();
    world::set(&house, &json!({"receive_max_input_size_mib": 10}));
    let options = json!(["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true", "receive.maxInputSize=10485760"]);
    check(
        &house,
        vec![row("H06", "10 MiB", push("developer", "team/private"), 200).has(json!({"git_config_options": options})).from("local")],
    );
    world::set(&house, &json!({"operations_per_minute": 1}));
    too_often(&house);
}

/// H17: one a minute, so the second, or (if a minute began between) the third, is one too many, wherever it is counted.
fn too_often(house: &House) {
    let request = |who: &str| pull(who, "team/public").as_json();
    type Way = fn(&House, Request) -> Answer;
    for (place, who, ask) in [("primary", "reporter", House::ask_primary as Way), ("sidecar", "guest", House::ask as Way)] {
        assert_eq!(ask(house, request(who)).status, 200, "the first at the {place}");
        let mut second = ask(house, request(who));
        if second.status == 200 {
            second = ask(house, request(who));
        }
        assert_eq!(second.status, 429, "H17 at the {place}: {}", second.text());
        assert_eq!(second.json()["message"]["error"], "This endpoint has been requested too many times. Try again later.");
        assert_eq!(second.header("retry-after"), None);
        assert_eq!(ask(house, pull(who, "team/internal").as_json()).status, 200, "another project at the {place}");
    }
}
