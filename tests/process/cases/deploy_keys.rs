//! Group K: deploy keys.
//!
//! Not made: K12 (external authorisation), K14 and whatever else is of deploy tokens, which no SSH host sees.

use super::table::{check, no, row};
use super::world::{self, FOREIGN, PROJECTS, PUSHING, READING, key, pull, push};

const UNKNOWN: &str = "The project you were looking for could not be found or you don't have permission to view it.";
const DOWNLOAD: &str = "You are not allowed to download code from this project.";
const READ_ONLY: &str = "This deploy key does not have write access to this project.";

#[test]
fn a_deploy_key_reaches_the_projects_that_it_is_attached_to() {
    let (reading, pushing, foreign) = (key(READING), key(PUSHING), key(FOREIGN));
    let mut rows = vec![
        row("K03", "attached for reading", push(&reading, "team/private"), 401).is(no(READ_ONLY)),
        row("K03", "attached for reading, its creator blocked", pull(&reading, "team/private"), 200).from("local"),
        row("K04", "foreign, public", push(&foreign, "team/public"), 401).is(no(READ_ONLY)),
        row("K05", "foreign, internal", push(&foreign, "team/internal"), 404).is(no(UNKNOWN)),
        row("K05", "foreign, private", push(&foreign, "team/private"), 404).is(no(UNKNOWN)),
        row("K08", "foreign, public", pull(&foreign, "team/public"), 200).from("local"),
        row("K09", "foreign, public for members", pull(&foreign, "team/public-members"), 401).is(no(DOWNLOAD)),
        row("K09", "foreign, public and switched off", pull(&foreign, "team/public-off"), 401).is(no(DOWNLOAD)),
        row("K10", "attached, archived", push(&pushing, "team/archived"), 401).is(no("You can't push code to an archived project.")),
        row("K11", "attached, switched off", push(&pushing, "team/private-off"), 401)
            .is(no("You are not allowed to push code to this project.")),
    ];
    for (_, project, _, access) in PROJECTS {
        if access == "disabled" {
            rows.push(row("K07", format!("attached, {project}"), pull(&reading, project), 401).is(no(DOWNLOAD)));
            continue;
        }
        rows.push(row("K02", format!("attached with push, {project}"), push(&pushing, project), 200).from("local"));
        rows.push(row("K02", format!("attached with push, {project}"), pull(&pushing, project), 200).from("local"));
        rows.push(row("K06", format!("attached, {project}"), pull(&reading, project), 200).from("local"));
    }
    check(&world::plain(), rows);
}
