//! Group B: whose key is this? All rows are made.

use serde_json::json;

use super::table::{Ask, check, exactly, row};
use super::world::{self, AUTH_ONLY, EXPIRED, ORPHAN, PUSHING, RSA, SIGNING, blob, public_key};
use crate::http::Request;

const PATH: &str = "/api/v4/internal/authorized_keys";

fn lookup(key: &str) -> Ask {
    Ask::get(PATH).with("key", key)
}

#[test]
fn a_key_that_logs_in_is_found_by_its_blob() {
    let missing = json!({"message": "404 Key Not Found"});
    let found = |id: u64, owner: &str| json!({"id": id, "key": format!("{} {owner}", public_key(id)), "title": format!("key {id}")});
    let short = blob(104);
    let short = &short[..short.len() - 3];
    check(
        &world::plain(),
        vec![
            row("B02", "the comment is the owner's name and the host", lookup(&blob(104)), 200)
                .has(found(104, "Developer (git.example.com)"))
                .has(json!({"created_at": "2026-01-31T12:00:00.000Z", "expires_at": null, "usage_type": "auth_and_signing"}))
                .from("local"),
            row("B02", "an RSA key", lookup(&blob(RSA)), 200).has(found(RSA, "Maintainer (git.example.com)")),
            row("B03", "a key that only signs", lookup(&blob(SIGNING)), 404).is(missing.clone()).lacks("id"),
            row("B04", "a key that only logs in", lookup(&blob(AUTH_ONLY)), 200).has(json!({"id": AUTH_ONLY, "usage_type": "auth"})),
            row("B05", "a blob without its end", lookup(short), 404).is(missing.clone()),
            row("B05", "not Base64", lookup("***"), 404).is(missing.clone()),
            row("B05", "an unknown key", lookup(&blob(9999)), 404).is(missing),
            row("B06", "a deploy key", lookup(&blob(PUSHING)), 200).has(json!({"id": PUSHING})),
            row("B06", "an expired key", lookup(&blob(EXPIRED)), 200).has(json!({"id": EXPIRED})),
            row("B06", "of a blocked owner", lookup(&blob(109)), 200).has(json!({"id": 109})),
            row("B06", "of nobody", lookup(&blob(ORPHAN)), 200).has(found(ORPHAN, "(git.example.com)")),
            exactly("B07", "no key asked", Request::get(PATH), 400).says_something_with("key"),
        ],
    );
}
