//! Every key of a configuration has exactly one class, and its change is found as its change and no other.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::cli::config::file::ConfigFile;
use crate::cli::config::mirror::MirrorConfig;
use crate::cli::config::primary::PrimaryConfig;
use crate::cli::config::serve::ServeConfig;
use crate::cli::config::tests::{
    MIRROR_FILES, MIRROR_SECTIONS, PRIMARY_FILES, PRIMARY_SECTIONS, SIDECAR_FILES, SIDECAR_SECTIONS, all_accepted_keys, uncomment_settings,
};
use crate::cli::exit_status::CommandError;
use crate::cli::reload::report::ReloadReport;
use crate::cli::reload::setting::{ChangedKey, Comparison, ReloadClass, Setting, compare};
use crate::cli::reload::{mirror, primary, sidecar};

/// The value of a key in another form of the same kind.
fn altered(key: &str, value: &Value) -> Value {
    let word = match (key, value.as_str()) {
        ("primary.feed", _) => Some("none".to_owned()),
        ("creation.repositories", _) => Some("none".to_owned()),
        ("log.level", _) => Some("debug".to_owned()),
        ("log.target", _) => Some("stderr".to_owned()),
        ("socket.mode", _) => Some("0600".to_owned()),
        (_, Some(text)) if text.starts_with(|letter: char| letter.is_ascii_digit()) && text.contains(':') => Some("127.0.0.1:1".to_owned()),
        (_, Some(text)) if text.starts_with(|letter: char| letter.is_ascii_digit()) => Some(format!("7{text}")),
        (_, Some(text)) => Some(format!("{text}/x")),
        _ => None,
    };
    match value {
        _ if key == "metrics.listen" => Value::String("127.0.0.1:1".to_owned()),
        Value::String(_) => Value::String(word.unwrap_or_default()),
        Value::Integer(number) => Value::Integer(number + 1),
        Value::Float(number) => Value::Float(number / 2.0),
        Value::Boolean(truth) => Value::Boolean(!truth),
        Value::Array(_) if key == "peer" => Value::Array(Vec::new()),
        Value::Array(_) => Value::Array(vec![Value::String("keys".to_owned())]),
        other => panic!("{key} is {other}"),
    }
}

fn with_altered(table: &Table, key: &str) -> Table {
    let mut table = table.clone();
    let mut place = &mut table;
    let (sections, name) = key.rsplit_once('.').map_or((Vec::new(), key), |(sections, name)| (sections.split('.').collect(), name));
    for section in sections {
        place = place.entry(section).or_insert_with(|| Value::Table(Table::new())).as_table_mut().unwrap();
    }
    let value = place.get(name).unwrap_or_else(|| panic!("the sample has no {key}"));
    let value = altered(key, value);
    place.insert(name.to_owned(), value);
    table
}

fn read<C: DeserializeOwned>(table: &Table) -> C {
    toml::from_str(&table.to_string()).unwrap_or_else(|error| panic!("{error}\n{table}"))
}

/// Returns the lists of a comparison as names.
fn names(found: &Comparison) -> [BTreeSet<&'static str>; 3] {
    let keys = |changed: &[ChangedKey]| changed.iter().map(|changed| changed.key).collect();
    [keys(&found.applied), keys(&found.needs_restart), found.unchanged.iter().copied().collect()]
}

fn sample(text: &str) -> Table {
    uncomment_settings(text).parse().unwrap()
}

fn assert_each_key_has_one_class<C: ConfigFile + std::fmt::Debug>(settings: &'static [Setting<C>], text: &str, sections: &[&str]) {
    let mut keys: BTreeSet<String> = all_accepted_keys::<C>("", sections).into_iter().filter(|key| !key.starts_with("peer.")).collect();
    keys.extend(sections.contains(&"peer").then(|| "peer".to_owned()));
    let classed: Vec<String> = settings.iter().map(|setting| setting.key.to_owned()).collect();
    assert_eq!(classed.iter().cloned().collect::<BTreeSet<_>>(), keys, "the table of reloads and the parser");
    assert_eq!(classed.len(), keys.len(), "a key has two classes");
    let before = sample(text);
    for setting in settings {
        let (from, to): (C, C) = (read(&before), read(&with_altered(&before, setting.key)));
        let found = compare(settings, &from, &from, &to);
        let [applied, needs_restart, unchanged] = names(&found);
        let (here, other) = match setting.class {
            ReloadClass::Live | ReloadClass::OfUpstream => (applied, needs_restart),
            ReloadClass::Restart | ReloadClass::Upstream => (needs_restart, applied),
        };
        assert_eq!((here, other), (BTreeSet::from([setting.key]), BTreeSet::new()), "{}: {found:?}", setting.key);
        assert_eq!(unchanged.len(), settings.len() - 1, "{}", setting.key);
        assert_eq!(found.moves_upstream, setting.class == ReloadClass::Upstream, "{}", setting.key);
    }
}

#[test]
fn every_key_of_a_sidecar_is_in_exactly_one_class_of_reload() {
    assert_each_key_has_one_class::<ServeConfig>(sidecar::SETTINGS, SIDECAR_FILES.0, &SIDECAR_SECTIONS);
}

#[test]
fn every_key_of_a_primary_is_in_exactly_one_class_of_reload() {
    assert_each_key_has_one_class::<PrimaryConfig>(primary::SETTINGS, PRIMARY_FILES.0, &PRIMARY_SECTIONS);
}

#[test]
fn every_key_of_a_mirror_is_in_exactly_one_class_of_reload() {
    assert_each_key_has_one_class::<MirrorConfig>(mirror::SETTINGS, MIRROR_FILES.0, &MIRROR_SECTIONS);
}

/// The keys that docs/reload.md lists in the row of a class, for one daemon.
fn documented(daemon: &str, class: &str) -> BTreeSet<String> {
    let text = include_str!("../../../docs/reload.md");
    let row = text.lines().find(|line| line.starts_with(&format!("| {daemon} | {class} |"))).unwrap_or_else(|| panic!("{daemon}, {class}"));
    row.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn assert_documented<C>(settings: &[Setting<C>], daemon: &str) {
    for (class, row) in [
        (ReloadClass::Live, "a reload"),
        (ReloadClass::OfUpstream, "a reload, with the peer's address a restart"),
        (ReloadClass::Restart, "a restart"),
        (ReloadClass::Upstream, "a restart, the peer's address"),
    ] {
        let keys: BTreeSet<String> =
            settings.iter().filter(|setting| setting.class == class).map(|setting| setting.key.to_owned()).collect();
        if !keys.is_empty() {
            assert_eq!(documented(daemon, row), keys, "{daemon}: {row}");
        }
    }
}

#[test]
fn the_documentation_says_of_every_key_what_its_change_needs() {
    assert_documented(sidecar::SETTINGS, "sidecar");
    assert_documented(primary::SETTINGS, "primary");
    assert_documented(mirror::SETTINGS, "mirror");
}

proptest! {
    #[test]
    fn of_any_keys_that_change_together_each_is_found_once_and_no_other(chosen in prop::collection::vec(any::<bool>(), sidecar::SETTINGS.len())) {
        let before = sample(SIDECAR_FILES.0);
        let chosen: Vec<&Setting<ServeConfig>> = sidecar::SETTINGS.iter().zip(chosen).filter_map(|(setting, is)| is.then_some(setting)).collect();
        let after = chosen.iter().fold(before.clone(), |table, setting| with_altered(&table, setting.key));
        let (from, to): (ServeConfig, ServeConfig) = (read(&before), read(&after));
        let found = compare(sidecar::SETTINGS, &from, &from, &to);
        let [applied, needs_restart, unchanged] = names(&found);
        let changed: BTreeSet<_> = chosen.iter().map(|setting| setting.key).collect();
        prop_assert!(applied.is_disjoint(&needs_restart));
        prop_assert_eq!(applied.union(&needs_restart).copied().collect::<BTreeSet<_>>(), changed);
        prop_assert_eq!(applied.len() + needs_restart.len() + unchanged.len(), sidecar::SETTINGS.len());
        // What is shown to a primary is not shown to the one before it.
        let shown = |setting: &&Setting<ServeConfig>| setting.class == ReloadClass::OfUpstream && applied.contains(setting.key);
        prop_assert!(!found.moves_upstream || !sidecar::SETTINGS.iter().any(|setting| shown(&setting)));
        // What was reloaded is not said again, and what needs a restart is.
        let again = compare(sidecar::SETTINGS, &from, &to, &to);
        prop_assert_eq!(names(&again)[0].len(), 0);
        let restarts = chosen.iter().filter(|setting| matches!(setting.class, ReloadClass::Restart | ReloadClass::Upstream)).count();
        prop_assert_eq!(names(&again)[1].len(), restarts);
    }
}

#[test]
fn a_report_names_each_key_with_both_values_secrets_as_changed_and_the_restart() {
    let change = |key, from: &str, to: &str| ChangedKey { key, from: from.to_owned(), to: to.to_owned() };
    let nothing = ReloadReport::of(&Comparison::default(), &[], "sidegate");
    assert_eq!(nothing.summary(), "reloaded: nothing has changed");
    let changes = Comparison {
        applied: vec![change("log.level", "\"info\"", "\"debug\"")],
        needs_restart: vec![change("primary.timeout", "2s", "3s")],
        ..Comparison::default()
    };
    let report = ReloadReport::of(&changes, &["auth.shell_secret_file"], "sidegate");
    assert_eq!(
        report.reloaded,
        "reloaded: `log.level` changed from \"info\" to \"debug\"; what `auth.shell_secret_file` names has changed"
    );
    assert_eq!(report.needs_restart, ["`primary.timeout` changed from 2s to 3s, and needs a restart: `systemctl restart sidegate`"]);
    let refused = ReloadReport::refusal(&CommandError("sidegate.toml:3: `log.level`: no".to_owned()));
    assert_eq!(
        refused.summary(),
        "the reload is refused, and the configuration and secrets from before go on: sidegate.toml:3: `log.level`: no"
    );
}
