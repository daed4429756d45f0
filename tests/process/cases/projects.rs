//! Group J: visibility, role, and the state of the repository.
//!
//! Not made: J20 (designs without an action: the web application's own), J21 and J22 (a checker that takes too long, or gives what is no
//! answer: there is none such here).

use super::table::{Row, check, no, row};
use super::world::{self, FOREIGN, PROJECTS, READING, key, pull, push};

const UNKNOWN: &str = "The project you were looking for could not be found or you don't have permission to view it.";
const DOWNLOAD: &str = "You are not allowed to download code from this project.";
const PUSH: &str = "You are not allowed to push code to this project.";
const UPLOAD: &str = "You are not allowed to upload code for this project.";
const ARCHIVED: &str = "You can't push code to an archived project.";

fn hidden(id: &'static str, who: &str, project: &str) -> [Row; 2] {
    [
        row(id, format!("{who} pulls {project}"), pull(who, project), 404).is(no(UNKNOWN)),
        row(id, format!("{who} pushes {project}"), push(who, project), 404).is(no(UNKNOWN)),
    ]
}

#[test]
fn what_one_may_depends_on_the_project_and_the_role() {
    let web = |row: super::table::Ask| row.with("protocol", "web");
    let mut rows = vec![
        row("J02", "lapsed, by the key", pull("lapsed", "team/private"), 404).is(no(UNKNOWN)),
        row("J05", "an admin", push("admin", "team/private"), 200).from("local"),
        row("J07", "nobody, in the browser", web(pull("nobody", "team/public")), 200).from("local"),
        row("J07", "nobody, in the browser, a push", web(push("nobody", "team/public")), 401).is(no(UPLOAD)),
        row("J14", "a guest, and no repository", pull("guest", "team/hollow"), 404)
            .is(no("A repository for this project does not exist yet.")),
        row("J15", "read-only, a push", push("maintainer", "team/frozen"), 401)
            .is(no("The repository is temporarily read-only. Please try again later.")),
        row("J15", "read-only, a pull", pull("maintainer", "team/frozen"), 200).from("local"),
        row("J16", "archived, a developer pushes", push("developer", "team/archived"), 401).is(no(ARCHIVED)),
        row("J17", "archived, a maintainer pushes", push("maintainer", "team/archived"), 401).is(no(ARCHIVED)),
        row("J17", "in an archived group", push("maintainer", "shelf/low/code"), 401).is(no(ARCHIVED)),
        row("J17", "in an archived group, a pull", pull("maintainer", "shelf/low/code"), 200).from("local"),
        row("J18", "a project that was destroyed", pull("developer", "").without("project").with("gl_repository", "project-9999"), 404)
            .is(no(UNKNOWN)),
        row("J18", "a word that names no kind", pull("developer", "").without("project").with("gl_repository", "thing-1"), 400),
        row("J19", "a path where nothing is", pull("developer", "project/does-not-exist.git"), 404).is(no(UNKNOWN)),
        row("J19", "a path without a namespace", pull("developer", "nothing"), 404)
            .is(no("The namespace you were looking for could not be found.")),
        row("J19", "no path", pull("developer", "").without("project"), 404)
            .is(no("The namespace you were looking for could not be found.")),
    ];
    rows.extend(hidden("J03", "awaiting", "team/private"));
    rows.extend(hidden("J03", "lapsed", "team/private"));
    rows.extend(hidden("J04", "outsider", "team/private"));
    for who in ["maintainer", "developer", "owner"] {
        rows.push(row("J09", who, push(who, "team/private"), 200).from("local"));
    }
    for who in ["reporter", "planner", "guest"] {
        rows.push(row("J10", who, push(who, "team/private"), 401).is(no(PUSH)).from("forwarded"));
    }
    for protocol in ["ssh", "http"] {
        let ask = push("outsider", "team/private").with("protocol", protocol);
        rows.push(row("J13", format!("a push over {protocol}"), ask, 404).is(no(UNKNOWN)));
    }
    rows.push(row("J13", "a push to a public project", push("outsider", "team/public"), 401).is(no(PUSH)));
    check(&world::plain(), rows);
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
    let foreign = key(FOREIGN);
    let attached = key(READING);
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
            let (given, ask) = (format!("{who} pulls {project}"), pull(who, project));
            rows.push(match gets {
                C => row("J", given, ask, 200).from("local"),
                N => row("J", given, ask, 401).is(no(DOWNLOAD)),
                P => row("J", given, ask, 404).is(no(UNKNOWN)),
            });
        }
    }
    check(&world::plain(), rows);
}
