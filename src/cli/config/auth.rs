//! `[auth]`: the secrets that callers prove themselves with. Only the paths of their files stand in a configuration.

use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::config::parse;

const SHELL_SECRET_FILE: &str = "/etc/sidegate/shell_secret";
/// The file of the secret that followers sign with, at a primary and at its sidecars, if the configuration names none.
pub const SYNC_SECRET_FILE: &str = "/etc/sidegate/sync_secret";

/// The section of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The file of gitlab-shell's secret.
    #[serde(deserialize_with = "parse::path")]
    pub shell_secret_file: PathBuf,
    /// Whether callers that send the secret itself, and no token, are authenticated.
    pub accept_shared_secret: bool,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { shell_secret_file: SHELL_SECRET_FILE.into(), accept_shared_secret: true }
    }
}

/// The section of a primary.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrimaryAuthConfig {
    /// The file of gitlab-shell's secret, which sidecars sign with too.
    #[serde(deserialize_with = "parse::path")]
    pub shell_secret_file: PathBuf,
    /// Whether callers on the Unix socket that send the secret itself, and no token, are authenticated.
    pub accept_shared_secret: bool,
    /// The file of the secret that followers sign with.
    #[serde(deserialize_with = "parse::path")]
    pub sync_secret_file: PathBuf,
    /// The file of the secret of KAS; without it the kubernetes endpoints answer 401.
    #[serde(deserialize_with = "parse::optional_path")]
    pub kas_secret_file: Option<PathBuf>,
    /// The file of the token of subscriptions, minutes and reconciliations.
    #[serde(deserialize_with = "parse::optional_path")]
    pub admin_token_file: Option<PathBuf>,
    /// The file of the token of error tracking; without it that endpoint answers 401.
    #[serde(deserialize_with = "parse::optional_path")]
    pub error_tracking_token_file: Option<PathBuf>,
    /// The file of the token of the fleet page over TCP; without it the page is on the Unix socket only.
    #[serde(deserialize_with = "parse::optional_path")]
    pub fleet_token_file: Option<PathBuf>,
}

/// The section of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MirrorAuthConfig {
    /// The file of gitlab-shell's secret, which questions to GitLab's internal API are signed with unless `[gitlab]` names another.
    #[serde(deserialize_with = "parse::path")]
    pub shell_secret_file: PathBuf,
    /// The file of the secret that followers sign with.
    #[serde(deserialize_with = "parse::path")]
    pub sync_secret_file: PathBuf,
    /// The file of the token of the fleet page over TCP; without it the page is on the Unix socket only.
    #[serde(deserialize_with = "parse::optional_path")]
    pub fleet_token_file: Option<PathBuf>,
}

impl Default for MirrorAuthConfig {
    fn default() -> Self {
        Self { shell_secret_file: SHELL_SECRET_FILE.into(), sync_secret_file: SYNC_SECRET_FILE.into(), fleet_token_file: None }
    }
}

impl Default for PrimaryAuthConfig {
    fn default() -> Self {
        Self {
            shell_secret_file: SHELL_SECRET_FILE.into(),
            accept_shared_secret: true,
            sync_secret_file: SYNC_SECRET_FILE.into(),
            kas_secret_file: None,
            admin_token_file: None,
            error_tracking_token_file: None,
            fleet_token_file: None,
        }
    }
}
