//! Group J: visibility, role, and the state of the repository.
//!
//! Not made: J20 (designs without an action: the web application's own), J21 and J22 (a checker that takes too long, or gives what is no
//! answer: there is none such here).

use crate::support::contract_case::{ContractCase, PROJECT_NOT_FOUND, assert_cases, case, denied_body};
use crate::support::contract_directory::{self, OTHER_PROJECT_DEPLOY_KEY, PROJECTS, READ_DEPLOY_KEY, key_actor, pull, push};

const DOWNLOAD: &str = "You are not allowed to download code from this project.";
const PUSH: &str = "You are not allowed to push code to this project.";
const UPLOAD: &str = "You are not allowed to upload code for this project.";
const ARCHIVED: &str = "You can't push code to an archived project.";

fn not_found_cases(id: &'static str, who: &str, project: &str) -> [ContractCase; 2] {
    [
        case(id, format!("{who} pulls {project}"), pull(who, project), 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
        case(id, format!("{who} pushes {project}"), push(who, project), 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
    ]
}

#[test]
fn access_depends_on_the_project_and_the_role() {
    let web = |row: crate::support::contract_case::ApiCall| row.with("protocol", "web");
    let mut rows = vec![
        case("J02", "lapsed, by the key", pull("lapsed", "team/private"), 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("J05", "an admin", push("admin", "team/private"), 200).answered_from("local"),
        case("J07", "nobody, in the browser", web(pull("nobody", "team/public")), 200).answered_from("local"),
        case("J07", "nobody, in the browser, a push", web(push("nobody", "team/public")), 401).body_equals(denied_body(UPLOAD)),
        case("J14", "a guest, and no repository", pull("guest", "team/hollow"), 404)
            .body_equals(denied_body("A repository for this project does not exist yet.")),
        case("J15", "read-only, a push", push("maintainer", "team/frozen"), 401)
            .body_equals(denied_body("The repository is temporarily read-only. Please try again later.")),
        case("J15", "read-only, a pull", pull("maintainer", "team/frozen"), 200).answered_from("local"),
        case("J16", "archived, a developer pushes", push("developer", "team/archived"), 401).body_equals(denied_body(ARCHIVED)),
        case("J17", "archived, a maintainer pushes", push("maintainer", "team/archived"), 401).body_equals(denied_body(ARCHIVED)),
        case("J17", "in an archived group", push("maintainer", "shelf/low/code"), 401).body_equals(denied_body(ARCHIVED)),
        case("J17", "in an archived group, a pull", pull("maintainer", "shelf/low/code"), 200).answered_from("local"),
        case("J18", "a project that was destroyed", pull("developer", "").without("project").with("gl_repository", "project-9999"), 404)
            .body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("J18", "a word that names no kind", pull("developer", "").without("project").with("gl_repository", "thing-1"), 400),
        case("J19", "a path where nothing is", pull("developer", "project/does-not-exist.git"), 404)
            .body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("J19", "a path without a namespace", pull("developer", "nothing"), 404)
            .body_equals(denied_body("The namespace you were looking for could not be found.")),
        case("J19", "no path", pull("developer", "").without("project"), 404)
            .body_equals(denied_body("The namespace you were looking for could not be found.")),
    ];
    rows.extend(not_found_cases("J03", "awaiting", "team/private"));
    rows.extend(not_found_cases("J03", "lapsed", "team/private"));
    rows.extend(not_found_cases("J04", "outsider", "team/private"));
    for who in ["maintainer", "developer", "owner"] {
        rows.push(case("J09", who, push(who, "team/private"), 200).answered_from("local"));
    }
    for who in ["reporter", "planner", "guest"] {
        rows.push(case("J10", who, push(who, "team/private"), 401).body_equals(denied_body(PUSH)).answered_from("forwarded"));
    }
    for protocol in ["ssh", "http"] {
        let call = push("outsider", "team/private").with("protocol", protocol);
        rows.push(case("J13", format!("a push over {protocol}"), call, 404).body_equals(denied_body(PROJECT_NOT_FOUND)));
    }
    rows.push(case("J13", "a push to a public project", push("outsider", "team/public"), 401).body_equals(denied_body(PUSH)));
    assert_cases(&contract_directory::shared_env(), rows);
}

/// The table of downloads: of each project, what each actor gets.
#[test]
fn downloads_are_as_visibility_access_and_role_have_it() {
    enum Gets {
        Code,
        NoCode,
        NoProject,
    }
    use Gets::{Code as C, NoCode as N, NoProject as P};
    let foreign = key_actor(OTHER_PROJECT_DEPLOY_KEY);
    let attached = key_actor(READ_DEPLOY_KEY);
    let actors = ["nobody", "external", "outsider", "guest", "planner", "reporter", "owner", attached.as_str(), foreign.as_str()];
    let table = [
        [P, P, P, N, N, C, C, C, P],
        [P, P, P, N, N, C, C, C, P],
        [P, P, P, N, N, N, N, N, P],
        [P, P, C, C, C, C, C, C, P],
        [P, P, N, C, C, C, C, C, P],
        [P, P, N, N, N, N, N, N, P],
        [C, C, C, C, C, C, C, C, C],
        [N, N, N, C, C, C, C, C, N],
        [N, N, N, N, N, N, N, N, N],
    ];
    let mut rows = Vec::new();
    for ((_, project, ..), gets) in PROJECTS.iter().zip(table) {
        for (who, gets) in actors.iter().zip(gets) {
            let (given, call) = (format!("{who} pulls {project}"), pull(who, project));
            rows.push(match gets {
                C => case("J", given, call, 200).answered_from("local"),
                N => case("J", given, call, 401).body_equals(denied_body(DOWNLOAD)),
                P => case("J", given, call, 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
            });
        }
    }
    assert_cases(&contract_directory::shared_env(), rows);
}
