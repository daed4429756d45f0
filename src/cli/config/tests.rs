//! The samples that are shipped, the manual pages and the parser name the same keys with the same defaults.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::cli::config::file::{self, ConfigFile};
use crate::cli::config::mirror::MirrorConfig;
use crate::cli::config::primary::PrimaryConfig;
use crate::cli::config::serve::ServeConfig;

pub const SIDECAR_FILES: (&str, &str) =
    (include_str!("../../../packaging/sidegate.toml"), include_str!("../../../docs/sidegate.toml.5.md"));
pub const PRIMARY_FILES: (&str, &str) =
    (include_str!("../../../packaging/primary.toml"), include_str!("../../../docs/sidegate-primary.toml.5.md"));

pub const MIRROR_FILES: (&str, &str) =
    (include_str!("../../../packaging/mirror.toml"), include_str!("../../../docs/sidegate-mirror.toml.5.md"));

/// The sections of each.
pub const SIDECAR_SECTIONS: [&str; 15] = [
    "socket",
    "auth",
    "peer",
    "primary",
    "feed",
    "store",
    "freshness",
    "freshness.keys",
    "freshness.reads",
    "freshness.push_precheck",
    "freshness.mass_negative",
    "freshness.loss_guard",
    "limits",
    "metrics",
    "log",
];
pub const PRIMARY_SECTIONS: [&str; 10] =
    ["socket", "listen", "auth", "store", "sync", "sync.loss_guard", "creation", "limits", "metrics", "log"];
pub const MIRROR_SECTIONS: [&str; 12] =
    ["socket", "listen", "auth", "gitlab", "hooks", "walk", "store", "sync", "sync.loss_guard", "limits", "metrics", "log"];

/// Returns the sample with every setting in force: `#key` and `#[section]` lose their `#`, `# prose` stays.
pub fn uncomment_settings(sample: &str) -> String {
    let setting = |rest: &&str| rest.starts_with(|letter: char| letter == '[' || letter.is_ascii_lowercase());
    let lines = sample.lines().map(|line| line.strip_prefix('#').filter(setting).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns every key with its sections. All elements of an array of sections are one section.
fn key_paths(table: &Table) -> BTreeSet<String> {
    table.iter().flat_map(|(name, value)| key_paths_under(name, value)).collect()
}

fn key_paths_under(name: &str, value: &Value) -> Vec<String> {
    let below = |table: &Table| key_paths(table).into_iter().map(|key| format!("{name}.{key}")).collect();
    match value {
        Value::Table(table) => below(table),
        Value::Array(elements) if elements.iter().all(Value::is_table) => {
            elements.iter().filter_map(Value::as_table).flat_map(below).collect()
        }
        _ => vec![name.to_owned()],
    }
}

/// Returns the keys that the parser accepts in a section, out of its error about an unknown key.
fn accepted_keys<C: ConfigFile + std::fmt::Debug>(section: &str) -> BTreeSet<String> {
    let text = match section {
        "" => "no_such_key = 1".to_owned(),
        "peer" => "[[peer]]\nno_such_key = 1".to_owned(),
        _ => format!("[{section}]\nno_such_key = 1"),
    };
    let reason = file::parse::<C>(Path::new("x"), &text).unwrap_err().reason;
    let (_, expected) = reason.split_once("expected").unwrap_or_else(|| panic!("{section}: {reason}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

pub fn all_accepted_keys<C: ConfigFile + std::fmt::Debug>(section: &str, sections: &[&str]) -> BTreeSet<String> {
    let full = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let names = accepted_keys::<C>(section).into_iter().map(|name| full(&name));
    names
        .flat_map(|name| if sections.contains(&name.as_str()) { all_accepted_keys::<C>(&name, sections) } else { BTreeSet::from([name]) })
        .collect()
}

/// Returns the keys of a manual page, with their defaults. Each is a heading: `### section.key = default`, or without a default.
fn documented_keys(manual: &str) -> Vec<(String, Option<String>)> {
    let headings = manual.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    headings
        .map(|heading| heading.split_once(" = ").map_or((heading.into(), None), |(key, value)| (key.into(), Some(value.into()))))
        .collect()
}

/// Keys that have no default that could be written down, and those of sections that are absent by default.
const KEYS_WITHOUT_DEFAULT: [&str; 8] =
    ["host", "peer.user", "peer.group", "peer.uid", "peer.gid", "peer.scopes", "listen.address", "hooks.listen"];

fn assert_sample_manual_parser_agree<C: ConfigFile + std::fmt::Debug + Default + PartialEq>(
    (sample, manual): (&str, &str),
    sections: &[&str],
    alternatives: &[&str],
) {
    let (as_shipped, all) = (Path::new("as shipped"), uncomment_settings(sample));
    assert_eq!(file::parse::<C>(as_shipped, sample), Ok(C::default()));
    let table: Table = all.parse().unwrap();
    file::parse::<C>(Path::new("all in force"), &all).unwrap();

    let parsed = all_accepted_keys::<C>("", sections);
    let in_sample: BTreeSet<String> = key_paths(&table).into_iter().chain(alternatives.iter().map(|&key| key.to_owned())).collect();
    assert_eq!(in_sample, parsed, "the sample and the parser");
    let in_manual = documented_keys(manual);
    assert_eq!(in_manual.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>(), parsed, "the manual and the parser");
    assert_eq!(in_manual.len(), parsed.len(), "the manual names a key twice");
    for (key, default) in in_manual {
        let written = key.split('.').try_fold(Value::Table(table.clone()), |value, name| value.get(name).cloned());
        match default {
            None => assert!(KEYS_WITHOUT_DEFAULT.contains(&key.as_str()), "the manual has no default of {key}"),
            Some(default) => assert_eq!(written.map(|value| value.to_string()), Some(default), "{key} in the sample and in the manual"),
        }
    }
}

/// With every optional section left out, the sample states the defaults of the parser.
fn assert_sample_states_defaults<C: ConfigFile + std::fmt::Debug + Default + PartialEq>(sample: &str, optional: &[&str]) {
    let mut table: Table = uncomment_settings(sample).parse().unwrap();
    table.retain(|name, _| !optional.contains(&name));
    assert_eq!(file::parse::<C>(Path::new("x"), &table.to_string()), Ok(C::default()));
}

#[test]
fn the_sidecar_s_sample_manual_and_parser_hold_together() {
    assert_sample_manual_parser_agree::<ServeConfig>(SIDECAR_FILES, &SIDECAR_SECTIONS, &["peer.group", "peer.uid", "peer.gid"]);
    assert_sample_states_defaults::<ServeConfig>(SIDECAR_FILES.0, &["host", "peer"]);
}

#[test]
fn the_primary_s_sample_manual_and_parser_hold_together() {
    assert_sample_manual_parser_agree::<PrimaryConfig>(PRIMARY_FILES, &PRIMARY_SECTIONS, &[]);
    assert_sample_states_defaults::<PrimaryConfig>(PRIMARY_FILES.0, &["listen"]);
}

#[test]
fn the_mirror_s_sample_manual_and_parser_hold_together() {
    assert_sample_manual_parser_agree::<MirrorConfig>(MIRROR_FILES, &MIRROR_SECTIONS, &[]);
    assert_sample_states_defaults::<MirrorConfig>(MIRROR_FILES.0, &["listen", "hooks"]);
}

#[test]
fn every_setting_of_a_sample_is_explained_on_the_line_before_it() {
    for (sample, _) in [SIDECAR_FILES, PRIMARY_FILES, MIRROR_FILES] {
        let lines: Vec<&str> = sample.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].starts_with('#') && pair[1].contains(" = ") && !pair[1].starts_with("# ")) {
            assert!(pair[0].starts_with("# "), "{}", pair[1]);
        }
    }
}
