//! Group Q: may a client report errors? All rows are made; the flag of Q07 is the setting here.

use serde_json::{Value, json};

use super::table::{Row, bare, check};
use super::world::{self, ERROR_TRACKING_TOKEN};
use crate::http::Request;

fn asked(project: u64, key: &str) -> Request {
    Request::form("/api/v4/internal/error_tracking/allowed", &format!("project_id={project}&public_key={key}"))
}

fn with_token(request: Request) -> Request {
    request.header("Gitlab-Error-Tracking-Token", ERROR_TRACKING_TOKEN)
}

fn answer(id: &'static str, given: &str, request: Request, enabled: bool) -> Row {
    bare(id, given, request, 200).is(json!({"enabled": enabled}))
}

#[test]
fn a_client_key_counts_while_it_is_active() {
    let (house, refused) = (world::plain(), json!({"message": "401 Unauthorized"}));
    let form = format!("project_id=10&public_key=active&error_tracking_token={ERROR_TRACKING_TOKEN}");
    let shell = asked(10, "active").header("Gitlab-Shell-Api-Request", &house.shell_token());
    let json = Request::post("/api/v4/internal/error_tracking/allowed", &json!({"project_id": 10, "public_key": "active"}));
    check(
        &house,
        vec![
            bare("Q01", "no token", asked(10, "active"), 401).is(refused.clone()),
            bare("Q01", "another token", asked(10, "active").header("Gitlab-Error-Tracking-Token", "another"), 401).is(refused.clone()),
            bare("Q02", "gitlab-shell's token", shell, 401).is(refused),
            answer("Q02", "the token as a parameter", Request::form("/api/v4/internal/error_tracking/allowed", &form), true),
            bare("Q03", "no key", with_token(asked(10, "")), 422).has(json!({"message": "422 Unprocessable Entity"})),
            bare("Q04", "no such project", with_token(asked(9999, "active")), 404).is(json!({"message": "404 Not found"})),
            answer("Q05", "a key that is switched off", with_token(asked(10, "disabled")), false),
            answer("Q05", "another project's key", with_token(asked(13, "active")), false),
            answer("Q06", "an active key", with_token(asked(10, "active")), true),
            answer("Q06", "the same in JSON", with_token(json), true),
        ],
    );
}

#[test]
fn no_key_counts_where_error_tracking_is_switched_off() {
    let house = world::own();
    world::set(&house, &json!({"error_tracking": Value::Bool(false)}));
    check(&house, vec![answer("Q07", "an active key", with_token(asked(10, "active")), false)]);
}
