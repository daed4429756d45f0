//! Group L: a push to where nothing is.

use serde_json::json;

use super::table::{Row, check, no, row};
use super::world::{self, PUSHING, key, pull, push};
use crate::house::House;

const UNKNOWN: &str = "The project you were looking for could not be found or you don't have permission to view it.";

/// How many projects and snippets there are.
fn made(house: &House) -> (u64, u64) {
    let records = &house.primary_status()["records"];
    (records["project"].as_u64().unwrap(), records["snippet"].as_u64().unwrap())
}

fn missing(id: &'static str, given: &str, ask: super::table::Ask) -> Row {
    row(id, given, ask, 404).is(no(UNKNOWN))
}

#[test]
fn a_push_makes_a_project_only_where_its_person_may() {
    let house = world::own();
    let before = made(&house);
    check(
        &house,
        vec![
            row("L03", "a snippet", push("developer", "snippets/notexist.git"), 404),
            row("L04", "a snippet of no project", push("developer", "developer/notexist/snippets/notexist.git"), 404),
            row("L05", "a snippet below a project", push("developer", "developer/own/notexist/snippets/notexist.git"), 404),
            missing("L06", "a pull in one's own namespace", pull("developer", "developer/fresh")),
            missing("L07", "a push in another's namespace", push("developer", "outsider/fresh")),
            missing("L07", "a pull in another's namespace", pull("developer", "outsider/fresh")),
            missing("L08", "a push of a reporter in the group", push("reporter", "team/fresh")),
            missing("L08", "a push where nobody makes projects", push("developer", "closed/fresh")),
            missing("L08", "a push beyond the number of projects", push("limited", "limited/fresh")),
            missing("L09", "a push of a deploy key", push(&key(PUSHING), "developer/fresh")),
            missing("L09", "a push without changes", push("developer", "developer/fresh").without("changes")),
            row("L10", "a project that is there", push("developer", "developer/own"), 200),
            row("L11", "a name that none can have", push("developer", "developer/-fresh"), 422)
                .says_something_with("Could not create project: "),
        ],
    );
    assert_eq!(made(&house), before, "nothing was made");

    let fresh = |path: &str| json!({"status": true, "gl_project_path": path, "gl_username": "developer"});
    check(
        &house,
        vec![
            row("L01", "a push in one's own namespace", push("developer", "developer/fresh.git"), 200).has(fresh("developer/fresh")).once(),
            row("L02", "a push of a developer in the group", push("developer", "team/fresh"), 200).has(fresh("team/fresh")).once(),
        ],
    );
    assert_eq!(made(&house), (before.0 + 2, before.1));
    house.wait_until_fresh();
    check(
        &house,
        vec![
            row("L01", "it is there, at the sidecar too", pull("developer", "developer/fresh"), 200)
                .has(fresh("developer/fresh"))
                .from("local"),
            missing("L01", "it is private", pull("outsider", "developer/fresh")),
        ],
    );
}
