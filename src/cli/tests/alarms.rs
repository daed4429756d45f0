//! Every kind of alarm of the three daemons, with what to do. What each says is written in docs/reference.md alone, and must be there.

use std::collections::BTreeSet;

use crate::api::standing_alarm::AlarmKind;
use crate::cli::tests::document::{Row, assert_table, code, rows};
use crate::mirror::alarms::AlarmReason;
use crate::primary::alarm_kinds::{EVENTS, STANDING};
use crate::replica::state::alarm::Alarm;
use crate::sidecar::alarm_kinds::OWN;

const HEADING: &str = "Alarms";

/// A kind of a daemon, and whether it stands until its cause is gone or is only counted.
type Known = (&'static str, AlarmKind, &'static str);

fn known() -> Vec<Known> {
    let following = Alarm::ALL.map(|alarm| ("sidecar", AlarmKind { name: alarm.as_str(), remedy: alarm.remedy() }, "stands"));
    let publishers = ["primary", "mirror"].into_iter().flat_map(|daemon| {
        STANDING
            .into_iter()
            .map(move |kind| (daemon, kind, "stands"))
            .chain(EVENTS.into_iter().map(move |kind| (daemon, kind, "is counted")))
    });
    let mirror = AlarmReason::ALL.map(|reason| ("mirror", AlarmKind { name: reason.as_str(), remedy: reason.remedy() }, "stands"));
    following.into_iter().chain(OWN.map(|kind| ("sidecar", kind, "stands"))).chain(publishers).chain(mirror).collect()
}

/// Returns one row for each kind and remedy, with all daemons that have it.
fn expected(known: &[Known], written: &[Row]) -> Vec<Row> {
    let mut merged: Vec<(AlarmKind, Vec<&str>, &str)> = Vec::new();
    for (daemon, kind, how) in known {
        match merged.iter_mut().find(|(other, ..)| other == kind) {
            Some((_, daemons, _)) => daemons.push(daemon),
            None => merged.push((*kind, vec![daemon], how)),
        }
    }
    let row = |(kind, daemons, how): (AlarmKind, Vec<&str>, &str)| {
        let (name, daemons) = (code(kind.name), daemons.join(", "));
        let says = written.iter().find(|row| row[0] == name && row[1] == daemons).map_or("–", |row| &row[3]).to_owned();
        vec![name, daemons, how.to_owned(), says, kind.remedy.to_owned()]
    };
    merged.into_iter().map(row).collect()
}

#[test]
fn every_kind_of_alarm_is_in_the_reference_and_no_other_is() {
    let expected = expected(&known(), &rows(HEADING));
    assert_table(HEADING, &["kind", "daemons", "it", "what it says", "what to do"], &expected);
    for row in rows(HEADING) {
        assert_ne!(row[3], "–", "docs/reference.md does not say what {} says", row[0]);
    }
}

/// Returns the words of code between two places of a document.
fn words_between(text: &str, from: &str, to: &str) -> BTreeSet<String> {
    let (_, after) = text.split_once(from).unwrap_or_else(|| panic!("{from}"));
    let (part, _) = after.split_once(to).unwrap_or_else(|| panic!("{to}"));
    part.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn names(daemon: &str, how: &str) -> BTreeSet<String> {
    known().iter().filter(|(of, _, is)| *of == daemon && *is == how).map(|(_, kind, _)| kind.name.to_owned()).collect()
}

#[test]
fn the_page_of_the_status_names_every_kind_of_alarm_that_stands() {
    let status = include_str!("../../../docs/status.md");
    assert_eq!(words_between(status, "The kinds of alarm of a sidecar:", "Of a primary:"), names("sidecar", "stands"));
    assert_eq!(words_between(status, "Of a primary:", "Of a mirror"), names("primary", "stands"));
    let of_mirror: BTreeSet<String> = AlarmReason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(words_between(status, "Of a mirror", "\n\n"), of_mirror);
    let gitlab = include_str!("../../../docs/gitlab.md");
    let (_, table) = gitlab.split_once("\n## Alarms\n").unwrap();
    let firsts = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |")).map(|(first, _)| format!("`{first}"));
    let in_table: BTreeSet<String> =
        firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(in_table, of_mirror, "the table of docs/gitlab.md");
}
