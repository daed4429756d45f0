//! A configuration file as text with positions: every error names the file, the line and the key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Why a configuration is refused, for the operator: one line with the file, the line, the key and the reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file as it was named on the command line.
    pub file: PathBuf,
    /// The line, from 1; `None` if the key is not in the file.
    pub line: Option<usize>,
    /// The key with its sections, as `freshness.keys.ttl`; `None` if the error is not about one key.
    pub key: Option<String>,
    /// What is wrong and, where it helps, what to do.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        match &self.key {
            Some(key) => write!(out, ": `{key}`: {}", self.reason),
            None => write!(out, ": {}", self.reason),
        }
    }
}

impl ConfigError {
    pub fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self { file: file.to_owned(), line: None, key: None, reason: format!("the file cannot be read: {error}") }
    }
}

/// An invalid setting, before its line is looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The key with its sections; elements of arrays by number from 0, as `peer.0.scopes`.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl InvalidSetting {
    /// Refuses `key` for `reason` unless `holds`.
    pub fn ensure(holds: bool, key: &str, reason: impl Into<String>) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { key: key.to_owned(), reason: reason.into() }) }
    }
}

/// A file that is valid TOML.
pub struct Document<'a> {
    file: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
}

impl<'a> Document<'a> {
    pub fn parse(file: &'a Path, text: &'a str) -> Result<Self, ConfigError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { file, text, table: table.into_inner() }),
            Err(error) => Err(Self { file, text, table: DeTable::new() }.toml_error(&error)),
        }
    }

    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| self.toml_error(&error))
    }

    pub fn locate(&self, setting: InvalidSetting) -> ConfigError {
        let line = key_offset(&self.table, &setting.key).map(|offset| self.line_number(offset));
        ConfigError { file: self.file.to_owned(), line, key: Some(setting.key), reason: setting.reason }
    }

    fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let offset = error.span().map(|span| span.start);
        ConfigError {
            file: self.file.to_owned(),
            line: offset.map(|offset| self.line_number(offset)),
            key: offset.and_then(|offset| key_at(&self.table, offset)),
            reason: error.message().lines().collect::<Vec<_>>().join("; "),
        }
    }

    fn line_number(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// Returns the innermost key that is, or whose value is, at an offset. The span of a section is only its header, so every section is
/// searched.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let name_is_here = name.span().contains(&offset);
        let inner = inner_key_at(value.get_ref(), offset);
        match inner {
            Some(inner) => Some(format!("{}.{inner}", name.get_ref())),
            None => (name_is_here || value.span().contains(&offset)).then(|| name.get_ref().to_string()),
        }
    })
}

fn inner_key_at(value: &DeValue<'_>, offset: usize) -> Option<String> {
    match value {
        DeValue::Table(table) => key_at(table, offset),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, element)| {
            let inner = inner_key_at(element.get_ref(), offset)?;
            Some(format!("{index}.{inner}"))
        }),
        _ => None,
    }
}

/// Returns the offset of a key or, if the key is absent, of the innermost of its sections that is present.
fn key_offset(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    let inner = rest.and_then(|rest| match value.get_ref() {
        DeValue::Table(table) => key_offset(table, rest),
        DeValue::Array(array) => {
            let (index, rest) = rest.split_once('.').unwrap_or((rest, ""));
            let element = array.get(index.parse::<usize>().ok()?)?;
            let table = element.get_ref().as_table()?;
            key_offset(table, rest).or_else(|| Some(element.span().start))
        }
        _ => None,
    });
    Some(inner.unwrap_or_else(|| key.span().start))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::{Document, InvalidSetting};

    const TEXT: &str =
        "host = \"a\"\n\n[store]\npath = \"/x\"\nlimits = { most = 1, least = 2 }\n\n[[peer]]\nuid = 1\n\n[[peer]]\nuid = 2\n";

    fn located(key: &str) -> String {
        let document = Document::parse(Path::new("x.toml"), TEXT).unwrap();
        document.locate(InvalidSetting { key: key.to_owned(), reason: "no".to_owned() }).to_string()
    }

    #[test]
    fn an_error_is_located_at_its_key_section_or_file() {
        assert_eq!(located("host"), "x.toml:1: `host`: no");
        assert_eq!(located("store.path"), "x.toml:4: `store.path`: no");
        assert_eq!(located("store.limits.least"), "x.toml:5: `store.limits.least`: no");
        assert_eq!(located("store.missing"), "x.toml:3: `store.missing`: no");
        assert_eq!(located("peer.1.uid"), "x.toml:11: `peer.1.uid`: no");
        assert_eq!(located("peer.1.scopes"), "x.toml:10: `peer.1.scopes`: no");
        assert_eq!(located("log.level"), "x.toml: `log.level`: no");
    }

    #[test]
    fn deserialization_errors_name_file_line_and_key() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Store {
            #[serde(rename = "path")]
            _path: u8,
        }
        #[derive(Debug, Deserialize)]
        struct File {
            #[serde(rename = "store")]
            _store: Store,
        }
        let read = |text: &str| {
            Document::parse(Path::new("x.toml"), text).and_then(|document| document.deserialize::<File>()).unwrap_err().to_string()
        };
        assert!(
            read("\n[store]\npath = \"x\"\n").starts_with("x.toml:3: `store.path`: invalid type"),
            "{}",
            read("\n[store]\npath = \"x\"\n")
        );
        assert!(read("[store]\npath = 1\nnew = 1\n").starts_with("x.toml:3: `store.new`: unknown field `new`"));
        assert!(read("[store]\npath = 1\npath = 2\n").starts_with("x.toml:3: "));
        assert!(read("[store\n").starts_with("x.toml:1: "));
    }
}
