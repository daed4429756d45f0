//! `[creation]`: what happens beside the directory when a push creates a project.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::parse;

/// How long the repositories of one project may take. Less than what hosts wait for a push that may create a project.
pub const REPOSITORY_TIME_LIMIT: Duration = Duration::from_secs(10);

/// `[creation]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreationConfig {
    /// What creates the repositories.
    pub repositories: RepositoryMaker,
    /// The certificates that Gitaly's are verified by; `None` for the system's.
    #[serde(deserialize_with = "parse::optional_path")]
    pub ca_file: Option<PathBuf>,
}

/// What creates the repositories of a project that a push creates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepositoryMaker {
    /// This primary, at the Gitaly of the project's storage.
    #[default]
    Gitaly,
    /// Something else.
    None,
}
