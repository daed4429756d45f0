//! Group C: who is this? All rows are made.

use serde_json::{Value, json};

use crate::support::contract_case::{ApiCall, assert_cases, case};
use crate::support::contract_directory::{self, AUTH_ONLY_KEY, PUSH_DEPLOY_KEY, SIGNING_KEY, discover, key_actor};

#[test]
fn a_person_is_known_by_key_number_and_name_and_nobody_is_null() {
    let developer = json!({"id": 4, "username": "developer", "name": "Developer"});
    let nobody = Value::Null;
    let anything = ApiCall::get("/api/v4/internal/discover");
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("C01", "by key", discover("developer"), 200).body_equals(developer.clone()).answered_from("local"),
            case("C01", "by a deploy key: its creator", discover(&key_actor(PUSH_DEPLOY_KEY)), 200).body_equals(developer.clone()),
            case("C02", "by name", discover("name:developer"), 200).body_equals(developer.clone()).answered_from("local"),
            case("C02", "by name in other letters", anything.clone().with("username", "DevELOPER"), 200).body_equals(developer.clone()),
            case("C02", "by number", discover("user:developer"), 200).body_equals(developer.clone()).answered_from("local"),
            case("C03", "an unknown key", discover("key:9999"), 200).body_equals(nobody.clone()),
            case("C03", "an unknown key with a known user", discover("key:9999").with("user_id", 4), 200).body_equals(nobody.clone()),
            case("C03", "key 0", discover("key:0"), 200).body_equals(nobody.clone()),
            case("C04", "something else", anything.with("nothing", "to find a user"), 200).body_equals(nobody.clone()),
            case("C05", "a key that only signs", discover(&key_actor(SIGNING_KEY)), 200).body_equals(nobody),
            case("C06", "a key that only logs in", discover(&key_actor(AUTH_ONLY_KEY)), 200).body_equals(developer),
        ],
    );
}
