//! Group K: deploy keys.
//!
//! Not made: K12 (external authorisation), K14 and whatever else is of deploy tokens, which no SSH host sees.

use crate::support::contract_case::{PROJECT_NOT_FOUND, assert_cases, case, denied_body};
use crate::support::contract_directory::{
    self, OTHER_PROJECT_DEPLOY_KEY, PROJECTS, PUSH_DEPLOY_KEY, READ_DEPLOY_KEY, key_actor, pull, push,
};

const DOWNLOAD: &str = "You are not allowed to download code from this project.";
const READ_ONLY: &str = "This deploy key does not have write access to this project.";

#[test]
fn a_deploy_key_reaches_the_projects_that_it_is_attached_to() {
    let (reading, pushing, foreign) = (key_actor(READ_DEPLOY_KEY), key_actor(PUSH_DEPLOY_KEY), key_actor(OTHER_PROJECT_DEPLOY_KEY));
    let mut rows = vec![
        case("K03", "attached for reading", push(&reading, "team/private"), 401).body_equals(denied_body(READ_ONLY)),
        case("K03", "attached for reading, its creator blocked", pull(&reading, "team/private"), 200).answered_from("local"),
        case("K04", "foreign, public", push(&foreign, "team/public"), 401).body_equals(denied_body(READ_ONLY)),
        case("K05", "foreign, internal", push(&foreign, "team/internal"), 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("K05", "foreign, private", push(&foreign, "team/private"), 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("K08", "foreign, public", pull(&foreign, "team/public"), 200).answered_from("local"),
        case("K09", "foreign, public for members", pull(&foreign, "team/public-members"), 401).body_equals(denied_body(DOWNLOAD)),
        case("K09", "foreign, public and switched off", pull(&foreign, "team/public-off"), 401).body_equals(denied_body(DOWNLOAD)),
        case("K10", "attached, archived", push(&pushing, "team/archived"), 401)
            .body_equals(denied_body("You can't push code to an archived project.")),
        case("K11", "attached, switched off", push(&pushing, "team/private-off"), 401)
            .body_equals(denied_body("You are not allowed to push code to this project.")),
    ];
    for (_, project, _, access) in PROJECTS {
        if access == "disabled" {
            rows.push(case("K07", format!("attached, {project}"), pull(&reading, project), 401).body_equals(denied_body(DOWNLOAD)));
            continue;
        }
        rows.push(case("K02", format!("attached with push, {project}"), push(&pushing, project), 200).answered_from("local"));
        rows.push(case("K02", format!("attached with push, {project}"), pull(&pushing, project), 200).answered_from("local"));
        rows.push(case("K06", format!("attached, {project}"), pull(&reading, project), 200).answered_from("local"));
    }
    assert_cases(&contract_directory::shared_env(), rows);
}
