//! Every key of the three configurations: those that the parsers take, with what their manual pages and the tables of reloads say.

use crate::cli::config::file::ConfigFile;
use crate::cli::config::mirror::MirrorConfig;
use crate::cli::config::primary::PrimaryConfig;
use crate::cli::config::serve::ServeConfig;
use crate::cli::config::tests::{
    MIRROR_FILES, MIRROR_SECTIONS, PRIMARY_FILES, PRIMARY_SECTIONS, SIDECAR_FILES, SIDECAR_SECTIONS, all_accepted_keys,
};
use crate::cli::reload::setting::{ReloadClass, Setting};
use crate::cli::reload::{mirror, primary, sidecar};
use crate::cli::tests::document::{Row, assert_table, code};

/// What a manual page says of one key: the heading `key = default`, and the paragraph below it.
struct ManualEntry<'a> {
    heading: &'a str,
    text: String,
}

impl<'a> ManualEntry<'a> {
    fn all(manual: &'a str) -> impl Iterator<Item = Self> {
        manual.split("\n### `").skip(1).filter_map(|part| {
            let (heading, rest) = part.split_once("`\n")?;
            let text = rest.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
            Some(Self { heading, text })
        })
    }

    fn key(&self) -> &'a str {
        self.heading.split_once(" = ").map_or(self.heading, |(key, _)| key)
    }

    fn default(&self) -> String {
        self.heading.split_once(" = ").map_or_else(|| "–".to_owned(), |(_, value)| code(value))
    }

    /// The anchor that a heading has: its letters, digits, `-` and `_`, and `-` for each space.
    fn anchor(&self) -> String {
        let kept = self
            .heading
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || ['-', '_', ' '].contains(letter))
            .collect::<String>();
        kept.replace(' ', "-")
    }

    fn first_sentence(&self) -> &str {
        self.text.split_once(". ").map_or(self.text.trim_end_matches('.'), |(first, _)| first)
    }
}

fn add<C: ConfigFile + std::fmt::Debug>(
    (file, page): (&str, &str),
    manual: &str,
    sections: &[&str],
    settings: &[Setting<C>],
    rows: &mut Vec<Row>,
) {
    let mut keys = all_accepted_keys::<C>("", sections);
    for entry in ManualEntry::all(manual) {
        let key = entry.key();
        assert!(keys.remove(key), "{page} has {key} twice, or {file} does not take it");
        let class =
            settings.iter().find(|setting| setting.key == key || key.split_once('.').is_some_and(|(section, _)| section == setting.key));
        let change = match class.unwrap_or_else(|| panic!("{key} is in no class of reload")).class {
            ReloadClass::Live | ReloadClass::OfUpstream => "a reload",
            ReloadClass::Restart | ReloadClass::Upstream => "a restart",
        };
        let says = entry.first_sentence();
        assert!(!says.is_empty(), "{page} says nothing of {key}");
        rows.push(vec![code(file), format!("[`{key}`]({page}#{})", entry.anchor()), entry.default(), change.to_owned(), says.to_owned()]);
    }
    assert!(keys.is_empty(), "{page} says nothing of {keys:?}");
}

#[test]
fn every_key_of_a_configuration_is_in_the_reference_and_no_other_is() {
    let mut rows = Vec::new();
    add::<ServeConfig>(("sidegate.toml", "sidegate.toml.5.md"), SIDECAR_FILES.1, &SIDECAR_SECTIONS, sidecar::SETTINGS, &mut rows);
    add::<PrimaryConfig>(("primary.toml", "sidegate-primary.toml.5.md"), PRIMARY_FILES.1, &PRIMARY_SECTIONS, primary::SETTINGS, &mut rows);
    add::<MirrorConfig>(("mirror.toml", "sidegate-mirror.toml.5.md"), MIRROR_FILES.1, &MIRROR_SECTIONS, mirror::SETTINGS, &mut rows);
    assert_table("Keys of the configurations", &["file", "key", "default", "a change needs", "what it says"], &rows);
}
