//! Group C: who is this? All rows are made.

use serde_json::{Value, json};

use super::table::{Ask, check, row};
use super::world::{self, AUTH_ONLY, ORPHAN, PUSHING, SIGNING, discover, key};

#[test]
fn a_person_is_known_by_key_number_and_name_and_nobody_is_null() {
    let developer = json!({"id": 4, "username": "developer", "name": "Developer"});
    let nobody = Value::Null;
    let anything = Ask::get("/api/v4/internal/discover");
    check(
        &world::plain(),
        vec![
            row("C01", "by key", discover("developer"), 200).is(developer.clone()).from("local"),
            row("C01", "by a deploy key: its creator", discover(&key(PUSHING)), 200).is(developer.clone()),
            row("C02", "by name", discover("name:developer"), 200).is(developer.clone()).from("local"),
            row("C02", "by name in other letters", anything.clone().with("username", "DevELOPER"), 200).is(developer.clone()),
            row("C02", "by number", discover("user:developer"), 200).is(developer.clone()).from("local"),
            row("C03", "an unknown key", discover("key:9999"), 200).is(nobody.clone()),
            row("C03", "an unknown key with a known user", discover("key:9999").with("user_id", 4), 200).is(nobody.clone()),
            row("C03", "key 0", discover("key:0"), 200).is(nobody.clone()),
            row("C03", "a key of nobody", discover(&key(ORPHAN)), 200).is(nobody.clone()),
            row("C04", "something else", anything.with("nothing", "to find a user"), 200).is(nobody.clone()),
            row("C05", "a key that only signs", discover(&key(SIGNING)), 200).is(nobody),
            row("C06", "a key that only logs in", discover(&key(AUTH_ONLY)), 200).is(developer),
        ],
    );
}
