//! `[store]`: the folder of a daemon and the memory that it takes. A sidecar's section says besides how much of a GitLab's answers is kept.

use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer};

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::store::generations::generation::StoreOptions;

const SIDECAR_FOLDER: &str = "/var/lib/sidegate";
const PRIMARY_FOLDER: &str = "/var/lib/sidegate-primary";
const MIRROR_FOLDER: &str = "/var/lib/sidegate-mirror";
/// A smaller cache costs more than it saves.
const MIN_PAGE_CACHE_BYTES: usize = 1 << 20;
/// Less would keep hardly anything.
const MIN_KEPT_BYTES: usize = 1 << 20;

/// The section, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The folder of the store.
    pub path: PathBuf,
    /// The memory that the store's pages may take, in bytes.
    pub page_cache: usize,
    /// How many decoded records are cached.
    pub record_cache: usize,
}

/// The section of a sidecar, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarStoreConfig {
    /// What it has in common with the primary's.
    pub common: StoreConfig,
    /// How many answers of a GitLab are kept.
    pub kept_answers: usize,
    /// How many bytes they may take.
    pub kept_bytes: usize,
}

/// The section of a sidecar as it is written.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSidecarStore {
    #[serde(deserialize_with = "parse::optional_absolute_path")]
    path: Option<PathBuf>,
    #[serde(deserialize_with = "parse::size")]
    page_cache: usize,
    record_cache: usize,
    kept_answers: usize,
    #[serde(deserialize_with = "parse::size")]
    kept_bytes: usize,
}

impl Default for RawSidecarStore {
    fn default() -> Self {
        let RawStore { path, page_cache, record_cache } = RawStore::default();
        Self { path, page_cache, record_cache, kept_answers: 1_000_000, kept_bytes: 256 << 20 }
    }
}

impl From<RawSidecarStore> for SidecarStoreConfig {
    fn from(section: RawSidecarStore) -> Self {
        let RawSidecarStore { path, page_cache, record_cache, kept_answers, kept_bytes } = section;
        Self { common: RawStore { path, page_cache, record_cache }.or_path(SIDECAR_FOLDER), kept_answers, kept_bytes }
    }
}

impl SidecarStoreConfig {
    /// Returns the section if none is written.
    pub fn sidecar_default() -> Self {
        RawSidecarStore::default().into()
    }

    pub fn validate(&self) -> Result<(), InvalidSetting> {
        self.common.validate()?;
        InvalidSetting::ensure((1..=100_000_000).contains(&self.kept_answers), "store.kept_answers", "must be from 1 to 100000000")?;
        InvalidSetting::ensure(self.kept_bytes >= MIN_KEPT_BYTES, "store.kept_bytes", "must be at least 1MiB")
    }
}

/// The section as it is written.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStore {
    #[serde(deserialize_with = "parse::optional_absolute_path")]
    path: Option<PathBuf>,
    #[serde(deserialize_with = "parse::size")]
    page_cache: usize,
    record_cache: usize,
}

impl Default for RawStore {
    fn default() -> Self {
        Self { path: None, page_cache: 32 << 20, record_cache: 65_536 }
    }
}

impl RawStore {
    fn or_path(self, default: &str) -> StoreConfig {
        StoreConfig { path: self.path.unwrap_or_else(|| default.into()), page_cache: self.page_cache, record_cache: self.record_cache }
    }
}

impl StoreConfig {
    /// Returns the primary's section if none is written.
    pub fn primary_default() -> Self {
        RawStore::default().or_path(PRIMARY_FOLDER)
    }

    /// Returns the mirror's section if none is written.
    pub fn mirror_default() -> Self {
        RawStore::default().or_path(MIRROR_FOLDER)
    }

    /// Returns the sizes of the store's caches.
    pub const fn options(&self) -> StoreOptions {
        StoreOptions { page_cache_bytes: self.page_cache as u64, record_cache_entries: self.record_cache }
    }

    pub fn validate(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::ensure(self.page_cache >= MIN_PAGE_CACHE_BYTES, "store.page_cache", "must be at least 1MiB")?;
        InvalidSetting::ensure((1..=100_000_000).contains(&self.record_cache), "store.record_cache", "must be from 1 to 100000000")
    }
}

/// Deserializes the section of a sidecar's configuration.
pub fn sidecar<'de, D: Deserializer<'de>>(from: D) -> Result<SidecarStoreConfig, D::Error> {
    RawSidecarStore::deserialize(from).map(Into::into)
}

/// Deserializes the section of a primary's configuration.
pub fn primary<'de, D: Deserializer<'de>>(from: D) -> Result<StoreConfig, D::Error> {
    RawStore::deserialize(from).map(|section| section.or_path(PRIMARY_FOLDER))
}

/// Deserializes the section of a mirror's configuration.
pub fn mirror<'de, D: Deserializer<'de>>(from: D) -> Result<StoreConfig, D::Error> {
    RawStore::deserialize(from).map(|section| section.or_path(MIRROR_FOLDER))
}
