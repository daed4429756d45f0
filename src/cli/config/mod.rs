//! Configuration: TOML, refused when it is not understood, with file, line and key. Loading reads the one file and nothing else:
//! no secret, no name of a user, no socket.
//!
//! [`serve`] and [`primary`] are the two files' shapes, with their defaults and what must hold between keys; the sections that both
//! have are a file each. The shipped samples, the manual pages and this parser are held together by the tests in `samples`.

pub mod document;
pub mod freshness;
pub mod limits;
pub mod log;
pub mod loss_guard;
pub(crate) mod parse;
pub mod peer;
pub mod primary;
pub mod serve;
#[cfg(test)]
pub(crate) mod tests;
pub mod upstream;

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::cli::config::document::{ConfigError, Document, InvalidSetting};

pub use crate::cli::config::primary::PrimaryConfig;
pub use crate::cli::config::serve::ServeConfig;

/// A whole configuration file.
pub trait ConfigFile: DeserializeOwned {
    /// What cannot be said of one key alone: the first thing that is wrong between keys, or beyond their bounds.
    fn validate(&self) -> Result<(), InvalidSetting>;
}

/// Reads a configuration file.
pub fn load<C: ConfigFile>(file: &Path) -> Result<C, ConfigError> {
    let text = fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    parse_config(file, &text)
}

/// Reads the text of a configuration; `file` is its name in errors.
pub fn parse_config<C: ConfigFile>(file: &Path, text: &str) -> Result<C, ConfigError> {
    let document = Document::parse(file, text)?;
    let config: C = document.deserialize()?;
    config.validate().map_err(|fault| document.locate(fault))?;
    Ok(config)
}
