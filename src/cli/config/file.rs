//! Loading a configuration file: read, parse, validate.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::cli::config::document::{ConfigError, Document, InvalidSetting};

/// The shape of a whole configuration file.
pub trait ConfigFile: DeserializeOwned {
    /// Checks bounds and what must hold between keys. Returns the first setting that is invalid.
    fn validate(&self) -> Result<(), InvalidSetting>;
}

/// Loads a configuration file.
pub fn load<C: ConfigFile>(file: &Path) -> Result<C, ConfigError> {
    let text = fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    parse(file, &text)
}

/// Parses the text of a configuration; `file` is its name in errors.
pub fn parse<C: ConfigFile>(file: &Path, text: &str) -> Result<C, ConfigError> {
    let document = Document::parse(file, text)?;
    let config: C = document.deserialize()?;
    config.validate().map_err(|invalid| document.locate(invalid))?;
    Ok(config)
}
